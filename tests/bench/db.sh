#!/bin/sh
# Backups of ops-db beside pg_dump's own formats and the pipelines that do the same work.
exec "$OPS_BIN_DIR/ops-db-bench"
