# Prints those of the store paths on stdin, the last of which refers to all others, that this machine does not have.
#
# What is not there has not to be asked for. What is there may be left over from an import that never ended; then the import of
# what refers to it fails, and all have to be asked for: `thorough`.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
command -v nix-store >/dev/null || { echo "nix-store: not found" >&2; exit 127; }
thorough=$1 substitute=$2 paths=$(cat)
if [ -n "$substitute" ]; then
  printf '%s\n' "$paths" | xargs nix-store --realise --keep-going >/dev/null 2>&1
fi
set -f
[ -e "${paths##*
}" ] && thorough=yes
[ -z "$thorough" ] || {
  printf '%s\n' "$paths" | xargs nix-store --check-validity --print-invalid
  exit
}
for path in $paths; do
  [ -e "$path" ] || [ -L "$path" ] || printf '%s\n' "$path"
done
