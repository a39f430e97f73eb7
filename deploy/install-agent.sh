#!/bin/sh
# Installs, upgrades or removes the entrofleet agent on a node with systemd: Debian 11, Ubuntu 20.04,
# JetPack 5 and newer, on amd64 or arm64. It lies in the package that `make agent-package` makes:
#
#   tar -xzf entrofleet-agent.tar.gz
#   sudo sh entrofleet/deploy/install-agent.sh
#
# Run again with a newer package it upgrades: configuration and data stay, the agent restarts.
set -eu

usage() {
  cat <<'END'
Usage: install-agent.sh [--dry-run] [--root FOLDER]
       install-agent.sh --uninstall [--purge] [--dry-run] [--root FOLDER]

  --dry-run      check everything, say what would be done, change nothing
  --uninstall    remove program and unit; configuration and models stay
  --purge        with --uninstall: remove configuration, models and the user as well
  --root FOLDER  install into this system's root folder, which does not run (an image)
END
}

USER_NAME=entrofleet-agent
UNIT=entrofleet-agent.service
NEEDED_MIB=200

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install-agent.sh: %s\n' "$*" >&2
  exit 1
}
# Runs a command, or says that it would.
act() {
  if [ -n "$dry_run" ]; then say "would run: $*"; else "$@"; fi
}

dry_run=''
task=install
purge=''
root=''
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry_run=yes ;;
    --uninstall) task=uninstall ;;
    --purge) purge=yes ;;
    --root)
      [ $# -gt 1 ] || fail '--root needs a folder'
      root=${2%/}
      shift
      ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  shift
done
[ -z "$purge" ] || [ "$task" = uninstall ] || fail '--purge goes with --uninstall'
[ -z "$root" ] || [ -d "$root" ] || fail "--root $root is no folder"

package=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
program=$root/opt/entrofleet
settings=$root/etc/entrofleet
unit=$root/etc/systemd/system/$UNIT
account=$root/usr/lib/sysusers.d/entrofleet-agent.conf
data=$root/var/lib/entrofleet-agent

check_rights() {
  if [ -n "$dry_run" ] || [ "$(id -u)" = 0 ]; then return 0; fi
  fail 'needs root: run it with sudo, or with --dry-run to see what it would do'
}

# A folder that this script did not make is not this script's to replace.
check_program_folder() {
  [ ! -e "$program/apps/controller" ] ||
    fail "$program holds a controller too; install the agent on another node"
}

check_system() {
  [ "$(uname -s)" = Linux ] || fail "needs Linux, this is $(uname -s)"
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) fail "needs amd64 or arm64, this is $(uname -m)" ;;
  esac
  release=$root/etc/os-release
  [ -e "$release" ] || fail "$release is missing: needs Debian, Ubuntu or JetPack"
  # shellcheck disable=SC1090 # of the system that is installed into
  family=$(. "$release" && printf '%s' " ${ID:-} ${ID_LIKE:-} ")
  case $family in
    *' debian '* | *' ubuntu '*) ;;
    *) fail "needs Debian, Ubuntu or JetPack, this is$family; by hand: docs/OPERATIONS.md" ;;
  esac
  if [ -e "$root/etc/nv_tegra_release" ]; then
    say "NVIDIA Jetson: $(head -n 1 "$root/etc/nv_tegra_release" | cut -d , -f 1,2)"
  fi
  [ -n "$root" ] || [ -d /run/systemd/system ] ||
    fail 'needs systemd as the init system, which does not run here; --root FOLDER fills an image'
  command -v systemd-sysusers >/dev/null 2>&1 || fail 'needs systemd-sysusers: apt-get install systemd'
}

check_node() {
  by_hand="install Node 24 from https://nodejs.org, for example
  tar -xJf node-v24.x.y-linux-$arch.tar.xz -C /usr/local --strip-components=1"
  # As the unit finds it, wherever the one who installs keeps others.
  node=$(PATH=$root/usr/local/bin:$root/usr/bin:$root/bin command -v node) ||
    fail "needs Node 22.12 or newer, and there is none; $by_hand"
  "$node" -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 22 || (major === 22 && minor >= 12) ? 0 : 1)' ||
    fail "needs Node 22.12 or newer, $node is $("$node" --version); $by_hand"
}

