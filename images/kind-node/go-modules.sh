# For build.sh to source: a node of a current Kubernetes with containerd 2, compiled from Go modules, for kind 0.33.
. e2e/kubernetes/go-programs.sh

version=$(release_in "kubernetes-$minor" k8s.io/kubernetes)
readonly version
readonly load_balancer_image=envoyproxy/envoy:v1.36.2
# containerd and what it runs are not Debian's.
readonly runtime_packages=()
# containerd's transfer service needs a snapshotter even where nothing is unpacked, and no overlay can be mounted while
# an image is made.
readonly import_flags=(--local --no-unpack --all-platforms)

install_build_needs() { node_programs=$(bash e2e/kubernetes/node-programs.sh); }

stage_etcd() {
  stage_static "$programs/etcd" "$1"
  stage_static "$programs/etcdctl" "$1"
}

make_coredns_image() {
  stage_static "$node_programs/coredns" "$work/coredns"
  import_image "$1" "$work/coredns" --change 'ENTRYPOINT ["/usr/local/bin/coredns"]'
}

add_node_programs() {
  cp "$node_programs"/{containerd,containerd-shim-runc-v2,ctr,crictl} "$root/usr/local/bin/"
  cp "$node_programs/runc" "$root/usr/local/sbin/"
  cp "${cni_plugins[@]/#/$node_programs/}" "$root/opt/cni/bin/"
}

# kind gives every cluster with several control planes an Envoy, and writes its configuration there with these programs.
# No test goes through it, so this one only waits. haproxy is for the tests.
make_load_balancer_image() {
  local to=$work/load-balancer
  stage_haproxy "$to"
  stage "$root" "$to" usr/bin/{bash,chmod,mv,sleep}
  mkdir -p "$to/usr/local/bin"
  printf '#!/bin/sh\nexec sleep infinity\n' | install -m 755 /dev/stdin "$to/usr/local/bin/envoy"
  import_image "$load_balancer_image" "$to"
}
