#!/bin/sh
# Arm instructions a decoded symbol takes, counted in an emulator that runs them one by one:
# `make bench-neon`. The argument is test/decode_once.cc, compiled for Arm without shared libraries.
set -eu

program=$1

# Where our decoders lie in memory. Each of their instructions that runs is a line of the trace.
decoders=$(aarch64-linux-gnu-nm -S -C "$program" |
  awk '/ [tT] .*entrofleet::.*decode/ { printf "%s0x%s+0x%s", comma, $1, $2; comma = "," }')

for codec in lanes huffman; do
  symbols=$(qemu-aarch64 "$program" "$codec")
  qemu-aarch64 -singlestep -d exec,nochain -dfilter "$decoders" "$program" "$codec" 2>&1 |
    awk -v codec="$codec" -v symbols="$symbols" '/^Trace/ { count++ }
      END { printf "%-8s %5.2f instructions a symbol\n", codec, count / symbols }'
done
