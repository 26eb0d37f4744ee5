#!/bin/bash
# Everything that CI runs: test.sh [STAGE...]
#
# Builds first, since there is no network where the tests run; then every test binary in a lab of its own, which ends
# with it. One that fails does not stop the others. Stages: unit, the names of the end-to-end tests, check.
set -uo pipefail
cd "$(dirname "$(realpath "$0")")/.."
. tests/stages.sh
export OPS_BIN_DIR=$PWD/target/debug INSTA_UPDATE=no INSTA_WORKSPACE_ROOT=$PWD

wanted=" $* "
asked() { [ "$wanted" = "  " ] || [[ $wanted = *" $1 "* ]]; }

essential setup tests/setup.sh
essential build cargo build --workspace --bins --tests
runner=()
if why=$("$OPS_BIN_DIR/ops-lab" missing); then
    essential hosts "$OPS_BIN_DIR/ops-lab" build
    for machine in X86_64 AARCH64; do
        runner+=("CARGO_TARGET_${machine}_UNKNOWN_LINUX_GNU_RUNNER=$OPS_BIN_DIR/ops-lab run --")
    done
else
    echo "test: left out: all tests that need the lab: $why"
fi

if asked unit; then
    stage unit env "${runner[@]}" cargo test --workspace --lib --bins --no-fail-fast
    # Without a lab: rustdoc runs them from threads that end, which a lab would take for the end of its parent.
    stage examples cargo test --workspace --doc --no-fail-fast
fi
# The end-to-end tests, by the names that the packages give them.
mapfile -t names < <(sed -n '/^\[\[test\]\]/ { n; s/^name = "\(.*\)"/\1/p }' tests/Cargo.toml tests/contract/Cargo.toml)
[ ${#names[@]} != 0 ] || { echo "test: no end-to-end test was found" >&2; exit 1; }
for name in "${names[@]}"; do
    if asked "$name"; then stage "$name" env "${runner[@]}" cargo test --workspace --test "$name" --no-fail-fast; fi
done
# Last: it compiles everything once more in its own way.
if asked check; then stage check tests/check.sh; fi
report
