#!/bin/sh
# Compiles Kubernetes' API server into .cache/kube/kube-apiserver and makes sure of etcd: what
# `make test-kube` runs against. Debian 12 has the source tree of Kubernetes 1.20.2 as a package,
# signed by Debian; a newer one is not to be had without Google's registries. Says loudly what is
# missing, and fails, when it cannot be had. `kube.sh --check` only tells by its exit status whether
# everything is there.
set -eu
. "$(dirname -- "$0")/report.sh"

SOURCE=kubernetes
SOURCE_VERSION=1.20.5+really1.20.2-1.1+deb12u1
SUITE=bookworm
RELEASE=v1.20.2
GO=/usr/lib/go-1.19/bin
# Kubernetes 1.20 was made with Go 1.15. With 1.19 the reflect2 in the tree crashes at the first
# custom resource, and the validator refuses empty texts, because it takes them for null: no server
# that was released does either.
REFLECT=github.com/modern-go/reflect2
VALIDATOR=vendor/k8s.io/kube-openapi/pkg/validation/validate/type.go
ZERO='s/data == nil || reflect.DeepEqual(reflect.Zero(.*), reflect.ValueOf(data))/data == nil/'

home=$CACHE/kube
apiserver=$home/kube-apiserver
inputs=$(printf '%s\n' "$SOURCE_VERSION" "$SUITE" "$RELEASE" "$GO" "$REFLECT" "$VALIDATOR" \
  "$ZERO" "$(uname -m)" | sha256sum | cut -c 1-16)
stamp=$home/.built-$inputs

is_complete() {
  [ -x "$apiserver" ] && [ -e "$stamp" ] && command -v etcd >/dev/null 2>&1
}
if is_complete; then exit 0; fi
if [ "${1:-}" = --check ]; then exit 1; fi

without() {
  printf '\n*** kube-apiserver is MISSING: %s. What needs it is SKIPPED. ***\n\n' "$1" >&2
  exit 1
}

# Two makes take turns, also when they share the cache.
mkdir -p "$home"
exec 9>"$home/lock"
flock 9
if is_complete; then exit 0; fi

sh "$ROOT/deploy/bootstrap/system-packages.sh" etcd-server=etcd 9>&- ||
  without 'it needs etcd (Debian: etcd-server)'
if [ -x "$apiserver" ] && [ -e "$stamp" ]; then exit 0; fi
sh "$ROOT/deploy/bootstrap/system-packages.sh" make=make rsync=rsync dpkg-dev=dpkg-source \
  "golang-1.19-go=$GO/go" golang-github-modern-go-reflect2-dev= debian-archive-keyring= 9>&- ||
  without 'it is compiled by Go 1.19 as Debian 12 has it'

# apt with lists of its own: what the system knows of package sources stays as it is.
lists=$home/apt
own_apt() {
  apt-get -q -o "Dir::Etc::SourceList=$lists/sources.list" -o Dir::Etc::SourceParts=- \
    -o "Dir::State::Lists=$lists/lists" -o "Dir::Cache=$lists" -o APT::Sandbox::User=root "$@"
}
fetch_source() {
  mkdir -p "$lists/lists/partial" "$lists/archives/partial" || return 1
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "deb-src [signed-by=$keyring] http://deb.debian.org/debian $SUITE main" \
    >"$lists/sources.list"
  own_apt update && cd "$home" && own_apt --download-only source "$SOURCE=$SOURCE_VERSION"
}
# Each step only after the one before: in a condition "set -e" has no effect.
unpack_source() {
  rm -rf "$tree" "$tree.partial" &&
    dpkg-source --extract "$home/${SOURCE}_$SOURCE_VERSION.dsc" "$tree.partial" &&
    rm -rf "$tree.partial/vendor/$REFLECT" &&
    cp -R "/usr/share/gocode/src/$REFLECT" "$tree.partial/vendor/$REFLECT" &&
    sed -i "$ZERO" "$tree.partial/$VALIDATOR" &&
    ! grep -q reflect.Zero "$tree.partial/$VALIDATOR" &&
    mkdir -p "$tree.partial/.go/src/k8s.io" &&
    ln -s ../../.. "$tree.partial/.go/src/k8s.io/kubernetes"
}
compile() {
  cd "$tree" && env PATH="$GO:$PATH" GOPATH="$tree/.go" GOCACHE="$home/go-build" GO111MODULE=off \
    GOPROXY=off CGO_ENABLED=0 KUBE_GIT_VERSION="$RELEASE" make WHAT=cmd/kube-apiserver
}

# An interrupted run goes on from the last step that was done: the tree stands for an unpacked
# source, and Go keeps what it has compiled.
tree=$home/source-$inputs
if [ ! -d "$tree" ]; then
  say 'fetching the source of Kubernetes (45 MB)'
  logged kube-source fetch_source 9>&- ||
    without "Debian has no source $SOURCE $SOURCE_VERSION for us; see .cache/log/kube-source.log"
  logged kube-unpack unpack_source 9>&- || without 'its source could not be unpacked'
  mv "$tree.partial" "$tree"
fi
say 'compiling the API server of Kubernetes (about 6 minutes, once)'
logged kube-build compile 9>&- || without 'it did not compile'
cp "$tree/_output/local/go/bin/kube-apiserver" "$apiserver.partial"
[ "$("$apiserver.partial" --version 9>&-)" = "Kubernetes $RELEASE" ] ||
  without 'what was compiled does not run'
mv "$apiserver.partial" "$apiserver"
rm -f "$home"/.built-*
: >"$stamp"
rm -rf "$lists" "$home/go-build" "$home"/source-* "$home/${SOURCE}_"*
