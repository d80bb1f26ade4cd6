#!/bin/sh
# Lays out the root file system of the image in DIR: Node with the shared libraries it needs, and /app. Runs in the
# build stage of the Dockerfile.
set -eu
dir=$1

# Keeps a path relative to the root. Debian's /lib is a link to /usr/lib.
copy_file() {
  target=$dir$(readlink -f "$(dirname "$1")")/$(basename "$1")
  mkdir -p "$(dirname "$target")"
  cp -L "$1" "$target"
}

# The license with the texts it refers to, and the record by which scanners know the package and its version (as in
# distroless images).
copy_package_record() {
  mkdir -p "$dir/var/lib/dpkg/status.d"
  dpkg-query --status "$1" > "$dir/var/lib/dpkg/status.d/$1"
  copy_file "/usr/share/doc/$1/copyright"
  for text in $(grep -o '/usr/share/common-licenses/[A-Za-z0-9.-]*[0-9A-Za-z]' "/usr/share/doc/$1/copyright"); do
    copy_file "$text"
  done
}

copy_node() {
  mkdir -p "$dir/usr/lib" "$dir/usr/lib64"
  ln -s usr/lib "$dir/lib"
  ln -s usr/lib64 "$dir/lib64"
  copy_file /usr/local/bin/node
  copy_file /usr/local/LICENSE
  # raw-socket and netlink need no more than these.
  for library in $(ldd /usr/local/bin/node | grep -o '/[^ ]*'); do copy_file "$library"; done
  for package in libc6 libgcc-s1 libstdc++6; do copy_package_record "$package"; done
}

copy_app() {
  mkdir -p "$dir/app"
  cp -R dist package.json package-lock.json LICENSE "$dir/app/"
  cp -R node_modules "$dir/app/"
  rm -rf "$dir"/app/node_modules/node-linux-*
  trim "$dir/app/node_modules"
  # There is no /usr/bin/env. SIGUSR1 must not open V8's debugger, not even before the program is there.
  sed -i '1s|.*|#!/usr/local/bin/node --disable-sigusr1|' "$dir/app/dist/cli/main.js"
  chmod 755 "$dir/app/dist/cli/main.js"
  ln -s /app/dist/cli/main.js "$dir/usr/local/bin/kube-vrrp"
}

# A package without a license file has its license in its README, as raw-socket does.
name_licenses() {
  find "$1" -name package.json | while read -r manifest; do
    package=$(dirname "$manifest")
    if [ -e "$package/README.md" ] && ! ls "$package" | grep -qiE '^(licen[cs]e|copying)'; then
      mv "$package/README.md" "$package/LICENSE.README.md"
    fi
  done
}

# Deletes what find selects by the arguments, and no license.
delete_files() { find "$@" ! -type d ! -iname 'licen[cs]e*' ! -iname 'notice*' ! -iname 'copying*' -delete; }

# What only a build or a reader needs. Licenses stay, also of what is compiled into an addon (nan, koffi/vendor), and
# each package.json of what is loaded.
trim() {
  case "$(uname -m)" in x86_64) architecture=x64 ;; aarch64) architecture=arm64 ;; esac
  find "$1"/netlink/prebuilds -mindepth 1 -maxdepth 1 ! -name "linux-$architecture" -exec rm -rf {} +
  find "$1" -type d \( -name obj.target -o -name .deps \) -prune -exec rm -rf {} +
  delete_files "$1"/nan "$1"/koffi/vendor
  name_licenses "$1"
  delete_files "$1" \( -name '*.ts' -o -name '*.map' -o -name '*.md' -o -name '*.c' -o -name '*.cc' -o -name '*.h' \
    -o -name '*.hh' -o -name '*.inc' -o -name CMakeLists.txt -o -name '*.o' -o -name '*.mk' -o -name Makefile \
    -o -name binding.gyp -o -name config.gypi \)
  rm -rf "$1"/.package-lock.json "$1"/.bin "$1"/koffi/lib "$1"/koffi/doc "$1"/bintrees/test "$1"/@koromix/koffi-*/musl_*
  find "$1" -type d -empty -delete
}

# Fails when something is missing that the native packages load.
try_app() {
  chroot "$dir" /usr/local/bin/node --eval "process.chdir('/app');
    for (const name of ['koffi', 'netlink', 'raw-socket']) require(require.resolve(name, { paths: ['/app'] }))"
}

mkdir -p "$dir/etc" "$dir/tmp" "$dir/run"
copy_node
copy_app
try_app
# The same files give the same layer.
find "$dir" -exec touch --no-dereference --date=@0 {} +
