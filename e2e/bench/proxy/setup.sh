#!/usr/bin/env bash
# Installs what the proxy benchmark compares and measures with, without letting Debian start HAProxy.
set -euo pipefail
cd "$(dirname "$0")/../../.."
bash e2e/setup.sh
. e2e/debian-packages.sh

# Debian asks this program before it starts a service (invoke-rc.d); 101 forbids it.
readonly policy=/usr/sbin/policy-rc.d
if ! command -v haproxy > /dev/null && [ ! -e "$policy" ] && [ -w "$(dirname "$policy")" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
install_missing haproxy:haproxy wrk:wrk openssl:openssl taskset:util-linux
