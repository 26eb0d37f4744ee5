#!/bin/bash
# Everything that CI runs: test.sh [STAGE...]
#
# Builds first, since there is no network where the tests run; then every test binary in a lab of its own, which ends
# with it. One that fails does not stop the others. Stages: check, unit, and the names of the end-to-end tests.
set -uo pipefail
cd "$(dirname "$(realpath "$0")")/.."
export OPS_BIN_DIR=$PWD/target/debug INSTA_UPDATE=no

wanted=" $* "
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
times=() failed=()

# stage NAME COMMAND...: runs it bound to the life of this script, and notes its end and its minutes.
stage() {
    local name=$1 begin=$SECONDS end=ok
    shift
    echo "== $name"
    setpriv --pdeathsig KILL "$@" 2>&1 | tee "$log/$name"
    [ "${PIPESTATUS[0]}" = 0 ] || { end=FAILED; failed+=("$name"); }
    times+=("$(printf '%-12s %2d:%02d  %s' "$name" $(((SECONDS - begin) / 60)) $(((SECONDS - begin) % 60)) $end)")
}
asked() { [ "$wanted" = "  " ] || [[ $wanted = *" $1 "* ]]; }
essential() { stage "$@"; [ ${#failed[@]} = 0 ] || { echo "test: '$1' failed, so nothing else was run" >&2; exit 1; }; }

essential setup tests/setup.sh
essential build cargo build --workspace --bins
essential compile cargo test --quiet --workspace --no-run
if why=$($OPS_BIN_DIR/ops-lab missing); then
    essential lab $OPS_BIN_DIR/ops-lab build
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$OPS_BIN_DIR/ops-lab run --"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER
else
    echo "test: left out: all tests that need the lab: $why"
fi

if asked check; then stage check tests/check.sh; fi
if asked unit; then
    stage unit cargo test --workspace --lib --bins --no-fail-fast
    # Run by threads of rustdoc, which the lab would take for parents that end; they reach for nothing.
    stage examples env -u CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER -u CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER \
        cargo test --workspace --doc --no-fail-fast
fi
# The end-to-end tests, by the names that the packages give them.
mapfile -t tests < <(cargo metadata --no-deps --format-version 1 | jq -r '
    .packages[] | .name as $package | .targets[] | select(.kind == ["test"]) | "\($package) \(.name)"')
for test in "${tests[@]}"; do
    name=${test#* }
    if asked "$name"; then stage "$name" cargo test -p "${test% *}" --test "$name" --no-fail-fast; fi
done

echo
echo "== minutes"
printf '%s\n' "${times[@]}"
skipped=$(cat "$log"/* | grep -c '^SKIPPED' || true)
[ "$skipped" = 0 ] || echo "SKIPPED in all: $skipped tests, since something they need is missing here"
[ ${#failed[@]} = 0 ] || echo "FAILED: ${failed[*]}"
grep -h '^test result:' "$log"/*
[ ${#failed[@]} = 0 ]
