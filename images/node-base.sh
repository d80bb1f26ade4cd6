#!/usr/bin/env bash
# Makes an image like node:24-bookworm-slim from Debian's packages and the npm registry alone, for machines that can
# pull none, and prints its name, which has Node's version and a hash of what else it is made from. Made once: it stays
# in the engine until it is removed.
#   images/node-base.sh linux/amd64|linux/arm64
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/debian-packages.sh

readonly platform=$1
readonly architecture=${platform#linux/}
case "$architecture" in amd64) npm_architecture=x64 ;; *) npm_architecture=$architecture ;; esac
readonly npm_architecture certificates=/etc/ssl/certs/ca-certificates.crt
npm=$(dirname "$(readlink -f "$(command -v npm)")")/..
node_package=node_modules/node-linux-$npm_architecture
version=$(node --print "require('./package-lock.json').packages['$node_package'].version")
inputs=$(cat images/node-base.sh "$npm/package.json" "$certificates" | sha256sum)
readonly npm node_package name=kube-vrrp-node-base:$version-$architecture-${inputs:0:12}

say() { echo "images: $*" >&2; }

# Debian's qemu-user-static registers qemu so that it serves in every root file system (flag F).
expect_programs_to_run() {
  local emulator
  if [ "$architecture" = "$(dpkg --print-architecture)" ]; then return; fi
  case "$architecture" in amd64) emulator=qemu-x86_64 ;; arm64) emulator=qemu-aarch64 ;; esac
  if ! grep -q '^enabled' "/proc/sys/fs/binfmt_misc/$emulator" 2> /dev/null; then
    say "this machine cannot run programs of $platform: mount binfmt_misc at /proc/sys/fs/binfmt_misc, and install" \
      "qemu-user-static, or, where there is no systemd, write /usr/lib/binfmt.d/$emulator.conf into its file register"
    exit 1
  fi
}

# Node and its headers as the lock file has them for the platform, in DIR/node_modules.
fetch_node() {
  local dir=$1
  cp package.json package-lock.json "$dir/"
  quietly npm ci --prefix "$dir" --omit=dev --ignore-scripts --os=linux --cpu="$npm_architecture"
}

make_root() {
  local root=$1 node=$2 mirror
  mirror=$(debian_mirror)
  quietly debootstrap --arch="$architecture" --variant=minbase --include=ca-certificates,python3,make,g++ bookworm \
    "$root" "$mirror"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  cp -R "$node/bin" "$node/include" "$node/LICENSE" "$root/usr/local/"
  mkdir -p "$root/usr/local/lib/node_modules"
  cp -R "$npm" "$root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  # This machine's way to the registries.
  cp -L "$certificates" "$root$certificates"
}

# By a Dockerfile, as `docker import` takes every root file system for one of the engine's own platform.
make_image() {
  local context=$1
  printf '%s\n' 'FROM scratch' 'ADD root.tar /' 'ENV PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin' \
    "ENV NODE_EXTRA_CA_CERTS=$certificates" > "$context/Dockerfile"
  quietly env DOCKER_BUILDKIT=0 docker build --platform "$platform" --tag "$name" "$context"
}

main() {
  # First, as whoever has the image from an earlier boot still needs it for the build on top.
  expect_programs_to_run
  if docker image inspect "$name" > /dev/null 2>&1; then echo "$name"; return; fi
  install_missing debootstrap:debootstrap
  local work
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  say "making $name from Debian's packages"
  mkdir "$work/context"
  fetch_node "$work"
  make_root "$work/root" "$work/$node_package"
  tar -C "$work/root" --numeric-owner -cf "$work/context/root.tar" .
  rm -rf "$work/root"
  make_image "$work/context"
  echo "$name"
}

main
