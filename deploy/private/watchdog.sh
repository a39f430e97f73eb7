#!/bin/sh
# Runs one command in a session of its own and ends it when the process that asked for it ends.
#
#   watchdog.sh LOG COMMAND [ARGUMENT...]
#
# Standard input is a pipe that the asking process holds open and never writes to. It ends with that
# process, however it ended, so end of file is the one signal that a kill -9 cannot suppress. The
# command's process id is the only line on standard output; its own output is appended to LOG. The
# exit status is the command's.
set -u
log=$1
shift
exec 3<&0
setsid "$@" </dev/null >>"$log" 2>&1 3<&- &
child=$!
echo "$child"

end_group() { kill -KILL -- "-$child" 2>/dev/null || kill -KILL "$child" 2>/dev/null; }

(
  read -r _ <&3
  end_group
) >/dev/null 2>&1 &
guard=$!

wait "$child"
status=$?
# What the command left behind in its group goes with it, as under systemd's KillMode=control-group.
end_group
kill "$guard" 2>/dev/null
exit "$status"
