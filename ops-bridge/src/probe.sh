# Everything that `status` asks a host, in one go.
# Arguments: a word that nothing else prints, unit, database, its user, the bridge's configuration or nothing, SQL,
# and the parts wanted.
n=$1 unit=$2 db=$3 user=$4 config=$5 sql=$6 parts=$7
cd /
LC_ALL=C PGCONNECT_TIMEOUT=5
export LC_ALL PGCONNECT_TIMEOUT
fields=MESSAGE,PRIORITY,_COMM,_TRANSPORT,_BOOT_ID,_SYSTEMD_INVOCATION_ID,INVOCATION_ID,JSON

# Runs a command as one part of the answer: its output between two lines, its status and complaint on the second.
part() {
    name=$1; shift
    case " $parts " in *" $name "*) ;; *) return ;; esac
    printf '%s begin %s\n' "$n" "$name"
    { said=$("$@" 2>&1 >&3 3>&-); status=$?; } 3>&1
    printf '\n%s end %s %d %s\n' "$n" "$name" "$status" "$(printf %s "$said" | tr '\n' ' ' | cut -c 1-500)"
}

unit() {
    systemctl show --timestamp=unix -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,MainPID \
        -p NRestarts,InvocationID,ActiveEnterTimestamp,StateChangeTimestamp,MemoryCurrent "$unit"
}

journal() {
    journalctl -q -u "$unit" -o json --all --no-pager --output-fields="$fields" "$@"
}

# journalctl says 1 where nothing matches a pattern.
found() {
    journal "$@" || [ $? = 1 ]
}

as() {
    u=$1; shift
    if [ "$(id -un)" = "$u" ]; then "$@"
    elif [ "$(id -u)" = 0 ]; then setpriv --reuid="$u" --regid="$(id -g -- "$u")" --init-groups -- "$@"
    else sudo -n -u "$u" -- "$@"; fi
}

database() {
    printf %s "$sql" | as "$user" psql -XAtq -v ON_ERROR_STOP=1 -d "$db" -f -
}

configuration() {
    if [ -z "$config" ]; then
        config=$(systemctl show -p ExecStart --value "$unit" | tr ' ' '\n' |
            sed -n 's/^--config=//p; /^--config$/{n;p;}; /^-c$/{n;p;}' | head -n 1)
        : "${config:=config.yaml}"
        case $config in /*) ;; *) config=$(systemctl show -p WorkingDirectory --value "$unit")/$config ;; esac
    fi
    printf '%s\n' "$config"
    cat -- "$config"
}

sockets() {
    pid=$(systemctl show -p MainPID --value "$unit")
    # Others see the connections, but not whose they are.
    [ -r "/proc/$pid/fd" ] || { echo "only root may see the sockets of another user's process" >&2; return 1; }
    [ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ] ||
        { echo "the bridge has a network of its own" >&2; return 1; }
    ss -tniHpO state established | grep -F "pid=$pid," || [ $? = 1 ]
}

part now date +%s.%N
part unit unit
part tail journal -n 300
part states found -r -n 80 --since -7d -g 'bridge state|Initializing bridge|Disconnecting and reconnecting login'
part problems found -n 5000 --since -1h -g '"level":"(warn|error|fatal|panic)"|WRN|ERR|FTL|PNC'
part native journal -n 5000 --since -1h -p warning _TRANSPORT=journal
part database database
part configuration configuration
part sockets sockets
