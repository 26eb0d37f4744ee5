# Runs on a booted host: a first NixOS-like system, as the only generation of the system profile and what the boot
# loader takes.
set -eu

profile=/nix/var/nix/profiles/system
nix-env --profile $profile --file /root/nixos/initial.nix --set --quiet
mkdir -p /boot
readlink -f $profile > /boot/default
rm -r /root/nixos /root/.nix* /root/.cache 2> /dev/null || true
