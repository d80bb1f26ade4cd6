#!/usr/bin/env bash
# Prints the folder with kind (`kind`) and the files of its node image (`files`): kind 0.33 from its Go module, and for
# KUBERNETES=1.20 (the default) kind 0.27 from Debian's package and its source. They stay in
# ${XDG_CACHE_HOME:-~/.cache}/kube-vrrp.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${KUBERNETES:-1.20}" != 1.20 ]; then exec bash e2e/kind/compile-kind.sh; fi
. e2e/debian-packages.sh

readonly version=0.27.0
readonly home=${XDG_CACHE_HOME:-$HOME/.cache}/kube-vrrp/kind-$version
readonly work=$home/work

# kind is in a later suite than the machine's.
fetch() {
  local mirror config
  mirror=$(debian_mirror)
  mkdir -p "$work/source"
  config=$(private_apt "$work/apt" trixie)
  quietly env "APT_CONFIG=$config" bash -euc '
    cd "$1"
    apt-get update
    apt-get download kind
    dpkg -x kind_*.deb package
    # Only this file is needed of the source, and some mirrors have no more of it.
    curl --fail --silent --show-error --location --output kind.tar.gz "$2"
    sum=$(apt-cache showsrc kind | sed -n "s/^ \([0-9a-f]\{64\}\) .* kind_$3.orig.tar.gz$/\1/p" | head -1)
    if [ -n "$sum" ]; then echo "$sum  kind.tar.gz" | sha256sum --check; fi
    tar -C source --strip-components=1 -xf kind.tar.gz' fetch \
    "$work" "$mirror/pool/main/k/kind/kind_$version.orig.tar.gz" "$version"
}

main() {
  if [ ! -x "$home/kind" ]; then
    install_missing curl:curl dpkg-deb:dpkg
    rm -rf "$home"
    echo "kind: fetching $version" >&2
    fetch
    mv "$work/source/images/base/files" "$work/source/images/haproxy/haproxy.cfg" "$home/"
    mv "$work/package/usr/bin/kind" "$home/"
    rm -rf "$work"
  fi
  echo "$home"
}

main
