#!/bin/sh
# Runs `make demo ONCE=1`, twice, and `make test` from a fresh clone in a Debian 12 that has only git,
# make, curl, ca-certificates and Debian's own nodejs and npm. Needs root and debootstrap.
#
#   sh test/chroot/run.sh [COMMAND]      COMMAND replaces those three, e.g. "make demo ONCE=1"
#
# CHROOT_FOLDER (default /var/tmp/entrofleet-chroot) keeps the bare system for the next time.
# MIRROR (default http://deb.debian.org/debian) is where it comes from.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
folder=${CHROOT_FOLDER:-/var/tmp/entrofleet-chroot}
mirror=${MIRROR:-http://deb.debian.org/debian}
base=$folder/bookworm
system=$folder/run

[ "$(id -u)" = 0 ] || { echo 'test-chroot needs root' >&2; exit 1; }
command -v debootstrap >/dev/null || { echo 'test-chroot needs: apt-get install debootstrap' >&2; exit 1; }

# The network works in there as it does out here, also through a proxy with its own certificates.
connect_network() {
  cp -L /etc/resolv.conf "$1/etc/resolv.conf"
  cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
  for file in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/99*; do
    if [ -e "$file" ]; then cp "$file" "$1/etc/apt/apt.conf.d/"; fi
  done
  npm config get registry --location=user 2>/dev/null | grep '^http' |
    sed 's/^/registry=/' >"$1/root/.npmrc"
}

# in_namespace FOLDER SCRIPT: mounts and processes go with the namespaces, however this script ends.
in_namespace() {
  # shellcheck disable=SC2016 # expanded in the namespace
  unshare --mount --pid --fork --kill-child sh -c '
    set -e
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot "$1" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      HOME=/root LANG=C.UTF-8 NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt sh -c "$2"
  ' sh "$1" "$2" </dev/null
}

if [ ! -e "$base/.complete" ]; then
  rm -rf "$base"
  mkdir -p "$base"
  debootstrap --variant=minbase --include=git,make,curl,ca-certificates bookworm "$base" "$mirror"
  connect_network "$base"
  # npm has more dependencies than debootstrap can put in order.
  in_namespace "$base" 'apt-get update -q &&
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends nodejs npm &&
    rm -rf /var/lib/apt/lists/* && apt-get clean'
  : >"$base/.complete"
fi

rm -rf "$system"
cp -a "$base" "$system"
connect_network "$system"
git clone --quiet --no-hardlinks "$root" "$system/src/entrofleet"

if [ $# -gt 0 ]; then commands=$*; else commands='make demo ONCE=1
make demo ONCE=1
make test'; fi
printf '%s\n' "$commands" | while IFS= read -r line; do
  # shellcheck disable=SC2016 # expanded in the chroot
  printf 'echo "=== %s"; s=$(date +%%s); %s || { echo "FAILED: %s"; exit 1; }\n' "$line" "$line" "$line"
  # shellcheck disable=SC2016
  printf 'echo "=== took $(($(date +%%s) - s)) s"\n'
done >"$system/root/commands.sh"
cat >>"$system/root/commands.sh" <<'CHECKS'
cd /src/entrofleet
[ -z "$(git status --short)" ] || { echo 'FAILED: the checkout is not clean'; git status --short; exit 1; }
[ ! -e /usr/sbin/policy-rc.d ] || { echo 'FAILED: policy-rc.d was left behind'; exit 1; }
left=$(find /etc/systemd/system -name 'redis*' -o -name 'mosquitto*' 2>/dev/null | grep wants || true)
[ -z "$left" ] || { echo "FAILED: services were left enabled: $left"; exit 1; }
# What a process leaves goes right after it, not before.
for _ in 1 2 3 4 5; do
  left=$(find /tmp -maxdepth 1 -name 'entrofleet-*')
  if [ -z "$left" ]; then break; fi
  sleep 1
done
[ -z "$left" ] || { echo "FAILED: left behind: $left"; exit 1; }
for process in /proc/[0-9]*; do
  name=$(cat "$process/comm" 2>/dev/null || true)
  case $name in redis-server | mosquitto | node | entrofleet*) echo "FAILED: $name still runs"; exit 1 ;; esac
done
echo '=== nothing was left behind'
CHECKS

in_namespace "$system" 'cd /src/entrofleet && . /root/commands.sh'
