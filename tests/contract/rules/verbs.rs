//! Every verb of every tool with a real invocation. The list of verbs is not kept here: it comes from the command lines
//! themselves, and a verb without an entry fails the contract.

use clap::CommandFactory;

/// What a verb prints.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prints {
    /// Records, whose fields docs/conventions.md promises.
    Records,
    /// The same, but a terminal shows them as lines of text without a header.
    Lines,
    /// Check records.
    Checks,
    /// Bytes or lines of its own form.
    Data,
    /// Nothing: it changes something, and success is quiet.
    Nothing,
}

/// A verb, and how to run it for real.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verb {
    /// `ops-db list`
    pub(crate) name: &'static str,
    /// The arguments after the name. `{HOST}` is the lab host, `{DIR}` a scratch folder that `prepare` has filled.
    pub(crate) args: &'static [&'static str],
    /// What it is given on stdin.
    pub(crate) stdin: &'static str,
    /// What a shell does in the scratch folder before each run, with the tools on PATH.
    pub(crate) prepare: &'static str,
    /// The status it ends with.
    pub(crate) status: i32,
    /// What it prints.
    pub(crate) prints: Prints,
    /// Whether it reaches the lab host, so that an unreachable host is 69.
    pub(crate) reaches_host: bool,
    /// Whether its host is the one whose bridge is logged in to the stand-in for Slack.
    pub(crate) is_bridged: bool,
}

impl Verb {
    pub(crate) const fn new(
        name: &'static str,
        args: &'static [&'static str],
        prints: Prints,
    ) -> Self {
        Self {
            name,
            args,
            stdin: "",
            prepare: "",
            status: 0,
            prints,
            reaches_host: false,
            is_bridged: false,
        }
    }

    pub(crate) const fn on_host(self) -> Self {
        Self {
            reaches_host: true,
            ..self
        }
    }

    pub(crate) const fn on_bridged_host(self) -> Self {
        Self {
            reaches_host: true,
            is_bridged: true,
            ..self
        }
    }

    pub(crate) const fn status(self, status: i32) -> Self {
        Self { status, ..self }
    }

    pub(crate) const fn prepare(self, prepare: &'static str) -> Self {
        Self { prepare, ..self }
    }

    pub(crate) const fn stdin(self, stdin: &'static str) -> Self {
        Self { stdin, ..self }
    }

    /// The tool that it belongs to.
    pub(crate) fn tool(&self) -> &'static str {
        self.name.split(' ').next().unwrap_or(self.name)
    }

    /// The words of the verb itself.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'static str> {
        self.name.split(' ').skip(1)
    }
}

/// The command lines of all tools.
pub(crate) fn tools() -> [clap::Command; 5] {
    [
        ops_deploy::cli::Cli::command(),
        ops_secrets::cli::Cli::command(),
        ops_bridge::cli::Cli::command(),
        ops_db::cli::Cli::command(),
        ops_matrix::cli::Cli::command(),
    ]
}

/// The names of all verbs that the command lines know, `TOOL VERB [VERB]`.
pub(crate) fn known() -> Vec<String> {
    fn walk(path: &str, command: &clap::Command, names: &mut Vec<String>) {
        let verbs: Vec<_> = command
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help")
            .collect();
        if verbs.is_empty() {
            names.push(path.to_owned());
        }
        for verb in verbs {
            walk(&format!("{path} {}", verb.get_name()), verb, names);
        }
    }
    let mut names = Vec::new();
    for tool in tools() {
        walk(tool.get_name(), &tool, &mut names);
    }
    names
}
