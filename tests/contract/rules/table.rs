//! One entry for each verb.

use crate::verbs::Prints::{Checks, Data, Lines, Nothing, Records};
use crate::verbs::Verb;

/// Verbs that need something of the environment, with the reason.
pub(crate) const BARE_ENVIRONMENT: &[(&str, &str)] = &[
    (
        "ops-matrix ping",
        "the file of tokens is opened by ops-secrets, which is looked for on PATH",
    ),
    ("ops-bridge login", KEYS),
    ("ops-bridge ping", KEYS),
    ("ops-secrets decrypt", KEYS),
    ("ops-secrets diff", KEYS),
    ("ops-secrets merge", KEYS),
    ("ops-secrets lint", KEYS),
    ("ops-secrets edit", KEYS),
    ("ops-secrets set", KEYS),
    ("ops-secrets unset", KEYS),
    ("ops-secrets rotate", KEYS),
    ("ops-secrets updatekeys", KEYS),
    ("ops-secrets verify", KEYS),
    ("ops-secrets exec-env", KEYS),
    ("ops-secrets exec-file", KEYS),
];

/// Verbs whose stdout is a child's, which ends as it likes, with the reason.
pub(crate) const CHILDREN: &[(&str, &str)] = &[
    (
        "ops-secrets exec-env",
        "stdout is that of the program that it starts",
    ),
    (
        "ops-secrets exec-file",
        "stdout is that of the program that it starts",
    ),
];

const KEYS: &str = "the keys that open a file are named by sops's own variables";

/// A key, a rule and an encrypted file.
const SECRETS: &str = r#"
    ops-secrets keygen -o key.txt > /dev/null 2>&1
    printf 'creation_rules:\n  - age: %s\n' "$(sed -n 's/^# public key: //p' key.txt)" > .sops.yaml
    printf 'token: %s\n' "$PLAIN" > plain.yaml
    SOPS_AGE_KEY_FILE=$PWD/key.txt ops-secrets encrypt plain.yaml -o x.yaml
"#;

/// The same, and a manifest as sops-nix writes it.
const MANIFEST: &str = r#"
    ops-secrets keygen -o key.txt > /dev/null 2>&1
    printf 'token: %s\n' "$PLAIN" > plain.yaml
    ops-secrets encrypt --age "$(sed -n 's/^# public key: //p' key.txt)" plain.yaml -o x.yaml
    cat > manifest.json <<END
    {"secrets": [{"name": "token", "key": "token", "sopsFile": "$PWD/x.yaml", "format": "yaml", "mode": "0400",
      "uid": 0, "gid": 0, "restartUnits": [], "reloadUnits": []}], "templates": [], "placeholderBySecretName": {},
      "secretsMountPoint": "$PWD/secrets.d", "symlinkPath": "$PWD/secrets", "keepGenerations": 1, "ageSshKeyPaths": [],
      "ageKeyFile": "$PWD/key.txt", "gnupgHome": "", "sshKeyPaths": [], "useTmpfs": false, "userMode": false,
      "logging": {"keyImport": true, "secretChanges": true}}
END
"#;

/// The tokens of an account of the homeserver, in the clear: the file of a test may be.
const MATRIX_TOKENS: &str = r#"
    token=$(ssh contract cat /etc/ops-lab/op.json | jq -r .access_token)
    room=$(ssh contract cat /etc/ops-lab/room)
    printf '{"token_a": "%s", "room": "%s"}' "$token" "$room" > ping.json
    ops-secrets keygen -o key.txt > /dev/null 2>&1
    printf 'creation_rules:\n  - age: %s\n' "$(sed -n 's/^# public key: //p' key.txt)" > .sops.yaml
    SOPS_AGE_KEY_FILE=$PWD/key.txt ops-secrets encrypt -i ping.json
    echo 'matrix: {tokens: ping.json}' > ops.yaml
"#;

/// The tokens of an app, for the bridge.
macro_rules! app_tokens {
    ($then:literal) => {
        concat!(
            r#"
    ops-secrets keygen -o key.txt > /dev/null 2>&1
    printf 'creation_rules:\n  - age: %s\n' "$(sed -n 's/^# public key: //p' key.txt)" > .sops.yaml
    printf 'bot_token: %s\napp_token: %s\n' "$BOT_TOKEN" "$APP_TOKEN" > slack.yaml
    export SOPS_AGE_KEY_FILE=$PWD/key.txt
    ops-secrets encrypt -i slack.yaml
"#,
            $then
        )
    };
}

