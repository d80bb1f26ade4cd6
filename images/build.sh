#!/usr/bin/env bash
# Builds the image of the Dockerfile, from the official Node image or, where that can be neither found nor pulled, from
# the one that node-base.sh makes. Without --platform it is for machines like this one; another platform's programs run
# by binfmt_misc and qemu-user-static:
#   images/build.sh [--no-cache] [--platform linux/amd64|linux/arm64] [TAG]
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n 's/^#   /usage: /p' images/build.sh >&2; exit 2; }

this_machine() {
  case "$(uname -m)" in aarch64 | arm64) echo linux/arm64 ;; *) echo linux/amd64 ;; esac
}

platform=$(this_machine)
cache=()
while [ $# -gt 0 ]; do
  case "$1" in
    --no-cache) cache=(--no-cache) ;;
    --platform)
      platform=${2:-}
      shift $(($# < 2 ? 0 : 1))
      ;;
    -*) usage ;;
    *) break ;;
  esac
  shift
done
case "$platform" in linux/amd64 | linux/arm64) ;; *) usage ;; esac
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
readonly platform cache version tag=${1:-kube-vrrp:$version}

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

# The commit, marked where files differ from it; nothing where this is no clone.
revision() {
  if [ -e .git ]; then git describe --always --abbrev=40 --exclude='*' --dirty 2> /dev/null || true; fi
}

main() {
  local node_image revision
  node_image=$(base)
  revision=$(revision)
  # Debian's engine has the classic builder alone.
  if ! docker buildx version > /dev/null 2>&1; then export DOCKER_BUILDKIT=0; fi
  # The host's network, so that name servers and proxies that only the host reaches serve the build as well.
  docker build --quiet "${cache[@]}" --network host --platform "$platform" --build-arg "NODE_IMAGE=$node_image" \
    --label "org.opencontainers.image.version=$version" \
    ${revision:+--label "org.opencontainers.image.revision=$revision"} --tag "$tag" . > /dev/null
  docker image inspect --format "$tag: {{.Os}}/{{.Architecture}}, {{.Size}} octets, on $node_image" "$tag" >&2
}

main
