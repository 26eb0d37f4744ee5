#!/bin/sh
# Writes the golden files anew with the sops given as first argument: what it encrypts, and what it decrypts again.
# `old-order.yaml` is made by hand: the fields of sops 3.7 to 3.12, in their order, around the values of secrets.yaml.
set -eu
cd "$(dirname "$0")"
sops=${1:?usage: regenerate.sh SOPS}
export SOPS_AGE_KEY_FILE=$PWD/key.txt
recipient=$(sed -n 's/# public key: //p' key.txt)
"$sops" --version | head -1 > VERSION
for extension in yaml json env ini bin; do
    "$sops" encrypt --age "$recipient" "plain.$extension" > "secrets.$extension"
    "$sops" decrypt "secrets.$extension" > "wanted.$extension"
done
