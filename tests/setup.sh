#!/bin/bash
# Installs what the lab and the tests need, on Debian as root, and says what. Elsewhere says what is missing.
set -euo pipefail

# program:package
needs=(
    cc:gcc make:make perl:perl pkg-config:pkg-config            # to build
    git:git nix:nix-bin                                         # ops-deploy builds from a checkout
    mmdebstrap:mmdebstrap systemd-nspawn:systemd-container      # the lab's hosts
    ip:iproute2 nsenter:util-linux ssh:openssh-client ssh-agent:openssh-client openssl:openssl
    /lib/systemd/systemd-journal-remote:systemd-journal-remote  # journals written by hand
    curl:curl jq:jq strace:strace age:age zstd:zstd             # what tests compare with and look through
)
programs=() packages=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" > /dev/null && continue
    programs+=("${need%%:*}")
    packages+=("${need##*:}")
done
[ -e /usr/share/keyrings/debian-archive-trixie-stable.gpg ] || packages+=(debian-archive-keyring)
[ ${#packages[@]} != 0 ] || exit 0

mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "setup: left out, since this is not root on Debian: installing ${packages[*]}"
    exit 0
fi
echo "setup: installing with apt: ${packages[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" > /dev/null
