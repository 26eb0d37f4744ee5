# Everything about the homeserver's unit, in one go. Arguments: the names that it may have, the likeliest first.
unit=
for name; do
  state=$(systemctl show --property=LoadState,ActiveState --value -- "$name.service" | tr '\n' ' ')
  case $state in
    'loaded active '*|'loaded reloading '*|'loaded activating '*) unit=$name; break ;;
    'loaded '*) [ -n "$unit" ] || unit=$name ;;
  esac
done
echo '::section unit'
echo "$unit"
[ -n "$unit" ] || exit 0

echo '::section show'
systemctl show --property=Id,ActiveState,SubState,Result,NRestarts,MainPID,ExecMainStatus,ExecMainCode,ActiveEnterTimestampMonotonic,ControlGroup,Type,StateDirectory,InvocationID,FragmentPath,UnitFileState -- "$unit.service"
value() { systemctl show --property="$1" --value -- "$unit.service"; }

echo '::section clock'
cat /proc/uptime

group=$(value ControlGroup)
pids=
[ -z "$group" ] || pids=$(find "/sys/fs/cgroup$group" -name cgroup.procs -exec cat {} + 2>/dev/null)
main=$(value MainPID)
[ -n "$pids" ] || [ "$main" = 0 ] || pids=$main
echo '::section listeners'
net=/proc/net
[ -r "/proc/$main/net/tcp" ] && net=/proc/$main/net
cat "$net/tcp" "$net/tcp6" 2>/dev/null

echo '::section sockets'
for pid in $pids; do
  echo "uid $(stat -c %u "/proc/$pid" 2>/dev/null)"
  ls -l "/proc/$pid/fd" 2>/dev/null | grep socket:
done

echo '::section disk'
folder=$(value StateDirectory)
folder=/var/lib/${folder%% *}
[ "$folder" != /var/lib/ ] || folder=/var/lib/$unit
if [ -d "$folder" ]; then
  used=$(timeout 5 du -skx "$folder/" 2>/dev/null | cut -f1)
  df -Pk "$folder/" | awk -v folder="$folder" -v used="${used:--}" 'NR == 2 { print folder "\t" used "\t" $2 "\t" $4 }'
fi

# The conduwuit family writes backups where its configuration says; the first line of meta/N is when. Nothing else of the
# configuration is read: it has secrets.
echo '::section backup'
setting() { value Environment | tr ' ' '\n' | sed -n "s/^\"\{0,1\}\(CONTINUWUITY\|CONDUWUIT\|TUWUNEL\)_$1=\([^\"]*\).*/\2/p" | head -n 1; }
backups=$(setting DATABASE_BACKUP_PATH)
config=$(value ExecStart | sed -n "s/.* \(-c\|--config\)[ =]\([^ ;]*\).*/\2/p" | head -n 1)
[ -n "$config" ] || config=$(setting CONFIG)
[ -n "$backups" ] || [ ! -r "$config" ] ||
  backups=$(sed -n 's/^ *database_backup_path *= *"\([^"]*\)".*/\1/p' "$config" | head -n 1)
if [ -n "$backups" ]; then
  number=0 newest=
  for file in "$backups"/meta/[0-9]*; do
    [ -f "$file" ] || continue
    number=$((number + 1))
    at=$(head -n 1 "$file")
    [ "${at:-0}" -le "${newest:-0}" ] 2>/dev/null || newest=$at
  done
  printf '%s\t%s\t%s\t%s\n' "$backups" "$number" "$newest" "$(date +%s)"
fi

# Who may not read the journal gets an empty one, which must not look like a quiet server.
echo '::section blind'
[ "$(id -u)" = 0 ] || id -Gn | grep -qwE 'systemd-journal|adm|wheel' || echo yes

echo '::section journal'
invocation=$(value InvocationID)
[ -z "$invocation" ] || journalctl --no-pager --quiet --all --lines=500 --output=short-unix _SYSTEMD_INVOCATION_ID="$invocation" 2>/dev/null
exit 0
