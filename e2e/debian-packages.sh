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

# Whether a program is on PATH, or a file that is named by its path is there.
is_there() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" > /dev/null ;;
  esac
}

# Installs what is missing of PROGRAM:PACKAGE... (or FILE:PACKAGE), or names it and exits where that takes more rights than
# there are.
install_missing() {
  local need
  local -a missing=() as_root=()
  for need in "$@"; do
    is_there "${need%%:*}" || missing+=("${need#*:}")
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

# The mirror that this machine's own list of sources names.
debian_mirror() {
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
  echo "${mirror%/}"
}

# Makes a private apt root in the folder DIR, for packages and sources of SUITE, and prints the path of its configuration,
# for APT_CONFIG. The machine's own list of sources stays as it is.
private_apt() {
  local dir=$1 suite=$2 mirror
  mirror=$(debian_mirror)
  mkdir -p "$dir"/{lists/partial,cache/archives/partial}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$dir/sources.list"
  echo "Dir::Etc::sourcelist \"$dir/sources.list\";
Dir::Etc::sourceparts \"/dev/null\";
Dir::State::Lists \"$dir/lists\";
Dir::Cache \"$dir/cache\";
APT::Sandbox::User \"root\";" > "$dir/apt.conf"
  echo "$dir/apt.conf"
}
