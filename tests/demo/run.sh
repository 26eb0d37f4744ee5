#!/bin/bash
# make demo: builds everything, makes a lab with one host of the platform, and works there for a day.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../.."

tests/setup.sh
echo "demo: building the tools"
cargo build --workspace --bins
lab=$PWD/target/debug/ops-lab
if why=$("$lab" missing); then
    "$lab" build
    exec "$lab" run -- tests/demo/day.sh
fi
echo "demo: left out: everything on a host: $why"
exec tests/demo/day.sh here
