#!/usr/bin/env bash
# Installs what the failover benchmark compares with, without letting Debian start the services.
set -euo pipefail
cd "$(dirname "$0")/../../.."
bash e2e/setup.sh
. e2e/debian-packages.sh

# Debian asks this program before it starts a service (invoke-rc.d); 101 forbids it. Absent where nobody needs it.
readonly policy=/usr/sbin/policy-rc.d
if ! command -v keepalived > /dev/null || ! command -v haproxy > /dev/null; then
  if [ ! -e "$policy" ] && [ -w "$(dirname "$policy")" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
fi
install_missing keepalived:keepalived haproxy:haproxy curl:curl nft:nftables
