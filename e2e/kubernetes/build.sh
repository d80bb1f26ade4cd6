#!/usr/bin/env bash
# Builds a Kubernetes and its etcd once and prints the folder that holds the programs:
#   PATH=$(KUBERNETES=1.37 bash e2e/kubernetes/build.sh):$PATH npm run demo
# KUBERNETES is 1.34, 1.35, 1.36 or 1.37, from Go modules, or 1.20 (the default), from Debian's packages. The result
# stays in ${XDG_CACHE_HOME:-~/.cache}/kube-vrrp; a second call takes no time.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly minor=${KUBERNETES:-1.20}

case $minor in
  1.20) exec bash e2e/kubernetes/from-debian.sh ;;
  1.34 | 1.35 | 1.36) etcd=etcd-3.6 ;;
  # etcd 3.7 has none of the experimental- flags that kubeadm 1.36 may still give.
  1.37) etcd=etcd-3.7 ;;
  *)
    echo "kubernetes: KUBERNETES=$minor is not 1.20, 1.34, 1.35, 1.36 or 1.37" >&2
    exit 1
    ;;
esac
. e2e/kubernetes/go-programs.sh

readonly modules=kubernetes-$minor
version=$(release_in "$modules" k8s.io/kubernetes)

# As hack/lib/version.sh stamps a release. kubeadm has its rules of version skew from gitMajor and gitMinor.
version_stamp() {
  local package
  printf '%s' '-s -w'
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf ' -X %s' "$package.gitVersion=$version" "$package.gitMajor=${minor%.*}" "$package.gitMinor=${minor#*.}" \
      "$package.gitTreeState=clean"
  done
}

build() {
  export CGO_ENABLED=0
  build_tools "$modules" "$1" -ldflags "$(version_stamp)"
  build_tools "$etcd" "$1" -ldflags '-s -w'
  # Its main package is that of the module, which is named after its folder.
  mv "$1/server" "$1/etcd"
}

cached_programs "kubernetes-$minor" build {"$modules","$etcd"}/go.{mod,sum} "$PWD/e2e/kubernetes/build.sh"
