#!/usr/bin/env bash
# Builds the image twice, each time without the cache, and fails when the layers differ: the same inputs must give the
# same ones. Needs a Docker engine.
#   npm run test:image [-- --platform linux/amd64|linux/arm64]
set -euo pipefail
cd "$(dirname "$0")/.."

readonly first=kube-vrrp-reproducible:first second=kube-vrrp-reproducible:second

say() { echo "images: $*" >&2; }

layers() { docker image inspect --format '{{join .RootFS.Layers " "}}' "$1"; }

main() {
  if ! docker info > /dev/null 2>&1; then
    say "no Docker engine answers: start one, or name one in DOCKER_HOST"
    exit 1
  fi
  bash images/build.sh --no-cache "$@" "$first"
  bash images/build.sh --no-cache "$@" "$second"
  if [ "$(layers "$first")" != "$(layers "$second")" ]; then
    say "$first and $second have different layers, from the same inputs: compare the files of both (docker save)"
    exit 1
  fi
  say "both builds have the same layers: $(layers "$first")"
  docker image rm "$first" "$second" > /dev/null
}

main "$@"
