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

# The first value of a flag, long or short, in the unit's command line.
flag() {
    systemctl show -p ExecStart --value "$unit" | tr ' ' '\n' | sed -n "s/^--$1=//p; /^--$1\$/{n;p;}; /^-$2\$/{n;p;}" | head -n 1
}

# A path as the unit takes it.
absolute() {
    case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s/%s\n' "$(systemctl show -p WorkingDirectory --value "$unit")" "$1" ;; esac
}

configuration_path() {
    path=${config:-$(flag config c)}
    absolute "${path:-config.yaml}"
}

configuration() {
    path=$(configuration_path)
    printf '%s\n' "$path"
    cat -- "$path"
}

# The registration that the bridge wrote, and those that a Synapse on this host was given: each after a line with whose it is, where
# it is, and whether it can be read.
registration() {
    path=$(flag registration r)
    if [ -n "$path" ]; then path=$(absolute "$path"); else path=$(dirname -- "$(configuration_path)")/registration.yaml; fi
    file bridge "$path" "$path"
    for process in /proc/[0-9]*; do
        arguments=$(tr '\0' '\n' 2> /dev/null < "$process/cmdline") || continue
        case $arguments in *synapse.app.homeserver* | *synapse_homeserver*) ;; *) continue ;; esac
        inside=$process/root folder=$(readlink "$process/cwd")
        printf '%s\n' "$arguments" | sed -n 's/^--config-path=//p; /^--config-path$/{n;p;}; /^-c$/{n;p;}' | while read -r path; do
            case $path in /*) ;; *) path=$folder/$path ;; esac
            [ -r "$inside$path" ] || continue
            printf '%s file asked homeserver %s\n' "$n" "$path"
            # A list on one line or on several.
            awk '/^app_service_config_files:/ { on = 1; sub(/^[^:]*:/, "") } on && /^[A-Za-z_]/ { exit } on' "$inside$path" |
                tr '[],"'"'" '\n\n\n\n\n' | sed 's/#.*//; s/^ *-* *//; s/ *$//; /^$/d' | while read -r path; do
                case $path in /*) ;; *) path=$folder/$path ;; esac
                file homeserver "$path" "$inside$path"
            done
        done
    done
}

# file WHOSE PATH PLACE
file() {
    if [ ! -e "$3" ]; then state=absent
    elif [ ! -r "$3" ]; then state=unreadable
    else state=here
    fi
    printf '%s file %s %s %s\n' "$n" "$state" "$1" "$2"
    [ $state != here ] || cat -- "$3"
    echo
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
part states found -r -n 80 --since -7d -g 'bridge state|Initializing bridge|Disconnecting and reconnecting login|Not reconnecting'
part problems found -n 5000 --since -1h -g '"level":"(warn|error|fatal|panic)"|WRN|ERR|FTL|PNC'
part native journal -n 5000 --since -1h -p warning _TRANSPORT=journal
part database database
part configuration configuration
part sockets sockets
part registration registration
