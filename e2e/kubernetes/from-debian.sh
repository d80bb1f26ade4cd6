#!/usr/bin/env bash
# Builds Kubernetes 1.20 and finds etcd, from Debian's packages alone, and prints the folder that holds the programs.
# Debian 12's source package `kubernetes` (1.20.2, vendored) is compiled with Debian's golang-1.19: about 5 minutes on two
# cores. The result stays in ${XDG_CACHE_HOME:-~/.cache}/kube-vrrp; a second call takes no time.
set -euo pipefail
. "$(dirname "$0")/../debian-packages.sh"

readonly version=v1.20.2
# etcd is Debian's own; the others are compiled.
readonly programs=(kube-apiserver kubectl kubeadm kubelet kube-controller-manager kube-scheduler kube-proxy)
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/kube-vrrp
readonly home=$cache/kubernetes-$version
readonly work=$home/work
readonly gopath=$work/gopath
readonly tree=$gopath/src/k8s.io/kubernetes
# Named by its path: the `go` on PATH may be newer, and since 1.23 refuses the vendored code's uses of go:linkname.
readonly go=/usr/lib/go-1.19/bin/go
export GOPATH=$gopath GO111MODULE=off CGO_ENABLED=0 GOCACHE=$work/gocache GOFLAGS=

say() { echo "kubernetes: $*" >&2; }

is_built() {
  local program
  for program in etcd "${programs[@]}"; do [ -x "$home/bin/$program" ] || return 1; done
}

fetch() {
  local config
  mkdir -p "$work/download"
  config=$(private_apt "$work/apt" bookworm)
  quietly env "APT_CONFIG=$config" bash -euc '
    cd "$1"
    apt-get update
    apt-get download golang-github-modern-go-reflect2-dev
    apt-get source --download-only kubernetes
    dpkg -x golang-github-modern-go-reflect2-dev*.deb reflect2' fetch "$work/download"
}

unpack() {
  rm -rf "$gopath"
  mkdir -p "$gopath/src/k8s.io"
  quietly dpkg-source --no-check -x "$work"/download/kubernetes_*.dsc "$tree"
  # The vendored reflect2 1.0.1 crashes in every map that json-iterator walks since Go 1.18; Debian packages 1.0.2.
  local reflect2=vendor/github.com/modern-go/reflect2
  rm -f "$tree/$reflect2"/*.go "$tree/$reflect2"/*.s
  cp "$work"/download/reflect2/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$tree/$reflect2/"
}

# The one generated file that the source package lacks: pkg/generated/openapi/zz_generated.openapi.go.
generate_openapi() {
  local packages
  "$go" build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  packages=$(grep -rl --include='*.go' -e '^// *+k8s:openapi-gen=true' staging/src/k8s.io pkg cmd |
    xargs -n1 dirname | sort -u | grep -v -e _examples -e sample- -e /testdata -e code-generator |
    sed -e 's#^staging/src/##' -e 's#^\(pkg\|cmd\)/#k8s.io/kubernetes/\1/#' | paste -sd,)
  quietly "$work/openapi-gen" -O zz_generated.openapi -p k8s.io/kubernetes/pkg/generated/openapi -i "$packages" \
    -h hack/boilerplate/boilerplate.generatego.txt -r "$work/violations.txt" --output-base "$gopath/src"
}

compile() {
  local package program stamp="-s -w"
  for package in k8s.io/{,kubernetes/vendor/k8s.io/}{component-base,client-go/pkg}/version; do
    stamp+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=20 -X $package.gitTreeState=clean"
  done
  for program in "${programs[@]}"; do
    say "compiling $program"
    "$go" build -ldflags "$stamp" -o "$work/bin/$program" "./cmd/$program"
  done
}

main() {
  if ! is_built; then
    install_missing "$go:golang-1.19-go" dpkg-source:dpkg-dev
    install_missing_services etcd:etcd-server
    mkdir -p "$work/bin"
    say "fetching the sources"
    fetch
    unpack
    cd "$tree"
    generate_openapi
    compile
    cp "$(command -v etcd)" "$work/bin/etcd"
    rm -rf "$home/bin"
    mv "$work/bin" "$home/bin"
    rm -rf "$work"
  fi
  echo "$home/bin"
}

main
