#!/usr/bin/env bash
# Installs what the soak needs besides e2e/setup.sh. Says nothing and takes no time when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/../.."
. e2e/debian-packages.sh

install_missing cyclictest:rt-tests
