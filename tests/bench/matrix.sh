#!/bin/sh
# ops-matrix beside curl and jq, over a long link, and with little memory.
exec "$OPS_BIN_DIR/ops-matrix-bench"
