# What the configuration and the registration of each bridge say about where it and the homeserver find each other.
# Arguments: the units. Lines of other sections, and those with secrets, are left on the host: they come as empty lines.
shown() {
  if [ ! -r "$1" ]; then
    # Who may not look into the folder cannot even tell whether it is there.
    [ ! -e "$1" ] && [ "$(id -u)" = 0 ] || printf '::unreadable %s\n' "$1"
    return
  fi
  printf '::%s %s\n' "$2" "$1"
  awk '/^[^ #]/ { keep = /^(homeserver|appservice|url|id) *:/ } { print(keep && !/token|secret|pickle/ ? $0 : "") }' "$1"
}
for unit; do
  state=$(systemctl show --property=LoadState,ActiveState --value -- "$unit.service" | tr '\n' ' ')
  case $state in 'loaded '*) ;; *) continue ;; esac
  printf '::unit %s %s\n' "$unit" "$(systemctl show --property=ActiveState --value -- "$unit.service")"
  start=$(systemctl show --property=ExecStart --value -- "$unit.service")
  config=$(printf '%s\n' "$start" | sed -n "s/.* \(-c\|--config\)[ =]'\{0,1\}\([^ ';]*\).*/\2/p" | head -n 1)
  [ -n "$config" ] || config=/var/lib/$unit/config.yaml
  shown "$config" config
  for file in "${config%/*}"/*registration*.yaml; do
    [ ! -e "$file" ] || shown "$file" registration
  done
done
