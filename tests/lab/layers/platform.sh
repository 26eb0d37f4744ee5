# Runs on a booted host with PostgreSQL: the rest of the platform, registered with each other and started once, so
# that databases are migrated and keys exist.
set -eu

# The homeserver, an administrator and the administrator's token.
install -d -m 755 /etc/matrix
install -d -o continuwuity -g continuwuity -m 700 /var/lib/continuwuity
cat > /etc/matrix/homeserver.yaml <<'END'
server_name: chat.example
public_baseurl: https://chat.example/
report_stats: false
signing_key_path: /var/lib/continuwuity/signing.key
macaroon_secret_key: made-up
form_secret: made-up
registration_shared_secret: made-up
enable_registration: false
database: {name: sqlite3, args: {database: /var/lib/continuwuity/homeserver.db}}
media_store_path: /var/lib/continuwuity/media
pid_file: /var/lib/continuwuity/homeserver.pid
log_config: /etc/matrix/log.yaml
trusted_key_servers: []
suppress_key_server_warning: true
federation_custom_ca_list: [/usr/local/share/ca-certificates/ops-lab.crt]
ip_range_blacklist: []
presence: {enabled: false}
rc_message: {per_second: 1000, burst_count: 1000}
rc_registration: {per_second: 1000, burst_count: 1000}
rc_login:
  address: {per_second: 1000, burst_count: 1000}
  account: {per_second: 1000, burst_count: 1000}
rc_joins:
  local: {per_second: 1000, burst_count: 1000}
  remote: {per_second: 1000, burst_count: 1000}
rc_invites:
  per_room: {per_second: 1000, burst_count: 1000}
  per_user: {per_second: 1000, burst_count: 1000}
listeners:
  - {port: 8008, tls: false, type: http, x_forwarded: true, bind_addresses: [127.0.0.1], resources: [{names: [client, federation, health]}]}
END
cat > /etc/matrix/log.yaml <<'END'
version: 1
disable_existing_loggers: false
formatters: {plain: {format: "%(levelname)s %(name)s: %(message)s"}}
handlers: {console: {class: logging.StreamHandler, formatter: plain}}
root: {level: INFO, handlers: [console]}
END

# The bridge: its registration carries the tokens by which it and the homeserver know each other.
home=/var/lib/mautrix-slack
install -d -o mautrix_slack -g mautrix_slack -m 750 "$home"
cat > "$home/config.yaml" <<'END'
network: {}
bridge: {permissions: {"chat.example": user, "@op:chat.example": admin}}
database: {type: postgres, uri: "postgres:///mautrix_slack?host=/run/postgresql&sslmode=disable"}
homeserver: {address: "http://127.0.0.1:8008", domain: chat.example, software: standard}
appservice:
  address: http://127.0.0.1:29335
  hostname: 127.0.0.1
  port: 29335
  id: slack
  bot: {username: slackbot, avatar: ""}
  username_template: "slack_{{.}}"
provisioning: {shared_secret: at-least-sixteen-chars}
encryption: {pickle_key: fixed-value}
logging: {min_level: debug, writers: [{type: stdout, format: json}]}
END
cd "$home"
chown mautrix_slack:mautrix_slack config.yaml
if [ -x /usr/local/bin/mautrix-slack ]; then
    bridge() { setpriv --reuid=mautrix_slack --regid=mautrix_slack --clear-groups mautrix-slack "$@"; }
    bridge -g -c config.yaml -r registration.yaml > /dev/null
    chmod 640 config.yaml
    install -o root -g continuwuity -m 640 registration.yaml /etc/matrix/slack.yaml
    echo 'app_service_config_files: [/etc/matrix/slack.yaml]' >> /etc/matrix/homeserver.yaml
fi

cd /var/lib/continuwuity
setpriv --reuid=continuwuity --regid=continuwuity --clear-groups \
    /opt/synapse/bin/python -m synapse.app.homeserver -c /etc/matrix/homeserver.yaml --generate-keys
systemctl start matrix-continuwuity
/opt/synapse/bin/register_new_matrix_user -u op -p made-up -a -c /etc/matrix/homeserver.yaml http://127.0.0.1:8008 > /dev/null
install -d -m 700 /etc/ops-lab
curl --fail --silent --show-error http://127.0.0.1:8008/_matrix/client/v3/login -d '{
    "type": "m.login.password", "identifier": {"type": "m.id.user", "user": "op"}, "password": "made-up", "device_id": "LAB"
}' > /etc/ops-lab/op.json

# The web server: the homeserver for clients and federation, and where to find both.
cat > /etc/nginx/sites-enabled/chat.example <<'END'
server {
    server_name chat.example;
    listen 80;
    listen [::]:80;
    listen 443 ssl;
    listen [::]:443 ssl;
    ssl_certificate /etc/ops-lab/chat.example.pem;
    ssl_certificate_key /etc/ops-lab/chat.example.key;

    location = /.well-known/matrix/server {
        default_type application/json;
        return 200 '{"m.server":"chat.example:443"}';
    }
    location = /.well-known/matrix/client {
        default_type application/json;
        add_header Access-Control-Allow-Origin *;
        return 200 '{"m.homeserver":{"base_url":"https://chat.example"}}';
    }
    location /_matrix {
        proxy_pass http://127.0.0.1:8008;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
}
END
nginx -t -q

# Once around, so that the bridge's tables exist; the end of the script is the bridge's first connection.
systemctl start nginx
if [ -x /usr/local/bin/mautrix-slack ]; then
    systemctl start mautrix-slack
    timeout 60 bash -c 'grep -qEm1 "Bridge started" <(journalctl -b -n all -o cat -fu mautrix-slack)' || {
        journalctl -b -n 40 -o cat -u mautrix-slack >&2
        exit 1
    }
    systemctl stop mautrix-slack
fi
systemctl stop matrix-continuwuity postgresql
