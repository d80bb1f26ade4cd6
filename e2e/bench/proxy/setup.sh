#!/usr/bin/env bash
# Installs what the proxy benchmark compares and measures with.
set -euo pipefail
cd "$(dirname "$0")/../../.."
bash e2e/setup.sh
. e2e/debian-packages.sh

install_missing wrk:wrk openssl:openssl taskset:util-linux perf:linux-perf
install_missing_services haproxy:haproxy
