#!/bin/bash
# The quick half of CI: formatting, lints, documentation, forbidden words. Runs all of them, fails if any does.
set -uo pipefail
cd "$(dirname "$(realpath "$0")")/.."

failed=()
stage() {
    echo "check: $1"
    shift
    "$@" || failed+=("$*")
}

# What must not be in what is tracked: loose ends, and tests that do not run.
words() {
    local marks='TO''DO|FIX''ME|XX''X|HA''CK' calls='db''g!|to''do!|unimple''mented!' ignored='#\[ig''nore'
    ! git grep -nIE "\b($marks)\b|\b($calls)|$ignored" -- ':!*.lock' ':!*/golden/*'
}

stage formatting cargo fmt --all --check
stage lints cargo clippy --quiet --workspace --all-targets -- -D warnings
RUSTDOCFLAGS='-D warnings' stage documentation cargo doc --quiet --workspace --no-deps --document-private-items
stage words words
[ ${#failed[@]} = 0 ] || { printf 'check: failed: %s\n' "${failed[@]}" >&2; exit 1; }
