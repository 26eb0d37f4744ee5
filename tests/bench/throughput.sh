#!/bin/sh
# Bytes from a host and to it, beside OpenSSH's client.
exec "$OPS_BIN_DIR/ops-throughput"
