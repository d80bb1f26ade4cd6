#!/usr/bin/env bash
# Builds what a node runs beside Kubernetes, from Go modules: containerd 2 with its shim and ctr, runc, four CNI
# plug-ins, crictl and CoreDNS. Prints the folder that holds the programs, which stays in
# ${XDG_CACHE_HOME:-~/.cache}/kube-vrrp.
set -euo pipefail
cd "$(dirname "$0")/../.."
. e2e/debian-packages.sh
. e2e/kubernetes/go-programs.sh

readonly modules=(cni-plugins coredns containerd cri-tools runc)

# What a module's Makefile stamps: the release that our go.mod names, into the variable.
stamp() { echo "-s -w -X $3=$(release_in "$1" "$2")"; }

build() {
  local plugins=github.com/containernetworking/plugins containerd=github.com/containerd/containerd/v2
  local cri_tools=sigs.k8s.io/cri-tools
  export CGO_ENABLED=0
  build_tools cni-plugins "$1" -ldflags "$(stamp cni-plugins $plugins $plugins/pkg/utils/buildversion.BuildVersion)"
  build_tools coredns "$1" -tags grpcnotrace -ldflags '-s -w'
  build_tools containerd "$1" -ldflags "$(stamp containerd $containerd $containerd/version.Version)"
  build_tools cri-tools "$1" -ldflags "$(stamp cri-tools $cri_tools $cri_tools/pkg/version.Version)"
  # Static, as the machine that compiles may have a newer libc than the node. kubeadm's static pods have a seccomp
  # profile.
  CGO_ENABLED=1 build_tools runc "$1" -tags seccomp,netgo,osusergo \
    -ldflags '-s -w -linkmode external -extldflags -static'
}

install_missing gcc:gcc pkg-config:pkg-config /usr/include/seccomp.h:libseccomp-dev
files=("${modules[@]/%//go.mod}" "${modules[@]/%//go.sum}")
cached_programs node-programs build "${files[@]}" "$PWD/e2e/kubernetes/node-programs.sh"
