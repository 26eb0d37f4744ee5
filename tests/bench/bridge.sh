#!/bin/bash
# ops-bridge beside jq, journalctl | grep and lnav on the same journal: CPU time, the least of five runs, as a ratio; and the
# memory for a journal of ten million lines.
set -euo pipefail

own=$OPS_BIN_DIR/ops-bridge
recorded=$PWD/tests/e2e/bridge/recorded/flow.json
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# The fields that journald adds to what is recorded.
jq -c '. + {__MONOTONIC_TIMESTAMP: "60619876541", __SEQNUM: "625", __SEQNUM_ID: "c4ee008ad38f46eca42d8fdd0ab5cb94",
    _TRANSPORT: "stdout", _STREAM_ID: "0f3bf2b0b6b44a4d9d2c3b2ff1d2a9aa", SYSLOG_IDENTIFIER: "mautrix-slack", SYSLOG_FACILITY: "3",
    _PID: "412", _UID: "997", _GID: "997", _EXE: "/usr/local/bin/mautrix-slack", _CMDLINE: "/usr/local/bin/mautrix-slack -c config.yaml",
    _CAP_EFFECTIVE: "0", _SYSTEMD_CGROUP: "/system.slice/mautrix-slack.service", _SYSTEMD_UNIT: "mautrix-slack.service",
    _SYSTEMD_SLICE: "system.slice", _MACHINE_ID: "67a11875c6774a418fc5690c3525abec", _HOSTNAME: "h", _RUNTIME_SCOPE: "system"}' \
    "$recorded" > dense.json
# What a bridge writes while few messages pass: the homeserver's transactions and its own requests.
grep -E 'Request completed|Starting handling of transaction|Finished dispatching' dense.json > routine.json
{ cat dense.json; for _ in {1..50}; do cat routine.json; done; } > day.json
repeat() { while cat "$1"; do :; done 2> /dev/null | head -n "$2"; }
repeat dense.json 200000 > busy.json
repeat day.json 200000 > quiet.json

# least COMMAND...: CPU time in milliseconds.
least() {
    for _ in 1 2 3 4 5; do
        { TIMEFORMAT='%U %S'; time "$@" > /dev/null 2>&1 || :; } 2>&1 | awk '{ print int(($1 + $2) * 1000) }'
    done | sort -n | head -n 1
}

# compare NAME WANTED OTHER OWN: the other must take at least WANTED times as long; 0 asks for nothing.
missed=0
compare() {
    awk -v name="$1" -v wanted="$2" -v other="$3" -v own="$4" 'BEGIN {
        ratio = other / (own > 0 ? own : 1)
        printf "bridge  %-34s %6.1f times as fast%s\n", name, ratio,
            (wanted == 0 ? "" : sprintf(" (at least %d)  %s", wanted, ratio >= wanted ? "ok" : "MISSED"))
        exit wanted > 0 && ratio < wanted
    }' || missed=1
}

for journal in busy quiet; do
    jq=$(least jq -c .MESSAGE $journal.json)
    mine=$(least "$own" errors --json $journal.json)
    compare "errors, jq -c .MESSAGE, $journal" $([ $journal = quiet ] && echo 20 || echo 10) "$jq" "$mine"
done
if command -v lnav > /dev/null; then
    compare "errors, lnav -n, quiet" 1 "$(least lnav -n -c ':filter-in error' quiet.json)" "$mine"
fi

# As systemd keeps it: what journalctl takes to print it, and what this takes to read that.
if [ -x /lib/systemd/systemd-journal-remote ]; then
    head -n 50000 quiet.json | jq -r 'to_entries[] | select(.key != "__CURSOR") | "\(.key)=\(.value)"
        , (if .key == "_RUNTIME_SCOPE" then "" else empty end)' > export
    /lib/systemd/systemd-journal-remote -o quiet.journal export 2> /dev/null
    journalctl --file quiet.journal -q --all -o json > printed.json
    compare "errors, journalctl -o json" 1 "$(least journalctl --file quiet.journal -q --all -o json)" \
        "$(least "$own" errors --json printed.json)"
    compare "errors, journalctl | grep" 1 "$(least sh -c 'journalctl --file quiet.journal -q -o cat | grep -c error')" \
        "$(least "$own" errors --json printed.json)"
fi

# Peak memory in KiB, from stdin.
peak() {
    repeat day.json "$1" | "$own" health --json - > /dev/null &
    local reader=$! most=0 now
    while now=$(awk '/VmHWM/ { print $2 }' /proc/$reader/status 2> /dev/null) && [ -n "$now" ]; do
        most=$now
        sleep 0.05
    done
    echo "$most"
}
many=$(peak 10000000)
awk -v many="$many" 'BEGIN {
    ok = many > 0 && many <= 32768
    printf "bridge  memory for 10,000,000 lines: %d KiB (at most 32,768)  %s\n", many, (ok ? "ok" : "MISSED")
    exit !ok
}' || missed=1
exit $missed
