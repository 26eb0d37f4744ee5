#!/bin/bash
# Makes the lab's private authority, and certificates for the names the tests use: ca.sh DIR
set -euo pipefail

mkdir -p "$1.new"
cd "$1.new"
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 3650 -subj "/CN=ops lab authority" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
for name in chat.example slack.com; do
    openssl req "${key[@]}" -keyout "$name.key" -out "$name.csr" -subj "/CN=$name"
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$name.pem" -days 3000 \
        -extfile <(printf 'subjectAltName=DNS:%s,DNS:*.%s\nextendedKeyUsage=serverAuth\n' "$name" "$name")
    rm "$name.csr"
done
rm -f ca.srl
mv "$1.new" "$1"
