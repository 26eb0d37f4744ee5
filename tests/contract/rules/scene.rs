//! Where the verbs run: one lab host for all rules, and a scratch folder for each run.

use std::path::Path;
use std::sync::OnceLock;

use ops_tests::{Kind, Lab, LabHost, Ran, Tool, bin_dir, command, tool};

use crate::verbs::Verb;

/// The host that all runs share. Entries that change it undo that, or are repeatable.
pub(crate) fn host() -> Option<&'static LabHost> {
    static HOST: OnceLock<Option<LabHost>> = OnceLock::new();
    HOST.get_or_init(|| Some(Lab::get()?.host("contract", Kind::Platform))).as_ref()
}

/// A verb about to run in a scratch folder of its own.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    verb: Verb,
}

impl Scene {
    /// Makes the folder and fills it as the verb's entry says.
    pub(crate) fn new(verb: &Verb) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        if !verb.prepare.is_empty() {
            let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin_dir().display());
            let ran = command("sh").args(["-euc", verb.prepare]).env("PATH", path).dir(folder.path()).run();
            assert_eq!(ran.status, 0, "the preparation of '{}' failed\n{ran}", verb.name);
        }
        Self { folder, verb: *verb }
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
        let args = self.verb.args.iter().map(|arg| arg.replace("{HOST}", host));
        let run = tool(self.verb.tool()).args(self.verb.words()).args(extra).args(args).dir(self.folder());
        if self.verb.stdin.is_empty() { run } else { run.stdin(self.verb.stdin) }
    }
}
