#!/bin/sh
# cross.sh [amd64|arm64] makes the prebuilt addon for that processor, as Docker names them; without a
# name for this one. Another processor's needs Debian's cross compiler.
set -eu
cd "$(dirname -- "$0")/.."
own=$(uname -m)
case ${1:-$own} in
  amd64 | x86_64) target=x64 machine=x86_64 ;;
  arm64 | aarch64) target=arm64 machine=aarch64 ;;
  *) echo "no addon for $1: amd64 or arm64" >&2; exit 1 ;;
esac
compiler=g++
if [ "$machine" != "$own" ]; then compiler=$machine-linux-gnu-g++; fi
exec make "-j$(nproc)" TARGET_ARCH=$target CXX=$compiler prebuild-one
