#!/bin/sh
# ops-deploy beside deploy-rs, nh and the commands that nixos-rebuild runs, on short and long lines.
exec "$OPS_BIN_DIR/ops-deploy-bench"
