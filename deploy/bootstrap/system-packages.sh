#!/bin/sh
# system-packages.sh PACKAGE=COMMAND... installs each Debian package whose command is not there.
# No system service is started, enabled or changed by it: a temporary policy-rc.d forbids starts, and
# units that come with a package installed here are disabled. Packages that were there before are
# left alone.
set -eu
. "$(dirname -- "$0")/report.sh"

missing=''
for pair in "$@"; do
  package=${pair%%=*}
  command=${pair#*=}
  if [ -n "$command" ]; then
    command -v "$command" >/dev/null 2>&1 || missing="$missing $package"
  elif command -v dpkg-query >/dev/null 2>&1; then
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing="$missing $package"
  fi
done
if [ -z "$missing" ]; then exit 0; fi

by_hand="apt-get install --no-install-recommends$missing"
command -v apt-get >/dev/null 2>&1 ||
  fail "missing:$missing. This system has no apt-get: install them by its own means"
if [ "$(id -u)" = 0 ]; then
  as_root=''
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root='sudo -n'
else
  fail "missing:$missing. Neither root nor password-less sudo: run this, then make again:
    sudo $by_hand"
fi

POLICY=/usr/sbin/policy-rc.d
policy_made=''
forbid_starts() {
  if [ -e "$POLICY" ]; then return 0; fi
  printf '#!/bin/sh\n# Written by entrofleet set-up for one apt-get run.\nexit 101\n' |
    $as_root tee "$POLICY" >/dev/null
  policy_made=yes
  $as_root chmod 755 "$POLICY"
}
allow_starts() {
  if [ -n "$policy_made" ]; then $as_root rm -f "$POLICY"; fi
  policy_made=''
}
trap allow_starts EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -q -y "$@"; }

install_missing() {
  # shellcheck disable=SC2086 # a list of package names
  apt install --no-install-recommends $missing
}

# Disables what this run has brought, and only that.
disable_services() {
  for name in redis-server mosquitto etcd; do
    case "$missing " in *" $name "* | *" $name-server "*) ;; *) continue ;; esac
    if command -v systemctl >/dev/null 2>&1; then
      $as_root systemctl disable "$name.service"
    elif command -v update-rc.d >/dev/null 2>&1; then
      $as_root update-rc.d "$name" disable
    fi
  done
}

say "installing Debian packages:$missing"
forbid_starts
# shellcheck disable=SC2086 # a list of package names
if ! apt-get --simulate install $missing >/dev/null 2>&1; then logged apt-update apt update || true; fi
if ! logged apt-install install_missing; then
  say 'trying once more with fresh package lists'
  logged apt-update apt update || true
  logged apt-install install_missing || fail "could not install$missing; try: sudo $by_hand"
fi
logged disable-services disable_services ||
  say 'could not disable the services that came with the packages; nothing was started'
