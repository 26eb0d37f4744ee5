# Prints the units of the running system and the configuration files that they, and these, mention; each after a record
# separator and its name.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
one() { printf '\036%s\n' "$1"; cat "$2" 2>/dev/null; }
units=/run/current-system/etc/systemd/system
[ -d $units ] || units=/etc/systemd/system
for unit in $units/*.service; do [ -f "$unit" ] && one "unit ${unit##*/}" "$unit"; done
seen=' '
mentioned() {
  grep -ohE '(/nix/store|/etc)/[^][:space:]"'"'"'=;,()<>]*\.(conf|toml|yaml|yml|ini|json|cfg|env)' "$@" 2>/dev/null | sort -u
}
due=$(mentioned $units/*.service /etc/systemd/system/*.service)
[ -e /etc/nginx/nginx.conf ] && due="$due /etc/nginx/nginx.conf $(ls /etc/nginx/sites-enabled/* /etc/nginx/conf.d/* 2>/dev/null)"
while [ -n "$due" ]; do
  next=
  for file in $due; do
    case $seen in *" $file "*) continue ;; esac
    seen="$seen$file "
    [ -f "$file" ] && [ "$(stat -L -c %s "$file")" -le 1048576 ] || continue
    one "$file" "$file"
    next="$next $(mentioned "$file")"
  done
  due=$(printf '%s' "$next" | tr -d '\n' | tr -s ' ')
  [ "$due" != ' ' ] || due=
done
printf '\036packages\n'
nix-store -q --requisites /run/current-system 2>/dev/null | grep -E -- '-(olm|openssl|python|nodejs)-[0-9]'
printf '\036open secrets\n'
find -L /run/secrets /run/secrets-rendered /run/secrets-for-users -type f -perm /o=rwx 2>/dev/null
:
