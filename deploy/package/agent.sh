#!/bin/sh
# agent.sh FOLDER fills the new folder FOLDER with what a node needs to run the agent, beside Node:
# compiled JavaScript, npm packages, the prebuilt addons that there are, the addon's sources for a
# machine that none of those fits, and the systemd unit. No compiler is needed to run it.
#
# Before it: npm ci, tsc -b, make -C libs/native prebuild.
set -eu
cd "$(dirname -- "$0")/../.."
root=$PWD
folder=$1
[ ! -e "$folder" ] || { echo "$folder exists already; name a new folder" >&2; exit 1; }
[ -e apps/agent/dist/main.js ] || { echo 'nothing is compiled; run: make build' >&2; exit 1; }
[ -e libs/native/prebuilds ] || { echo 'no prebuilt addon; run: make prebuild' >&2; exit 1; }

packages=$(npm ls --workspace=@entrofleet/agent --omit=dev --all --parseable 2>/dev/null |
  sed -n "s,^$root/,,p")
[ -n "$packages" ] || { echo 'npm packages are missing; run: make setup' >&2; exit 1; }

# Workspaces are links in node_modules: the link goes along, and of its target what is run.
paths='package.json LICENSE README.md
deploy/install-agent.sh deploy/systemd/entrofleet-agent.service
deploy/systemd/entrofleet-agent.sysusers deploy/systemd/agent.env
libs/native/prebuilds libs/native/Makefile libs/native/prebuild
libs/native/kernels libs/native/binding'
for package in $packages; do
  if [ -L "$package" ]; then
    target=$(realpath --relative-to="$root" "$package")
    paths="$paths $target/package.json $target/dist"
  fi
  paths="$paths $package"
done

mkdir -p "$folder"
# shellcheck disable=SC2086 # a list of paths without spaces
tar -cf - --exclude='*.d.ts' --exclude='*js.map' --exclude='*ts.map' --exclude='*.tsbuildinfo' \
  --exclude='*.partial' $paths | tar -xf - --no-same-owner -C "$folder"
