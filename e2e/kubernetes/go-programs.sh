# For scripts to source: programs from Go modules. A folder below e2e/kubernetes/modules is a module that names the
# programs as its tools; its go.mod and go.sum say which release of each module is compiled.

readonly go_modules=$PWD/e2e/kubernetes/modules
readonly go_cache=${XDG_CACHE_HOME:-$HOME/.cache}/kube-vrrp

progress() { echo "kubernetes: $*" >&2; }

# The release of the module PATH that the folder NAME names, such as v1.37.2.
release_in() {
  if [ ! -f "$go_modules/$1/go.mod" ]; then
    echo "kubernetes: there is no $1 in e2e/kubernetes/modules, only: $(cd "$go_modules" && echo *)" >&2
    return 1
  fi
  sed -n "s#^\(require \)\?\s*$2 \(v[0-9.]*\)\( // indirect\)\?\$#\2#p" "$go_modules/$1/go.mod"
}

# Compiles the tools of the folder NAME into the folder TO. The other arguments are those of `go build`. go.mod and
# go.sum are taken as they are, and a module of another content than go.sum has is refused.
build_tools() {
  local name=$1 to=$2 begun=$SECONDS
  shift 2
  if ! command -v go > /dev/null; then
    echo "kubernetes: no go on PATH; install Go $(sed -n 's/^go //p' "$go_modules/$name/go.mod") or later" >&2
    return 1
  fi
  progress "compiling $name"
  (cd "$go_modules/$name" && GOWORK=off GOFLAGS=-mod=readonly go build -trimpath -o "$to/" "$@" tool)
  progress "$name compiled in $((SECONDS - begun)) s"
}

size_of() { du -sh "$1" | cut -f1; }

# Prints the folder of the programs that the function BUILD makes in the folder that it is given. The folder's name is
# NAME and a hash of the folders of modules and of the scripts given after BUILD; a second call only prints it.
cached_programs() {
  local name=$1 build=$2 hash home
  shift 2
  hash=$(cd "$go_modules" && cat "$@" | sha256sum)
  home=$go_cache/$name-${hash:0:12}
  if [ ! -d "$home" ]; then
    mkdir -p "$go_cache"
    unfinished=$(mktemp -d "$go_cache/$name.XXXXXX")
    trap 'rm -rf "$unfinished"' EXIT
    "$build" "$unfinished"
    chmod 755 "$unfinished"
    # What earlier versions of these files have made.
    rm -rf "$go_cache/$name"-????????????
    mv "$unfinished" "$home"
    progress "$name is ready, $(size_of "$home"); go's caches:" \
      "$(size_of "$(go env GOMODCACHE)") of sources, $(size_of "$(go env GOCACHE)") of objects"
  fi
  echo "$home"
}
