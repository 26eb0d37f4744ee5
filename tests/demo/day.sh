#!/bin/bash
# The platform's working day, on the lab host 'ops-jrz1'. Prints each command line before its output, and knows the
# status each must have. With `here`: only what needs no host.
set -uo pipefail
root=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
export PATH=$root/target/debug:$PATH LC_ALL=C.UTF-8
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

summary=() wrong=0
# run STATUS TEXT COMMAND-LINE: the command must end with this status and say this text.
run() {
    local begin=${EPOCHREALTIME/./} status mark=ok
    printf '\n$ %s\n' "$3"
    bash -o pipefail -c "$3" > "$folder/.said" 2>&1
    status=$?
    cat "$folder/.said"
    [ $status = "$1" ] || { mark=WRONG; wrong=1; echo "demo: status $status, expected $1"; }
    grep -qF -- "$2" "$folder/.said" || { mark=WRONG; wrong=1; echo "demo: expected to read '$2'"; }
    summary+=("$(printf '%-5s %5d ms  status %d  %.90s' $mark $(((${EPOCHREALTIME/./} - begin) / 1000)) $status "$3")")
}
part() { printf '\n==== %s\n' "$1"; summary+=("$1"); }

# The repository of the platform: its machine, its secrets, its systems.
git init -q .
printf '/result\n/key.txt\n/backups\n/.said\n' > .gitignore
cat > ops.yaml <<'END'
default_host: ops-jrz1
hosts:
  ops-jrz1:         {ssh: root@ops-jrz1, flake: ".#ops-jrz1"}
  ops-jrz1-staging: {ssh: root@ops-jrz1, flake: ".#ops-jrz1-staging", groups: [staging]}
deploy: {health_window: 5s} # a minute, if not said otherwise
END
cp -r "$root/tests/lab/nixos/system.nix" "$root/tests/lab/nixos/scripts" .
cat > flake.nix <<'END'
{
  outputs = { self }:
    let
      notice = text: ''
        [Unit]
        Description=Says ${text}
        [Service]
        ExecStart=/bin/sh -c "echo ${text}; exec sleep infinity"
        [Install]
        WantedBy=multi-user.target
      '';
      system = version: name: {
        config.system.build.toplevel = import ./system.nix { inherit name version; units."notice.service" = notice name; };
      };
    in
    { nixosConfigurations = builtins.mapAttrs (name: version: system version name) { ops-jrz1 = "25.05.2"; ops-jrz1-staging = "25.05.3"; }; };
}
END
mkdir -p secrets backups
cat > secrets.yaml <<'END'
matrix:
    registration_token: made-up
slack:
    app_token: xapp-made-up
END

part "Secrets"
export SOPS_AGE_KEY_FILE=$folder/key.txt
run 0 'age1' 'ops-secrets keygen -o key.txt'
printf 'creation_rules:\n  - age: %s\n' "$(sed -n 's/^# public key: //p' key.txt)" > .sops.yaml
run 0 'ENC[AES256_GCM' 'ops-secrets encrypt secrets.yaml -o secrets/secrets.yaml && rm secrets.yaml && head -n 4 secrets/secrets.yaml'
run 0 'xapp-made-up' 'ops-secrets decrypt --extract "[\"slack\"][\"app_token\"]" secrets/secrets.yaml'
git add -A && git -c user.name=op -c user.email=op@chat.example commit -qm 'the platform'

if [ "${1:-}" != here ]; then
    coproc HOSTS { ops-lab hosts ops-jrz1:platform; }
    until read -r line <&"${HOSTS[0]}" && [ "$line" = ready ]; do
        [ -n "$line" ] || { echo "demo: the host did not come up" >&2; exit 1; }
        printf '\ndemo: booted %s\n' "$line"
    done

    part "Deployment"
    run 0 '-nixos-system-ops-jrz1-25.05.2' 'ops-deploy switch ops-jrz1'
    run 1 'nobody is logged in' 'ops-deploy verify ops-jrz1'
    run 0 '-nixos-system-ops-jrz1-staging-25.05.3' 'ops-deploy switch ops-jrz1-staging'
    run 0 'nixos-system-initial' 'head -n 25 docs/worklogs/*-ops-jrz1-[0-9a-f]*.md'

    part "Homeserver"
    run 0 'active (running)' 'ops-matrix status'
    run 0 'Synapse' 'ops-matrix versions'

    part "Slack bridge: nobody has logged in yet, so the answer is no"
    run 1 'nobody is logged in' 'ops-bridge status'
    run 0 'Bridge started' 'ops-bridge log -n 5'
    run 1 'nobody is logged in' 'ops-bridge socket'
    run 0 '0' 'ops-bridge portals | wc -l'

    part "Databases"
    run 0 'mautrix_slack' 'ops-db list'
    run 0 'portal' 'ops-db tables mautrix_slack'
    run 0 '0' 'ops-db query mautrix_slack "SELECT count(*) FROM portal"'
    run 0 'mautrix_slack' 'ops-db backup mautrix_slack -o backups/ && ls -l backups'
    run 0 'ok' 'ops-db verify backups/mautrix_slack.*.dump.zst'
fi

printf '\n==== Summary\n'
printf '%s\n' "${summary[@]}"
[ $wrong = 0 ] && echo "Every step did what it should."
exit $wrong
