#!/usr/bin/env bash
# Installs what the failover benchmark compares with.
set -euo pipefail
cd "$(dirname "$0")/../../.."
bash e2e/setup.sh
. e2e/debian-packages.sh

install_missing curl:curl nft:nftables
install_missing_services keepalived:keepalived haproxy:haproxy
