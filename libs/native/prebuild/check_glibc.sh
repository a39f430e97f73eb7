#!/bin/sh
# check_glibc.sh ADDON VERSION fails, and names them, when the addon takes symbols from a glibc
# newer than VERSION. OBJDUMP is the objdump for its machine.
set -eu

newer=$("${OBJDUMP:-objdump}" -T "$1" | sed -n 's/.*UND.*GLIBC_\([0-9.]*\)[ )]*\(.*\)/\1 \2/p' |
  while read -r version symbol; do
    newest=$(printf '%s\n%s\n' "$version" "$2" | sort -V | tail -n 1)
    if [ "$newest" != "$2" ]; then printf ' %s (glibc %s)' "$symbol" "$version"; fi
  done)
if [ -n "$newer" ]; then
  echo "$1 needs a glibc newer than $2:$newer; see prebuild/rules.mk" >&2
  exit 1
fi
