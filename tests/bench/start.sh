#!/bin/bash
# How much a tool costs before it does anything: instructions of `--version`, beside a minimal clap program linked alike.
# Instructions, not seconds: the same count every time, whatever else the machine does.
set -euo pipefail

instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" --version 2>&1 | sed -n 's/.*I *refs: *//p' | tr -d ,
}

least=$(instructions "$OPS_BIN_DIR/ops-least")
[ "$least" -gt 0 ]
status=0
for tool in ops-bridge ops-db ops-deploy ops-matrix ops-secrets; do
    own=$(instructions "$OPS_BIN_DIR/$tool")
    verdict=$(awk -v own="$own" -v least="$least" 'BEGIN { print own <= 5 * least ? "ok" : "MISSED" }')
    awk -v tool="$tool" -v own="$own" -v least="$least" -v verdict="$verdict" \
        'BEGIN { printf "start   %-12s %5.2f times a minimal program (at most 5)  %s\n", tool, own / least, verdict }'
    [ "$verdict" = ok ] || status=1
done
exit $status
