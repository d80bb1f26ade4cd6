#!/usr/bin/env bash
# Makes what kind needs where no image can be pulled: a node image with a whole Kubernetes in it, and the image of
# kind's load balancer. Prints the name of the node image. KUBERNETES is the version, as for e2e/kubernetes/build.sh.
# About 3 minutes, and more when Kubernetes has yet to be compiled; the engine keeps the result, named by a hash of the
# files that make it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. e2e/debian-packages.sh

readonly minor=${KUBERNETES:-1.20}
readonly here=$PWD/images/kind-node
case $minor in
  1.20) . images/kind-node/debian.sh ;;
  *) . images/kind-node/go-modules.sh ;;
esac

inputs=$(sha256sum images/kind-node/* e2e/debian-packages.sh e2e/kind/*-kind.sh e2e/kubernetes/{*.sh,modules/*/go.*} |
  LC_ALL=C sort | sha256sum)
readonly repository=kube-vrrp-kind-node
readonly node_image=$repository:$version-${inputs:0:12}
# systemd 252 runs on cgroup v1 as well; kind's own base has one that does not.
readonly packages=(
  systemd systemd-sysv dbus bash ca-certificates curl jq procps pigz iproute2 iptables nftables conntrack ethtool socat
  ebtables util-linux mount kmod libseccomp2 iputils-ping tcpdump netcat-openbsd haproxy "${runtime_packages[@]}"
)
readonly cni_plugins=(host-local loopback ptp portmap)

say() { echo "images: $*" >&2; }

# The classic builder, which every engine has.
build() { DOCKER_BUILDKIT=0 docker build --quiet "$@" 2> /dev/null > /dev/null; }

make_root() {
  local mirror
  mirror=$(debian_mirror)
  quietly debootstrap --variant=minbase "--include=$(IFS=,; echo "${packages[*]}")" bookworm "$root" "$mirror"
}

# Copies programs of the root file system FROM, with the libraries they need, to the mini root file system TO.
stage() {
  local from=$1 to=$2 file library link
  shift 2
  mkdir -p "$to"/usr/{bin,sbin,lib,lib64} "$to"/{etc,tmp,run}
  for link in bin sbin lib lib64; do [ -e "$to/$link" ] || ln -s "usr/$link" "$to/$link"; done
  for file; do
    cp -a "$from/$file" "$to/$file"
    for library in $(chroot "$from" ldd "/$file" 2> /dev/null | grep -o '/[^ ]*'); do
      mkdir -p "$to$(dirname "$library")"
      cp -nL "$from$library" "$to$library"
    done
  done
}

stage_static() {
  mkdir -p "$2"/{usr/local/bin,etc,tmp}
  cp "$1" "$2/usr/local/bin/"
}

stage_haproxy() {
  stage "$root" "$1" usr/sbin/haproxy usr/bin/{cp,mkdir,kill,dash,cat}
  ln -sf dash "$1/usr/bin/sh"
}

stage_kube_proxy() {
  local to=$1 name mode action
  stage "$root" "$to" usr/sbin/xtables-{nft,legacy}-multi usr/sbin/{conntrack,nft} usr/bin/{kmod,dash,grep}
  # Below the folder of the architecture.
  (cd "$root" && cp -a --parents usr/lib/*/xtables "$to/")
  mkdir -p "$to"/usr/local/{bin,sbin}
  ln -sf dash "$to/usr/bin/sh"
  ln -sf ../bin/kmod "$to/usr/sbin/modprobe"
  cp "$programs/kube-proxy" "$to/usr/local/bin/"
  for name in ip{,6}tables; do
    for action in '' -save -restore; do
      install "$here/iptables-wrapper" "$to/usr/local/sbin/$name$action"
      for mode in nft legacy; do ln -s "xtables-$mode-multi" "$to/usr/sbin/$name-$mode$action"; done
    done
  done
}

import_image() {
  local name=$1 from=$2
  shift 2
  tar -C "$from" --numeric-owner -c . |
    docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$@" - "$name" > /dev/null
}

# Makes the image of this name, which is one of kubeadm's static pods or addons.
make_control_plane_image() {
  local image=$1 program=${1##*/}
  program=${program%%:*}
  case $program in
    pause)
      mkdir -p "$work/pause"
      gcc -Os -Wall -static -s "-DVERSION=\"${image##*:}\"" -o "$work/pause/pause" "$here/pause.c"
      import_image "$image" "$work/pause" --change 'ENTRYPOINT ["/pause"]'
      return
      ;;
    coredns)
      make_coredns_image "$image"
      return
      ;;
    etcd) stage_etcd "$work/etcd" ;;
    kube-proxy) stage_kube_proxy "$work/kube-proxy" ;;
    *) stage_static "$programs/$program" "$work/$program" ;;
  esac
  import_image "$image" "$work/$program"
}

# Under the names that this version of kubeadm asks for. In this order, as CoreDNS may be a copy of pause.
make_control_plane_images() {
  local list image
  local -a images
  list=$("$programs/kubeadm" config images list --kubernetes-version "$version")
  mapfile -t images < <(sort --reverse <<< "$list")
  for image in "${images[@]}"; do
    if [[ $image == */pause:* ]]; then pause_image=$image; fi
    make_control_plane_image "$image"
  done
  docker save --output "$work/images.tar" "${images[@]}"
}

