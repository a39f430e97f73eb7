#!/bin/sh
# Arm instructions a decoded symbol takes, and a weight that is multiplied, counted in an emulator
# that runs them one by one: `make bench-neon`. The arguments are test/decode_once.cc and
# test/multiply_once.cc, compiled for Arm without shared libraries.
set -eu

decode=$1
multiply=$2

# count PROCESSOR PATTERN PROGRAM [ARGUMENT...] prints how many instructions it runs, in functions
# whose names hold PATTERN, for each of the things that it prints the number of.
count() {
  processor=$1
  # Where those functions lie in memory. Each of their instructions that runs is a line of the
  # trace.
  places=$(aarch64-linux-gnu-nm -S -C "$3" | awk -v pattern="$2" '/ [tT] / && $0 ~ pattern {
    printf "%s0x%s+0x%s", comma, $1, $2; comma = "," }')
  shift 2
  things=$(qemu-aarch64 -cpu "$processor" "$@")
  qemu-aarch64 -cpu "$processor" -singlestep -d exec,nochain -dfilter "$places" "$@" 2>&1 |
    awk -v things="$things" '/^Trace/ { count++ } END { printf "%6.3f", count / things }'
}

for codec in lanes huffman; do
  printf '%-8s %s instructions a symbol\n' "$codec" \
    "$(count max 'entrofleet::.*decode' "$decode" "$codec")"
done

products='(dot_|multiply_|add_exceptions|finish_sums|unpack_)'
# SYMBOL_BITS WINDOW_BITS NAME
for form in '8 8 u8-plain' '8 6 u8-window-6' '4 4 u4-plain' '4 2 u4-window-2'; do
  for positions in 1 4 16; do
    # shellcheck disable=SC2086 # two numbers and a name
    set -- $form $positions
    printf '%-12s %2d positions: %s instructions a product, %s with dot products of bytes\n' \
      "$3" "$4" "$(count cortex-a57 "$products" "$multiply" "$1" "$2" "$4")" \
      "$(count max "$products" "$multiply" "$1" "$2" "$4")"
  done
done
