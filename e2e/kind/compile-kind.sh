#!/usr/bin/env bash
# Prints the folder with kind (`kind`) and the files of its node image (`files`), both from its Go module.
set -euo pipefail
cd "$(dirname "$0")/../.."
. e2e/kubernetes/go-programs.sh

build() {
  local source
  CGO_ENABLED=0 build_tools kind "$1" -ldflags '-s -w'
  source=$(cd "$go_modules/kind" && GOWORK=off GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' sigs.k8s.io/kind)
  cp -R "$source/images/base/files" "$1/"
  # A module's files are read-only.
  chmod -R u+w "$1/files"
}

cached_programs kind build kind/go.{mod,sum} "$PWD/e2e/kind/compile-kind.sh"