const APP: &str = app_tokens!("");

/// What logs the bridge of the host `contract-slack` in, and its user into the room of a channel.
pub(crate) const LOGGED_IN: &str = app_tokens!(
    r#"
    ops-bridge login --tokens slack.yaml --host contract-slack
    token=$(ssh contract-slack cat /etc/ops-lab/op.json | jq -er .access_token)
    until ops-bridge portals --host contract-slack --json | jq -ers '.[] | select(.id == "T1-C1").mxid' > room; do sleep 0.2; done
    until ssh contract-slack curl -sS --fail -X POST -H @- -d '{}' "http://127.0.0.1:8008/_matrix/client/v3/join/$(cat room)" \
        <<< "Authorization: Bearer $token"; do sleep 0.2; done
"#
);

/// What other entries did to the login meanwhile is over, and does not count; nor do the messages of pings that a rule ended.
const CONNECTED: &str = r"
    echo 'bridge: {uptime_target: 1%}' > ops.yaml
    ops-bridge socket --wait 1m --host contract-slack > /dev/null
";

/// The tokens of the people at both ends of a bridged room. A login that was just made has its socket again.
const BOTH_TOKENS: &str = app_tokens!(
    r#"
    ops-bridge socket --wait 1m --host contract-slack > /dev/null
    token=$(ssh contract-slack cat /etc/ops-lab/op.json | jq -er .access_token)
    room=$(ops-bridge portals --host contract-slack --json | jq -ers '.[] | select(.id == "T1-C1").mxid')
    printf 'slack_token: %s\nslack_channel: C1\nmatrix_token: %s\nmatrix_room: "%s"\n' "$HUMAN_TOKEN" "$token" "$room" > ping.yaml
    ops-secrets encrypt -i ping.yaml
"#
);

/// A repository with the flake of the host's system, one service ahead of what it came with.
macro_rules! flake {
    ($then:literal) => {
        concat!(
            r#"
    cp -r "$LAB_NIXOS/system.nix" "$LAB_NIXOS/scripts" .
    cat > flake.nix <<'END'
    { outputs = { self }: { nixosConfigurations.contract.config.system.build.toplevel = import ./system.nix {
      name = "contract"; units."notice.service" = "[Service]\nExecStart=/bin/sleep infinity\n"; }; }; }
END
    cat > ops.yaml <<'END'
hosts: {contract: {flake: ".#contract"}, other: {ssh: root@contract, flake: ".#contract"}}
deploy: {health_window: 0s, rollback_after: 10s, health: []}
END
    export GIT_AUTHOR_DATE=2026-01-31T12:00:00Z GIT_COMMITTER_DATE=2026-01-31T12:00:00Z # the same commit in every folder
    git init -q . && git add -A && git -c user.name=op -c user.email=op@chat.example commit -qm 'the platform'
"#,
            $then
        )
    };
}

const FLAKE: &str = flake!("");

/// The same, with a service more than any other entry has.
const LATER: &str = flake!(
    "sed -i s/notice/later/ flake.nix; git -c user.name=op -c user.email=op@chat.example commit -qam later"
);

/// The same, built.
const BUILT: &str = flake!("ln -s $(ops-deploy build contract) result");

/// The same, built and on the host.
const COPIED: &str = flake!(
    "ln -s $(ops-deploy build contract) result; ops-deploy copy contract --store-path ./result > /dev/null"
);

/// The same, running there.
const SWITCHED: &str = flake!("ops-deploy switch contract > /dev/null");

/// The same, proved under the host's other name.
const PROVED: &str = flake!("ops-deploy switch other > /dev/null");

/// No health commands: what they say of this host is theirs to answer for.
const NO_HEALTH: &str = "echo 'deploy: {health: []}' > ops.yaml";

