# For scripts to source: Debian packages that bring the programs they need.

# Runs a command with its output kept back, and shown only when it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" > "$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# Installs what is missing of PROGRAM:PACKAGE..., or names it and exits where that takes more rights than there are.
install_missing() {
  local need
  local -a missing=() as_root=()
  for need in "$@"; do
    command -v "${need%%:*}" > /dev/null || missing+=("${need#*:}")
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  if ! command -v apt-get > /dev/null || { [ "$(id -u)" -ne 0 ] && ! sudo -n true 2> /dev/null; }; then
    echo "setup: missing on this machine: ${missing[*]}; install them as root, on Debian with: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}" >&2
  # A fresh machine may have no package lists yet, or stale ones.
  local -a install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends)
  if ! "${install[@]}" "${missing[@]}" > /dev/null 2>&1; then
    quietly "${as_root[@]}" apt-get update
    quietly "${install[@]}" "${missing[@]}"
  fi
}

# The same for packages that bring services: they are installed for labs, which start the programs themselves. Debian
# asks policy-rc.d before it starts a service (invoke-rc.d), and 101 forbids it.
install_missing_services() {
  local need policy=/usr/sbin/policy-rc.d
  local -a missing=() as_root=()
  for need in "$@"; do
    command -v "${need%%:*}" > /dev/null || missing+=("$need")
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  local is_ours=false
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" > /dev/null && "${as_root[@]}" chmod 755 "$policy" && is_ours=true
  fi
  local status=0
  (install_missing "${missing[@]}") || status=$?
  if $is_ours; then "${as_root[@]}" rm -f "$policy"; fi
  if [ "$status" -eq 0 ] && [ -d /run/systemd/system ]; then
    # Nor after the next boot.
    quietly "${as_root[@]}" systemctl disable "${missing[@]#*:}"
  fi
  return "$status"
}
