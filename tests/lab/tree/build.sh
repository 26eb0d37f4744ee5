#!/bin/bash
# Makes the Debian tree that every lab host boots from: build.sh TREE BRIDGE CA
#
# TREE    the folder to make
# BRIDGE  the mautrix-slack binary; empty if there is none
# CA      the folder of the lab's private authority
#
# Every service is installed here and none but sshd is enabled: which of them run is a matter of the host's kind.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
tree=$1 bridge=$2 ca=$3

packages=(
    systemd systemd-sysv systemd-journal-remote dbus openssh-server sudo    # a machine
    iproute2 procps curl jq less netcat-openbsd openssl zstd sqlite3 fish   # tools that tests call
    postgresql-17 nginx nix-bin python3 python3-venv ca-certificates        # what the platform is made of
)

mmdebstrap --quiet --variant=minbase --mode=root \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook='mkdir -p "$1/etc/postgresql-common"' \
    --essential-hook='echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"' \
    --include="$(IFS=,; echo "${packages[*]}")" \
    trixie "$tree" http://deb.debian.org/debian

cp -r "$here/files/." "$tree/"
[ -z "$bridge" ] || install -m 755 "$bridge" "$tree/usr/local/bin/mautrix-slack"
install -m 644 -D "$ca/ca.pem" "$tree/usr/local/share/ca-certificates/ops-lab.crt"
install -m 600 -D -t "$tree/etc/ops-lab" "$ca/chat.example.pem" "$ca/chat.example.key"

# inside COMMAND...: in the tree, with a /proc of its own that ends with the command.
inside() {
    unshare --mount --pid --fork sh -e -c 'mount -t proc proc "$0/proc"; exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' "$tree" "$@"
}

# Synapse comes from PyPI; whatever this machine trusts and is set to use for that counts for this one call only.
cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$tree/tmp/trust.crt"
cp "$here/requirements.txt" "$tree/tmp/"
mapfile -t settings < <(env | grep -E '^(PIP_(INDEX_URL|EXTRA_INDEX_URL|DEFAULT_TIMEOUT|TRUSTED_HOST)|https?_proxy|HTTPS?_PROXY)=' || true)
inside "${settings[@]}" PIP_CERT=/tmp/trust.crt SSL_CERT_FILE=/tmp/trust.crt sh -e -c '
    python3 -m venv /opt/synapse
    /opt/synapse/bin/pip --disable-pip-version-check install --quiet --no-cache-dir --only-binary=:all: -r /tmp/requirements.txt'
rm "$tree/etc/resolv.conf" "$tree/tmp/trust.crt" "$tree/tmp/requirements.txt"

inside bash -euo pipefail -s < "$here/inside.sh"
