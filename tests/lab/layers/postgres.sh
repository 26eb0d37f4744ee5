# Runs on a booted host: a PostgreSQL cluster as the NixOS module makes it.
set -eu

data=/var/lib/postgresql/17
as() { user=$1; shift; setpriv --reuid="$user" --regid="$user" --init-groups env HOME=/ "$@"; }

install -d -o postgres -g postgres -m 750 "$data"
as postgres initdb --pgdata="$data" --username=postgres --auth=peer --encoding=UTF8 --locale=C.UTF-8 > /dev/null
cat > "$data/pg_hba.conf" <<'END'
local all all              peer
host  all all 127.0.0.1/32 scram-sha-256
host  all all ::1/128      scram-sha-256
END
cat >> "$data/postgresql.conf" <<'END'
unix_socket_directories = '/run/postgresql'
log_destination = 'stderr'
logging_collector = off
END
systemctl start postgresql
as postgres createuser mautrix_slack
as postgres createdb --owner=mautrix_slack mautrix_slack
as mautrix_slack psql -qAt mautrix_slack -c 'SELECT 1' > /dev/null
