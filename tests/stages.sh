# Stages of a run: sourced by tests/test.sh, and by the test that kills it.
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
times=() failed=()

# stage NAME COMMAND...: runs it, and notes its end and its minutes.
stage() {
    local name=$1 begin=$SECONDS end=ok
    shift
    echo "== $name"
    "$@" 2>&1 | tee "$log/$name"
    [ "${PIPESTATUS[0]}" = 0 ] || { end=FAILED; failed+=("$name"); }
    times+=("$(printf '%-12s %2d:%02d  %s' "$name" $(((SECONDS - begin) / 60)) $(((SECONDS - begin) % 60)) $end)")
}

# essential NAME COMMAND...: a stage without which the others say nothing.
essential() {
    stage "$@"
    [ ${#failed[@]} = 0 ] && return
    echo "test: '$1' failed, so nothing else was run" >&2
    exit 1
}

# report: the minutes, what was skipped or failed, and at the end what cargo said of each test binary.
report() {
    local skipped
    echo
    echo "== minutes"
    printf '%s\n' "${times[@]}"
    skipped=$(cat "$log"/* | grep -c '^SKIPPED' || true)
    [ "$skipped" = 0 ] || echo "SKIPPED in all: $skipped tests, since something they need is missing here"
    [ ${#failed[@]} = 0 ] || echo "FAILED: ${failed[*]}"
    grep -h '^test result:' "$log"/*
    [ ${#failed[@]} = 0 ]
}
