#!/usr/bin/env bash
# Installs what the lab tests need besides e2e/setup.sh: the VRRP routers and the proxy that kube-vrrp is tested with,
# and a reader of packets that is not ours. Says nothing and takes no time when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/../.."
. e2e/debian-packages.sh

install_missing curl:curl tcpdump:tcpdump tshark:tshark
install_missing_services keepalived:keepalived haproxy:haproxy /usr/lib/frr/vrrpd:frr
