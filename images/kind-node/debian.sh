# For build.sh to source: a node of Kubernetes 1.20 with containerd 1.6, from Debian's packages alone, for kind 0.27.

readonly version=v1.20.2
readonly load_balancer_image=kindest/haproxy:v20230606-42a2262b
readonly runtime_packages=(containerd runc containernetworking-plugins)
readonly import_flags=(--no-unpack --all-platforms)

install_build_needs() {
  install_missing etcdctl:etcd-client
  install_missing_services etcd:etcd-server
}

stage_etcd() {
  stage / "$1" usr/bin/etcd usr/bin/etcdctl usr/bin/dash
  ln -sf dash "$1/usr/bin/sh"
}

# Debian packages no CoreDNS. No test asks it, and the tests scale it to nothing.
make_coredns_image() { docker tag "$pause_image" "$1"; }

# Debian packages no crictl either.
add_node_programs() {
  local plugin
  install "$here/crictl" "$root/usr/local/bin/crictl"
  sed -i -e 's#/usr/local/bin/containerd#/usr/bin/containerd#' "$root/etc/systemd/system/containerd.service"
  for plugin in "${cni_plugins[@]}"; do ln -sf "/usr/lib/cni/$plugin" "$root/opt/cni/bin/$plugin"; done
}

make_load_balancer_image() {
  local to=$work/load-balancer
  stage_haproxy "$to"
  mkdir -p "$to/usr/local/etc/haproxy"
  cp "$kind/haproxy.cfg" "$to/usr/local/etc/haproxy/"
  import_image "$load_balancer_image-root" "$to"
  build --build-arg "ROOT=$load_balancer_image-root" --tag "$load_balancer_image" - < "$here/load-balancer.Dockerfile"
}
