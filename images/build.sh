#!/usr/bin/env bash
# Builds the image of the Dockerfile, from the official Node image or, where that can be neither found nor pulled, from
# the one that node-base.sh makes:
#   images/build.sh [TAG]
set -euo pipefail
cd "$(dirname "$0")/.."

readonly tag=${1:-kube-vrrp:$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)}

official_base() { sed -n 's/^ARG NODE_IMAGE=//p' Dockerfile; }

base() {
  local official
  official=$(official_base)
  if docker image inspect "$official" > /dev/null 2>&1 || timeout 120 docker pull --quiet "$official" > /dev/null 2>&1; then
    echo "$official"
  else
    bash images/node-base.sh
  fi
}

main() {
  local node_image
  node_image=$(base)
  # Debian's engine has the classic builder alone.
  if ! docker buildx version > /dev/null 2>&1; then export DOCKER_BUILDKIT=0; fi
  # The host's network, so that name servers and proxies that only the host reaches serve the build as well.
  docker build --quiet --network host --build-arg "NODE_IMAGE=$node_image" --tag "$tag" . > /dev/null
  docker image inspect --format "$tag: {{.Size}} octets, on $node_image" "$tag" >&2
}

main
