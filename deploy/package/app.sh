#!/bin/sh
# app.sh APP FOLDER fills the new folder FOLDER with what a machine needs to run APP (agent or
# controller), beside Node: compiled JavaScript, npm packages, the prebuilt addons that there are and
# a list of all parts (sbom.cdx.json, CycloneDX). No compiler is needed to run it. The agent's has
# the installer as well, and the addon's sources for a machine that no prebuilt one fits.
#
# Before it: npm ci, tsc -b, make -C libs/native prebuild.
set -eu
app=$1
folder=$(realpath -m "$2")
cd "$(dirname -- "$0")/../.."
root=$PWD
[ ! -e "$folder" ] || { echo "$folder exists already; name a new folder" >&2; exit 1; }
[ -e "apps/$app/dist/main.js" ] || { echo 'nothing is compiled; run: make build' >&2; exit 1; }
[ -e libs/native/prebuilds ] || { echo 'no prebuilt addon; run: make prebuild' >&2; exit 1; }

packages=$(npm ls "--workspace=@entrofleet/$app" --omit=dev --all --parseable 2>/dev/null |
  sed -n "s,^$root/,,p")
[ -n "$packages" ] || { echo 'npm packages are missing; run: make setup' >&2; exit 1; }

paths='package.json LICENSE README.md libs/native/prebuilds'
case $app in
  agent)
    paths="$paths deploy/install-agent.sh deploy/systemd/entrofleet-agent.service
      deploy/systemd/entrofleet-agent.sysusers deploy/systemd/agent.env
      libs/native/Makefile libs/native/prebuild libs/native/kernels libs/native/binding"
    ;;
  controller) paths="$paths apps/controller/migrations" ;;
esac
# Workspaces are links in node_modules: the link goes along, and of its target what is run.
for package in $packages; do
  # Swagger names the compiler as an optional peer, for a plugin that only builds use.
  case $package in node_modules/typescript | node_modules/@typescript/*) continue ;; esac
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
# Of what lies there now, not of what was to be put there.
cd "$folder"
npm pkg delete devDependencies --workspaces --include-workspace-root
npm sbom --omit=dev --sbom-format=cyclonedx --sbom-type=application >sbom.partial
mv sbom.partial sbom.cdx.json
