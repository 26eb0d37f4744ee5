#!/bin/bash
# Builds the real sops through Go modules: sops.sh OUT
set -euo pipefail

PATH=$PATH:/usr/local/go/bin
bin=$(realpath -m "$1").build
trap 'rm -rf "$bin"' EXIT
GOBIN=$bin GOTOOLCHAIN=local GOFLAGS=-modcacherw go install -ldflags '-s -w' github.com/getsops/sops/v3/cmd/sops@v3.13.3
mv "$bin/sops" "$1"
