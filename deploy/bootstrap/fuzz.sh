#!/bin/sh
# Runs the kept fuzz inputs, then fuzzes for FUZZ_SECONDS (20) in all. Says so, and succeeds, when
# there is no clang++ and it cannot be installed.
set -u
. "$(dirname -- "$0")/report.sh"
cd "$ROOT" || exit 1

sh deploy/bootstrap/system-packages.sh clang=clang++ || {
  echo 'fuzz: SKIPPED: no clang++, and it could not be installed'
  exit 0
}
logged fuzz-build make -C libs/native "-j$(nproc)" fuzz-build || exit 1
make --silent --no-print-directory -C libs/native fuzz-corpus fuzz FUZZ_SECONDS="${FUZZ_SECONDS:-20}"
