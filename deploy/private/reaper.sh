#!/bin/sh
# Makes a temporary folder, prints its path, and removes it once standard input ends: that is, when
# the process that holds the other end of the pipe has ended, however it ended.
set -u
folder=$(mktemp -d "${TMPDIR:-/tmp}/entrofleet-XXXXXX") || exit 1
echo "$folder"
read -r _
# The processes that write into the folder are killed by the same end of file at the same moment, so
# a first removal may find one that is still writing.
attempt=0
while [ -e "$folder" ] && [ "$attempt" -lt 50 ]; do
  rm -rf "$folder" 2>/dev/null
  attempt=$((attempt + 1))
  sleep 0.1
done
