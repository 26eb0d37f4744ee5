#!/bin/bash
# Runs a command so that nothing of it outlives whoever has started it: bound.sh COMMAND...
#
# As root, all that the command starts lives in a process namespace of its own, which the kernel ends with its first
# process: so also a compiler that a killed cargo would leave behind. This script ends with its parent, the namespace
# with this script. (unshare itself does not listen to signals, so they are handled here.)
if [ "${1:-}" != --bound ]; then
    exec setpriv --pdeathsig KILL "$0" --bound "$@"
fi
shift
[ "$(id -u)" = 0 ] || exec "$@"

# What runs in the background of a script ignores Ctrl-C, and would hand that on to every test.
first='trap "exit 130" HUP INT TERM; env --default-signal=INT,QUIT "$@" <&0 & wait $!'
setpriv --pdeathsig KILL unshare --pid --fork --mount-proc --kill-child=KILL bash -c "$first" bash "$@" <&0 &
namespace=$!
trap 'kill -KILL $namespace; trap - INT; kill -INT $$' INT
trap 'kill -KILL $namespace; trap - TERM; kill -TERM $$' TERM HUP
wait $namespace
