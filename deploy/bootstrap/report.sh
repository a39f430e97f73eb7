# shellcheck shell=sh
# Sourced by the other scripts here: where things go, and how to tell the person at the terminal.

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
CACHE=$ROOT/.cache
LOGS=$CACHE/log
mkdir -p "$LOGS"
PATH=$CACHE/node/bin:$ROOT/node_modules/.bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() { printf 'set-up: %s\n' "$*" >&2; }

fail() {
  printf 'set-up failed: %s\n' "$*" >&2
  exit 1
}

# logged NAME COMMAND... runs the command with its output in .cache/log/NAME.log and shows the end
# of that log when the command fails.
logged() {
  log=$LOGS/$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null && return 0
  status=$?
  tail -n 30 "$log" >&2
  say "\"$*\" failed with status $status; the whole log is in $log"
  return "$status"
}
