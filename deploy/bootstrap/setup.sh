#!/bin/sh
# Brings everything that `make demo` and `make test` need: Node, Debian packages, npm packages, the
# native addon and the build. Says little, logs all to .cache/log, and takes about a second when
# there is nothing to do.
set -eu
. "$(dirname -- "$0")/report.sh"
here=$ROOT/deploy/bootstrap

# Two makes in one checkout take turns.
exec 9>"$CACHE/setup.lock"
flock 9

sh "$here/node.sh" 9>&-
hash -r
sh "$here/system-packages.sh" \
  g++=g++ make=make redis-server=redis-server mosquitto=mosquitto 9>&-

cd "$ROOT"
# The stamp stands in node_modules, so it goes when that folder goes.
wanted=$({ node --version; cat package-lock.json package.json libs/*/package.json apps/*/package.json; } |
  sha256sum | cut -d ' ' -f 1)
stamp=node_modules/.entrofleet-$wanted
if [ ! -e "$stamp" ]; then
  say 'installing npm packages'
  logged npm-ci npm ci --ignore-scripts --no-audit --no-fund 9>&- || fail 'npm ci'
  : >"$stamp"
fi

jobs=$(nproc 2>/dev/null || echo 2)
say 'building'
logged native make -C libs/native "-j$jobs" 9>&- || fail 'the native addon did not compile'
logged tsc tsc -b 9>&- || fail 'TypeScript did not compile'
