#!/usr/bin/env bash
# Installs what `npm run e2e` needs beside e2e/setup.sh, or names what is missing.
set -euo pipefail
. "$(dirname "$0")/../debian-packages.sh"

needs=(docker:docker.io iptables:iptables)
# Only the suite's own engine needs the daemon; where one answers, nothing else is asked for.
if ! docker info > /dev/null 2>&1; then needs+=(dockerd:docker.io); fi
install_missing "${needs[@]}"
