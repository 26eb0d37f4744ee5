//! Where the verbs run: one lab host for all rules, and a scratch folder for each run.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ops_tests::{Kind, Lab, LabHost, Ran, Tool, bin_dir, command, tool};

use crate::verbs::Verb;

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
        let changes = prepared || verb.name == "ops-db backup";
        let alone = changes.then(|| CHANGES.lock().unwrap_or_else(PoisonError::into_inner));
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        if !verb.prepare.is_empty() {
            let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin_dir().display());
            let ran = command("sh")
                .args(["-euc", verb.prepare])
                .env("PATH", path)
                .env(
                    "LAB_NIXOS",
                    concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/nixos"),
                )
                .dir(folder.path())
                .run();
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
        self.command_at(host().map_or("localhost", LabHost::name), extra)
    }

    /// The real invocation at a host of another name.
    pub(crate) fn command_at(&self, host: &str, extra: &[&str]) -> Tool {
        let authority = ops_tests::tree::authority()
            .join("ca.pem")
            .display()
            .to_string();
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
            .env("EDITOR", "sed -i s/made-up/other/");
        if self.verb.stdin.is_empty() {
            run
        } else {
            run.stdin(self.verb.stdin)
        }
    }
}