check_package() {
  if [ ! -e "$package/apps/agent/dist/main.js" ] || [ ! -e "$package/libs/native/prebuilds" ]; then
    fail "$package is not the agent's package: unpack entrofleet-agent.tar.gz (make agent-package)
  and run the install-agent.sh in it"
  fi
  [ "$package" != "$(realpath -m "$program")" ] ||
    fail "this is the installed agent; run the install-agent.sh of the package to install"
  # The program itself tells best whether processor, glibc and addon go together.
  version=$("$node" "$package/apps/agent/dist/main.js" --version) ||
    fail 'the agent does not start here; what it says stands above'
}

check_disk() {
  folder=$root/opt
  [ -d "$folder" ] || folder=${root:-/}
  free_mib=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
  [ "$free_mib" -ge "$NEEDED_MIB" ] ||
    fail "needs $NEEDED_MIB MiB free in $folder, there are $free_mib"
}

systemd() {
  if [ -z "$root" ]; then act systemctl "$@"; fi
}

put_program() {
  act mkdir -p "$root/opt" "$root/etc/systemd/system" "$root/usr/lib/sysusers.d"
  act rm -rf "$program.new" "$program.old"
  act cp -a --no-preserve=ownership "$package" "$program.new"
  act chmod -R u=rwX,go=rX "$program.new"
  # The old program stays whole until the new one is: a cut in between loses neither.
  if [ -e "$program" ]; then act mv "$program" "$program.old"; fi
  act mv "$program.new" "$program"
  act rm -rf "$program.old"
}

put_settings() {
  act install -m 644 "$package/deploy/systemd/entrofleet-agent.sysusers" "$account"
  act systemd-sysusers ${root:+"--root=$root"} entrofleet-agent.conf
  if [ -e "$settings/agent.env" ]; then
    say "keeping $settings/agent.env"
  else
    act install -d -m 755 "$settings"
    act install -m 600 "$package/deploy/systemd/agent.env" "$settings/agent.env"
  fi
  act install -m 644 "$package/deploy/systemd/$UNIT" "$unit"
  if [ -n "$root" ]; then act systemctl --root="$root" enable --quiet "$UNIT"; fi
  systemd daemon-reload
  systemd enable --quiet "$UNIT"
}

install_agent() {
  check_system
  check_node
  check_program_folder
  check_package
  check_disk
  is_upgrade=''
  if [ -e "$settings/agent.env" ] && [ -e "$program" ]; then is_upgrade=yes; fi
  say "installing entrofleet-agent $version in $program"
  put_program
  put_settings
  if [ -n "$is_upgrade" ]; then
    systemd restart "$UNIT"
    say 'upgraded'
  else
    say "installed. Now set MQTT_URL in $settings/agent.env, then run:"
    say "  systemctl start $UNIT && systemctl status $UNIT"
  fi
}

uninstall_agent() {
  check_program_folder
  if [ -e "$unit" ]; then
    systemd disable --now "$UNIT"
    if [ -n "$root" ]; then act systemctl --root="$root" disable --quiet "$UNIT"; fi
  fi
  act rm -rf "$unit" "$account" "$program" "$program.new" "$program.old"
  systemd daemon-reload
  if [ -n "$purge" ]; then
    act rm -rf "$data" "$settings/agent.env"
    if [ -d "$settings" ]; then act rmdir --ignore-fail-on-non-empty "$settings"; fi
    if grep -q "^$USER_NAME:" "$root/etc/passwd" 2>/dev/null; then
      act userdel ${root:+--prefix "$root"} "$USER_NAME"
    fi
    say 'removed, with configuration and models'
  else
    say "removed; $settings and $data stay (--purge removes them)"
  fi
}

check_rights
case $task in
  install) install_agent ;;
  uninstall) uninstall_agent ;;
esac