/// The real invocations.
pub(crate) const VERBS: &[Verb] = &[
    Verb::new("ops-secrets encrypt", &["plain.yaml"], Data).prepare(SECRETS),
    Verb::new("ops-secrets decrypt", &["x.yaml"], Data).prepare(SECRETS),
    Verb::new("ops-secrets edit", &["x.yaml"], Nothing).prepare(SECRETS),
    Verb::new(
        "ops-secrets set",
        &["--value-stdin", "x.yaml", "[\"b\"]"],
        Nothing,
    )
    .prepare(SECRETS)
    .stdin("\"made-up-canary/5+f=0\""),
    Verb::new("ops-secrets unset", &["x.yaml", "[\"token\"]"], Nothing).prepare(SECRETS),
    Verb::new("ops-secrets rotate", &["-i", "x.yaml"], Nothing).prepare(SECRETS),
    Verb::new("ops-secrets updatekeys", &["--yes", "x.yaml"], Nothing).prepare(SECRETS),
    Verb::new("ops-secrets verify", &["x.yaml"], Checks).prepare(SECRETS),
    Verb::new(
        "ops-secrets exec-env",
        &["x.yaml", "--", "printenv", "token"],
        Data,
    )
    .prepare(SECRETS),
    Verb::new(
        "ops-secrets exec-file",
        &["x.yaml", "--", "cat", "{}"],
        Data,
    )
    .prepare(SECRETS),
    Verb::new("ops-secrets filestatus", &["x.yaml"], Data).prepare(SECRETS),
    Verb::new(
        "ops-secrets install",
        &["--check-mode", "sopsfile", "manifest.json"],
        Nothing,
    )
    .prepare(MANIFEST),
    Verb::new("ops-secrets lint", &["."], Checks).prepare(SECRETS),
    Verb::new("ops-secrets diff", &["x.yaml"], Data).prepare(SECRETS),
    Verb::new(
        "ops-secrets merge",
        &["x.yaml", "x.yaml", "x.yaml"],
        Nothing,
    )
    .prepare(SECRETS),
    Verb::new("ops-secrets git-setup", &[], Nothing).prepare("git init -q ."),
    Verb::new("ops-secrets keygen", &[], Data),
    Verb::new("ops-secrets recipient", &["--host", "{HOST}"], Data).on_host(),
    Verb::new("ops-matrix versions", &["--host", "{HOST}"], Checks).on_host(),
    Verb::new("ops-matrix status", &["--host", "{HOST}"], Checks).on_host(),
    Verb::new("ops-matrix paths", &["--host", "{HOST}"], Checks).on_host(),
    Verb::new(
        "ops-matrix resolve",
        &["chat.example", "--cafile", "{CA}", "--host", "{HOST}"],
        Records,
    )
    .on_host(),
    Verb::new(
        "ops-matrix wellknown",
        &[
            "server",
            "chat.example",
            "--cafile",
            "{CA}",
            "--host",
            "{HOST}",
        ],
        Checks,
    )
    .on_host(),
    Verb::new(
        "ops-matrix federation",
        &["chat.example", "--cafile", "{CA}", "--host", "{HOST}"],
        Checks,
    )
    .on_host(),
    Verb::new(
        "ops-matrix outbound",
        &["chat.example", "--host", "{HOST}"],
        Checks,
    )
    .on_host(),
    Verb::new("ops-matrix ping", &["--host", "{HOST}"], Checks)
        .on_host()
        .prepare(MATRIX_TOKENS),
    Verb::new("ops-bridge status", &["--host", "{HOST}"], Checks)
        .on_host()
        .status(3),
    Verb::new("ops-bridge socket", &["--host", "{HOST}"], Checks)
        .on_host()
        .status(1),
    Verb::new("ops-bridge log", &["-n", "5", "--host", "{HOST}"], Lines).on_host(),
    Verb::new("ops-bridge errors", &["-"], Records).stdin(ERROR_LINE),
    Verb::new("ops-bridge portals", &["--host", "{HOST}"], Records).on_host(),
    Verb::new("ops-bridge logins", &["--host", "{HOST}"], Records).on_host(),
    // Nobody pushes anything here, so it prints nothing; the real bridge does in tests/e2e/bridge.
    Verb::new(
        "ops-bridge receive",
        &[
            "--registration",
            "registration.yaml",
            "--port",
            "0",
            "--for",
            "100ms",
        ],
        Nothing,
    )
    .prepare("printf 'as_token: %s\\n' \"$PLAIN\" > registration.yaml"),
    Verb::new("ops-bridge explain", &["11"], Data),
    Verb::new(
        "ops-bridge health",
        &["--errors", "100000", "--lost", "100000", "--host", "{HOST}"],
        Checks,
    )
    .on_bridged_host()
    .prepare(CONNECTED),
    Verb::new("ops-bridge latency", &["--host", "{HOST}"], Checks).on_host(),
    Verb::new(
        "ops-bridge uptime",
        &["--target", "1%", "--host", "{HOST}"],
        Checks,
    )
    .on_bridged_host(),
    Verb::new("ops-bridge doctor", &["--host", "{HOST}"], Checks).on_host(),
    Verb::new(
        "ops-bridge login",
        &["--tokens", "slack.yaml", "--host", "{HOST}"],
        Records,
    )
    .on_bridged_host()
    .prepare(APP),
    Verb::new(
        "ops-bridge ping",
        &["--tokens", "ping.yaml", "--host", "{HOST}"],
        Checks,
    )
    .on_bridged_host()
    .prepare(BOTH_TOKENS),
    Verb::new("ops-deploy build", &["contract"], Data).prepare(FLAKE),
    Verb::new("ops-deploy switch", &["contract"], Data).prepare(FLAKE),
    Verb::new("ops-deploy plan", &["contract"], Data).prepare(LATER),
    Verb::new(
        "ops-deploy copy",
        &["contract", "--store-path", "./result"],
        Data,
    )
    .prepare(BUILT),
    Verb::new(
        "ops-deploy activate",
        &["contract", "--store-path", "./result"],
        Data,
    )
    .prepare(COPIED),
    Verb::new("ops-deploy rollback", &["contract"], Data).prepare(SWITCHED),
    Verb::new(
        "ops-deploy promote",
        &["other", "contract", "--soak", "0s", "--yes"],
        Data,
    )
    .prepare(PROVED),
    Verb::new("ops-deploy lint", &["{HOST}"], Checks).on_host(),
    Verb::new("ops-deploy verify", &["{HOST}"], Checks)
        .on_host()
        .prepare(NO_HEALTH),
    Verb::new("ops-deploy status", &["{HOST}"], Records).on_host(),
    Verb::new("ops-deploy gate", &[], Checks).stdin(RECORD),
    Verb::new("ops-deploy log", &["{HOST}"], Records).on_host(),
    Verb::new("ops-db list", &["--host", "{HOST}"], Records).on_host(),
    Verb::new(
        "ops-db tables",
        &["mautrix_slack", "--host", "{HOST}"],
        Records,
    )
    .on_host(),
    Verb::new(
        "ops-db query",
        &["mautrix_slack", "SELECT 1 AS one", "--host", "{HOST}"],
        Data,
    )
    .on_host(),
    Verb::new(
        "ops-db backup",
        &["mautrix_slack", "--host", "{HOST}"],
        Data,
    )
    .on_host(),
    Verb::new("ops-db health", &["--host", "{HOST}"], Checks).on_host(),
    Verb::new("ops-db verify", &["b.dump.zst"], Checks).prepare(BACKUP),
    Verb::new("ops-db backups", &["."], Records).prepare(BACKUP),
    Verb::new("ops-db prune", &["--last", "1", "."], Data).prepare(BACKUP),
    Verb::new(
        "ops-db restore",
        &[
            "b.dump.zst",
            "restored",
            "--replace",
            "restored",
            "--host",
            "{HOST}",
        ],
        Data,
    )
    .prepare(BACKUP)
    .on_host(),
    Verb::new("ops-db drill", &["b.dump.zst", "--host", "{HOST}"], Checks)
        .prepare(BACKUP)
        .on_host(),
];

/// One backup, proven while it was made.
const BACKUP: &str = r#"
    ops-db backup mautrix_slack --host contract -o ./ > /dev/null
    for file in mautrix_slack.*; do mv "$file" "b${file#mautrix_slack.*Z}"; done
"#;

const ERROR_LINE: &str = "{\"level\":\"error\",\"time\":\"2026-01-31T12:00:00Z\",\"message\":\"Failed to connect\",\"error\":\"refused\"}\n";

const RECORD: &str = "{\"check\":\"a.b\",\"host\":\"h\",\"subject\":\"s\",\"status\":\"ok\",\"message\":\"\",\"at\":\"2026-01-31T12:00:00Z\"}\n";
