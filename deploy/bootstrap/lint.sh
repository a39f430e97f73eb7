#!/bin/sh
# Runs every static check and tells at the end which of them failed.
set -u
. "$(dirname -- "$0")/report.sh"
cd "$ROOT" || exit 1

failed=''
check() {
  name=$1
  shift
  printf 'lint: %s\n' "$name"
  "$@" || failed="$failed $name"
}

shell_scripts() {
  if ! command -v shellcheck >/dev/null 2>&1; then
    sh deploy/bootstrap/system-packages.sh shellcheck=shellcheck || {
      echo 'lint: SKIPPED shell scripts: no shellcheck, and it could not be installed'
      return 0
    }
  fi
  git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck
}

dockerfiles() {
  for file in deploy/docker/*.Dockerfile; do
    dockerfile-utils lint "$file" || return 1
  done
}

check biome biome ci --colors=off --error-on-warnings .
check types tsc -p tsconfig.test.json
check dependencies depcruise --config .dependency-cruiser.mjs libs apps
check shell shell_scripts
check dockerfiles dockerfiles

if [ -n "$failed" ]; then
  printf 'lint: FAILED:%s\n' "$failed"
  exit 1
fi
echo 'lint: all good'
