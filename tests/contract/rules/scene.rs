//! Where the verbs run: a lab host for all rules, one more for what needs a bridge that is logged in, and a scratch folder
//! for each run.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ops_tests::{Kind, Lab, LabHost, Ran, Tool, bin_dir, command, tool};

use crate::slack::{APP_TOKEN, BOT_TOKEN, HUMAN_TOKEN, Slack};
use crate::table;
use crate::verbs::Verb;

/// What the secrets of the entries are: no other text can be taken for it.
pub(crate) const PLAIN: &str = "made-up-canary/5+f=0";

/// The host that all runs share. Entries that change it undo that, or are repeatable.
pub(crate) fn host() -> Option<&'static LabHost> {
    static HOST: OnceLock<Option<LabHost>> = OnceLock::new();
    HOST.get_or_init(|| Some(furnished(Lab::get()?.host("contract", Kind::Platform))))
        .as_ref()
}

/// A room to ping in, and a conversation that is bridged, so that every list has something to list.
fn furnished(host: LabHost) -> LabHost {
    let furnish = r#"
        token=$(jq -r .access_token /etc/ops-lab/op.json)
        curl -sS -X POST -H "Authorization: Bearer $token" -d '{}' http://127.0.0.1:8008/_matrix/client/v3/createRoom |
            jq -er .room_id > /etc/ops-lab/room
        setpriv --reuid mautrix_slack --regid mautrix_slack --clear-groups psql -qX mautrix_slack <<'END'
            INSERT INTO "user" (bridge_id, mxid) VALUES ('', '@op:chat.example');
            INSERT INTO user_login (bridge_id, user_mxid, id, remote_name, metadata)
                VALUES ('', '@op:chat.example', 'T1-U1', 'made-up', '{"token": "xoxb-made-up", "app_token": "xapp-made-up"}');
            INSERT INTO portal (bridge_id, id, receiver, mxid, name, topic, avatar_id, avatar_hash, avatar_mxc, name_set,
                    avatar_set, topic_set, in_space, room_type, metadata)
                VALUES ('', 'T1-C1', '', '!made-up:chat.example', 'general', '', '', '', '', true, true, true, true, '', '{}');
END
    "#;
    let ran = host.sh(furnish);
    assert_eq!(
        (ran.status, ran.err()),
        (0, String::new()),
        "the contract's host cannot be furnished\n{ran}"
    );
    host
}

/// A host whose bridge is logged in to a stand-in for Slack, with its user in the room of a channel.
pub(crate) struct Bridged {
    pub(crate) host: LabHost,
    _slack: Slack,
}

impl Bridged {
    /// The one that all runs share.
    pub(crate) fn get() -> Option<&'static Self> {
        static BRIDGED: OnceLock<Option<Bridged>> = OnceLock::new();
        BRIDGED
            .get_or_init(|| Some(Self::make(Lab::get()?)))
            .as_ref()
    }

    fn make(lab: Lab) -> Self {
        let host = lab.host("contract-slack", Kind::Platform);
        let slack = Slack::start(lab);
        slack.become_slack_of(&host);
        host.wait_for_log("mautrix-slack", "Bridge started");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        shell(table::LOGGED_IN, folder.path()).expect(0);
        Self {
            host,
            _slack: slack,
        }
    }
}

/// Runs a text in a folder, with the tools on PATH and what tests know in the environment.
fn shell(text: &str, folder: &Path) -> Ran {
    let nixos = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/nixos");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin_dir().display());
    command("bash")
        .args(["-euo", "pipefail", "-c", text])
        .env("PATH", path)
        .env("LAB_NIXOS", nixos)
        .env("PLAIN", PLAIN)
        .env("BOT_TOKEN", BOT_TOKEN)
        .env("APP_TOKEN", APP_TOKEN)
        .env("HUMAN_TOKEN", HUMAN_TOKEN)
        .env("SSL_CERT_FILE", authority())
        .dir(folder)
        .run()
}

/// Held while a verb runs that changes the host: the others of its kind would be told to try again later.
static CHANGES: Mutex<()> = Mutex::new(());

/// A verb about to run in a scratch folder of its own.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    verb: Verb,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Scene {
    /// Makes the folder and fills it as the verb's entry says.
    pub(crate) fn new(verb: &Verb) -> Self {
        let prepared = ["ops-deploy", "ops-db"].contains(&verb.tool()) && !verb.prepare.is_empty();
        let changes = prepared || verb.is_bridged || verb.name == "ops-db backup";
        let alone = changes.then(|| CHANGES.lock().unwrap_or_else(PoisonError::into_inner));
        // Its preparation needs it, whatever host the run itself is to reach.
        assert!(
            !verb.is_bridged || Bridged::get().is_some(),
            "there is a lab"
        );
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        if !verb.prepare.is_empty() {
            let ran = shell(verb.prepare, folder.path());
            assert_eq!(
                ran.status, 0,
                "the preparation of '{}' failed\n{ran}",
                verb.name
            );
        }
        Self {
            folder,
            verb: *verb,
            _alone: alone,
        }
    }

    /// The scratch folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The real invocation.
    pub(crate) fn run(&self, extra: &[&str]) -> Ran {
        self.command(extra).run()
    }

    /// The real invocation, to be changed before it runs.
    pub(crate) fn command(&self, extra: &[&str]) -> Tool {
        let host = if self.verb.is_bridged {
            Bridged::get().map(|bridged| &bridged.host)
        } else {
            host()
        };
        self.command_at(host.map_or("localhost", LabHost::name), extra)
    }

    /// The real invocation at a host of another name.
    pub(crate) fn command_at(&self, host: &str, extra: &[&str]) -> Tool {
        let authority = authority();
        let args = self
            .verb
            .args
            .iter()
            .map(|arg| arg.replace("{HOST}", host).replace("{CA}", &authority));

        let run = tool(self.verb.tool())
            .args(self.verb.words())
            .args(extra)
            .args(args)
            .dir(self.folder())
            .env("SOPS_AGE_KEY_FILE", self.folder().join("key.txt"))
            .env("SSL_CERT_FILE", authority)
            .env("EDITOR", "sed -i /token/s/$/-too/");
        if self.verb.stdin.is_empty() {
            run
        } else {
            run.stdin(self.verb.stdin)
        }
    }
}

/// The certificate of the lab's own authority.
fn authority() -> String {
    let file = ops_tests::tree::authority().join("ca.pem");
    file.display().to_string()
}
