#!/usr/bin/env bash
# Builds the image of the Dockerfile, from the official Node image or, where that can be neither found nor pulled, from
# the one that node-base.sh makes. Without --platform it is for machines like this one; another platform's programs run
# by binfmt_misc and qemu-user-static:
#   images/build.sh [--platform linux/amd64|linux/arm64] [TAG]
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n 's/^#   /usage: /p' images/build.sh >&2; exit 2; }

this_machine() {
  case "$(uname -m)" in aarch64 | arm64) echo linux/arm64 ;; *) echo linux/amd64 ;; esac
}

platform=$(this_machine)
if [ "${1:-}" = --platform ]; then
  platform=${2:-}
  shift $(($# < 2 ? $# : 2))
fi
case "$platform" in linux/amd64 | linux/arm64) ;; *) usage ;; esac
case "${1:-}" in -*) usage ;; esac
readonly platform tag=${1:-kube-vrrp:$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)}

official_base() { sed -n 's/^ARG NODE_IMAGE=//p' Dockerfile; }

# An engine keeps one platform's image under a name.
is_at_hand() { [ "$(docker image inspect --format '{{.Os}}/{{.Architecture}}' "$1" 2> /dev/null)" = "$platform" ]; }

base() {
  local official
  official=$(official_base)
  if is_at_hand "$official" || timeout 120 docker pull --quiet --platform "$platform" "$official" > /dev/null 2>&1; then
    echo "$official"
  else
    bash images/node-base.sh "$platform"
  fi
}

main() {
  local node_image
  node_image=$(base)
  # Debian's engine has the classic builder alone.
  if ! docker buildx version > /dev/null 2>&1; then export DOCKER_BUILDKIT=0; fi
  # The host's network, so that name servers and proxies that only the host reaches serve the build as well.
  docker build --quiet --network host --platform "$platform" --build-arg "NODE_IMAGE=$node_image" --tag "$tag" . > /dev/null
  docker image inspect --format "$tag: {{.Os}}/{{.Architecture}}, {{.Size}} octets, on $node_image" "$tag" >&2
}

main
