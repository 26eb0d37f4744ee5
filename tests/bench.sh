#!/bin/bash
# The tools beside their peers, in one run on one machine: ratios, never seconds. Status 1 when a stated ratio is missed.
# bench.sh [NAME...] runs tests/bench/NAME.sh only.
set -uo pipefail
cd "$(dirname "$(realpath "$0")")/.."
export OPS_BIN_DIR=$PWD/target/release

tests/setup.sh
if ! command -v valgrind > /dev/null; then
    echo "bench: installing with apt: valgrind"
    apt-get update -qq && apt-get install -qq -y --no-install-recommends valgrind > /dev/null
fi
cargo build --quiet --release --workspace --bins || exit
"$OPS_BIN_DIR/ops-lab" build || exit

missed=()
for bench in ${*:-$(basename -s .sh tests/bench/*.sh)}; do
    # What comes from outside comes before: the lab has no way out.
    peers=tests/bench/peers/$bench
    [ ! -x "$peers" ] || "$peers"
    "$OPS_BIN_DIR/ops-lab" run -- "tests/bench/$bench.sh" || missed+=("$bench")
done
[ ${#missed[@]} = 0 ] || { echo "bench: missed: ${missed[*]}" >&2; exit 1; }
