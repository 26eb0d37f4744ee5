# Prints those of the store paths on stdin that this machine does not have.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
command -v nix-store >/dev/null || { echo "nix-store: not found" >&2; exit 127; }
paths=$(cat)
if [ $# -gt 0 ]; then
  printf '%s\n' "$paths" | xargs nix-store --realise --keep-going >/dev/null 2>&1
fi
printf '%s\n' "$paths" | xargs nix-store --check-validity --print-invalid
