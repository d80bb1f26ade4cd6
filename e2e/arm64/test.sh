#!/usr/bin/env bash
# Runs on an arm64 machine, which qemu emulates, with Debian's kernel for it: the tests of what depends on the processor
# and its kernel, with Node, the native packages and the emitted JavaScript of the arm64 image. Needs a Docker engine,
# and half an hour at most for the image the first time; what is fetched and made stays in
# ${XDG_CACHE_HOME:-~/.cache}/kube-vrrp.
#   npm run test:arm64 [-- FILE...]
set -euo pipefail
cd "$(dirname "$0")/../.."
. e2e/debian-packages.sh

readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/kube-vrrp/arm64
readonly image=kube-vrrp-arm64:test
readonly memory=4096
# An emulated processor needs 10 to 20 times as long; what counts how much is done in a time is left out.
readonly deadline=90m
readonly default_files=('src/*/driver/!(endurance).test.ts' 'src/{net,runtime,wire}/*.test.ts' e2e/lab/net.test.ts
  e2e/arm64/node.test.ts)

say() { echo "arm64: $*" >&2; }

work=$(mktemp -d)
container=

clean_up() {
  rm -rf "$work"
  if [ -n "$container" ]; then docker rm "$container" > /dev/null; fi
}
trap clean_up EXIT

# The kernel for virtual machines, and its modules, in DIR.
fetch_kernel() {
  local dir=$1 config
  if [ -e "$dir/boot" ]; then return; fi
  say "fetching the kernel"
  config=$(private_apt "$work/apt" bookworm)
  echo 'APT::Architecture "arm64"; APT::Architectures { "arm64"; };' >> "$config"
  rm -rf "$dir.new"
  mkdir -p "$work/kernel"
  quietly env "APT_CONFIG=$config" bash -euc '
    cd "$1"
    apt-get update
    apt-get download "$(apt-cache depends linux-image-cloud-arm64 | sed -n "s/^ *Depends: \(linux-image.*\)/\1/p")"
    dpkg -x linux-image-*.deb "$2"' fetch "$work/kernel" "$dir.new"
  mv "$dir.new" "$dir"
}

# A small Debian with the programs of the lab, in DIR.
make_debian() {
  local dir=$1
  if [ -e "$dir" ]; then return; fi
  say "making the machine's Debian"
  rm -rf "$dir.new"
  quietly debootstrap --arch=arm64 --variant=minbase --include=iproute2,nftables,procps,kmod,openssl,python3,curl \
    bookworm "$dir.new" "$(debian_mirror)"
  rm -rf "$dir.new"/var/cache/apt/archives/*.deb "$dir.new"/var/lib/apt/lists/*
  mv "$dir.new" "$dir"
}

# What the arm64 image has, and the tests from here, as /repository of the root file system DIR.
add_repository() {
  local dir=$1
  bash images/build.sh --platform linux/arm64 "$image"
  container=$(docker create --platform linux/arm64 "$image")
  quietly docker cp "$container:/usr/local/bin/node" "$dir/usr/local/bin/node"
  quietly docker cp "$container:/app" "$dir/repository"
  cp -R src e2e tsconfig.json "$dir/repository/"
  # Tests need these beside the image's own; they have no native part.
  cp -R node_modules/{fast-check,pure-rand} "$dir/repository/node_modules/"
}

pack() {
  local kernel=$1 debian=$2
  cp -a "$debian" "$work/root"
  cp -a "$kernel/lib/modules" "$work/root/lib/"
  depmod --basedir "$work/root" "$(ls "$kernel/lib/modules")"
  add_repository "$work/root"
  cp e2e/arm64/init "$work/root/init"
  (cd "$work/root" && find . -print0 | cpio --null --create --format=newc --quiet > "$work/root.cpio")
  rm -rf "$work/root"
}

# Prints the machine's console, on which it says in the end how the tests ended.
boot() {
  local kernel=$1
  shift
  say "booting"
  timeout "$deadline" qemu-system-aarch64 -machine virt -cpu max,pauth-impdef=on -smp 2 -m "$memory" \
    -nographic -no-reboot \
    -nic none -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/root.cpio" \
    -append "console=ttyAMA0 quiet panic=-1 -- $*" < /dev/null | tee "$work/console"
  tr -d '\r' < "$work/console" | grep -qx 'arm64: exit status 0'
}

main() {
  if ! docker info > /dev/null 2>&1; then
    say "no Docker engine answers: start one, or name one in DOCKER_HOST"
    exit 1
  fi
  install_missing debootstrap:debootstrap cpio:cpio depmod:kmod qemu-system-aarch64:qemu-system-arm
  mkdir -p "$cache"
  fetch_kernel "$cache/kernel"
  make_debian "$cache/debian"
  pack "$cache/kernel" "$cache/debian"
  if [ $# -eq 0 ]; then set -- "${default_files[@]}"; fi
  boot "$cache/kernel" "$@"
}

main "$@"