# What kind's own Dockerfile copies, fitted to kubeadm's pause image, to nodes in nodes on cgroup v1 (cgroupfs) and to a
# root without CAP_SYS_RESOURCE (no lowering of oom_score_adj). Without its /etc/kubernetes/manifests: not every fresh
# machine has that.
add_kind_files() {
  local files=$kind/files config=$root/etc/containerd/config.toml
  mkdir -p "$root"/{kind/bin,kind/manifests,opt/cni/bin}
  cp -R "$files"/. "$root/"
  chmod 755 "$root"/usr/local/bin/entrypoint "$root"/kind/bin/*
  rm -f "$root/etc/systemd/system/containerd-fuse-overlayfs.service"
  sed -i -e '/^OOMScoreAdjust=/d' "$root/etc/systemd/system/containerd.service"
  sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' -e 's/SystemdCgroup = true/SystemdCgroup = false/' \
    -e "s#registry.k8s.io/pause:[0-9.]*#$pause_image#" "$config"
  sed -i '/^\[proxy_plugins/,/^$/{/^\[proxy_plugins/d;/fuse-overlayfs/d;/type = "snapshot"/d;/address = /d}' "$config"
  add_node_programs
  cp "$programs"/{kubelet,kubeadm,kubectl} "$root/usr/bin/"
  printf %s "$version" > "$root/kind/version"
  # kind applies both files; there is neither a provisioner nor kindnetd in this image.
  cp "$here"/default-storage.yaml "$here"/default-cni.yaml "$root/kind/manifests/"
}

# On cgroup v1 kubelet takes kind's bind mount of its own cgroup for the mount point of the controller and finds no
# cgroup there ("cgroup-root [\"kubelet\"] doesn't exist"). The cgroup is made right before kubelet starts instead.
fit_cgroup_v1() {
  local bind='  mount --bind "${subsystem}/${cgroup_root}" "${subsystem}/${cgroup_root}"'
  grep --quiet --fixed-strings --line-regexp -- "$bind" "$root/usr/local/bin/entrypoint"
  sed -i 's|^  mount --bind "${subsystem}/${cgroup_root}" .*|  : # no mount of its own|' "$root/usr/local/bin/entrypoint"
  install "$here/make-kubelet-cgroup" "$root/kind/bin/"
  printf '[Service]\nExecStartPre=/kind/bin/make-kubelet-cgroup\n' > "$root/etc/systemd/system/kubelet.service.d/12-cgroup.conf"
}

# As kind's Dockerfile does: no units but those that a node needs.
configure_units() {
  chroot "$root" bash -euc '
    rm -f /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
    rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* /lib/systemd/system/local-fs.target.wants/*
    rm -f /lib/systemd/system/sockets.target.wants/*{udev,initctl}* /lib/systemd/system/basic.target.wants/*
    echo ReadKMsg=no >> /etc/systemd/journald.conf
    systemctl enable kubelet containerd undo-mount-hacks
    systemctl mask systemd-binfmt haproxy
    ctr oci spec | jq ".hooks.createContainer += [{path: \"/kind/bin/mount-product-files.sh\"}] | del(.process.rlimits)" \
      > /etc/containerd/cri-base.json
    rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /usr/share/{doc,man,locale}/* /var/log/*.log'
}

# containerd has the images in its store, so that a node needs no registry.
load_images() {
  local container
  container=$(docker create --security-opt seccomp=unconfined --entrypoint sleep "$node_image-root" infinity)
  docker start "$container" > /dev/null
  docker exec "$container" bash -c 'containerd > /tmp/containerd.log 2>&1 &
    for try in $(seq 100); do ctr version > /dev/null 2>&1 && exit 0; sleep .2; done; cat /tmp/containerd.log >&2; exit 1'
  docker exec -i "$container" ctr --namespace k8s.io images import "${import_flags[@]}" - < "$work/images.tar" > /dev/null
  docker exec "$container" bash -c 'kill $(pidof containerd); sleep 1; rm -rf /run/containerd /tmp/*'
  docker commit "$container" "$node_image-loaded" > /dev/null
  docker rm --force --volumes "$container" > /dev/null
}

make_node_image() {
  add_kind_files
  fit_cgroup_v1
  quietly configure_units
  import_image "$node_image-root" "$root" --change 'ENV container=docker'
  load_images
  printf 'FROM %s\nSTOPSIGNAL SIGRTMIN+3\nENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]\n' "$node_image-loaded" |
    build --tag "$node_image" -
}

# What earlier versions of these files have made, but for what a cluster still uses.
remove_earlier_images() {
  docker images --format '{{.Repository}}:{{.Tag}}' "$repository" |
    { grep "^$repository:$version-" || true; } | { grep --invert-match --fixed-strings "$node_image" || true; } |
    xargs --no-run-if-empty docker image rm > /dev/null || say 'an earlier node image is in use, and stays'
}

main() {
  if ! docker image inspect "$node_image" "$load_balancer_image" > /dev/null 2>&1; then
    install_missing debootstrap:debootstrap gcc:gcc
    install_build_needs
    programs=$(bash e2e/kubernetes/build.sh)
    kind=$(bash e2e/kind/fetch-kind.sh)
    work=$(mktemp -d)
    root=$work/root
    trap 'rm -rf "$work"' EXIT
    say "making a Debian root for $node_image"
    make_root
    say 'making the images of the control plane'
    make_control_plane_images
    say "making $load_balancer_image"
    make_load_balancer_image
    say "making $node_image"
    make_node_image
    remove_earlier_images
  fi
  echo "$node_image"
}

main
