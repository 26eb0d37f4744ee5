//! `ops-deploy plan`.

use clap::Args;
use ops_common::check::State as Finding;
use ops_common::exit::Status;
use ops_common::hosts;
use ops_common::tool::Context;

use super::systems::store_path;
use crate::deployment::Way;
use crate::error::Error;
use crate::preview::{Line, Preview};
use crate::settings::Settings;
use crate::switch::{self, Request};
use crate::{ahead, copy, dry_run, facts, nix};

/// Tell what a switch would change: packages and units, without copying a byte
///
/// With one host: from the system that runs there to the one that would be built, for the units that run there. With two
/// store paths: between those. Prints kind (package, unit, lint), action, name, old, new, delta_bytes, reason; a `lint` is a
/// trap in the new system or on the way to it, or a secret that the host could not decrypt, and its action is `warn` or `fail`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy plan ops-jrz1
  ops-deploy plan /run/current-system ./result
  ops-deploy plan ops-jrz1 --json | jq -r 'select(.kind == \"unit\") | .name'")]
pub(super) struct Plan {
    /// A host, or an old and a new system
    #[arg(required = true, num_args = 1..=2, value_names = ["HOST", "NEW"])]
    what: Vec<String>,

    /// Plan for this system instead of building one
    #[arg(long, value_name = "PATH")]
    store_path: Option<String>,

    /// Copy the system and let the host say what it would do to its units (dry-activate)
    #[arg(long)]
    ask_host: bool,
}

impl Plan {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = Settings::read(context.config()?)?;
        let (host, lines) = match self.what.as_slice() {
            [old, new] => {
                let (old, new) = (store_path(old)?, store_path(new)?);
                let closure = nix::closure(&new)?.ok_or_else(|| Error::NotHere(new.clone()))?;
                let preview = Preview::between(&old, &new, &closure, None)?;
                let preview = preview.ok_or_else(|| Error::NotHere(old.clone()))?;
                let traps = ahead::traps(Some(&old), (&new, &closure), None, &settings)?;
                let lines: Vec<_> = preview.lines().chain(traps.iter().map(Line::of)).collect();
                (hosts::this_machine(), lines)
            }
            _ => (self.what.concat(), self.for_host(context, &settings)?),
        };
        let mut output = context.output()?;
        for line in lines {
            output.record(&host, &line)?;
        }
        output.finish()?;
        Ok(Status::Done)
    }

    fn for_host(&self, context: &Context, settings: &Settings) -> Result<Vec<Line>, Error> {
        let config = context.config()?;
        let targets = hosts::targets(context, &self.what)?;
        let [target] = targets.as_slice() else {
            return Err(hosts::Error::Several(targets.len()).into());
        };
        let new = match &self.store_path {
            Some(path) => store_path(path)?,
            None => nix::build(&[facts::installable(config, target)])?
                .pop()
                .unwrap_or_default(),
        };
        let Some(seen) = switch::look(context, &targets, 1)?.pop() else {
            return Ok(Vec::new());
        };
        let old = seen.state.old().unwrap_or("").to_owned();
        let facts = facts::Facts::default();
        let request = Request::new(settings, &facts, 1);
        let ready = switch::prepare(context, &request, seen, new, String::new())?;
        if ready.is_there(Way::Switch, settings) {
            return Ok(Vec::new());
        }
        let findings = ready.findings.iter().chain(&ready.secrets);
        let findings = findings
            .filter(|check| check.status > Finding::Ok)
            .map(Line::of);
        if self.ask_host {
            copy::copy(&ready.seen.line, &ready.closure, false)?;
            let mut lines = dry_run::ask(&ready.seen.line, &ready.new)?;
            let packages = ready.preview.iter().flat_map(Preview::packages);
            lines.splice(..0, packages);
            lines.extend(findings);
            return Ok(lines);
        }
        let preview = ready.preview.as_ref().ok_or(Error::NotHere(old))?;
        Ok(preview.lines().chain(findings).collect())
    }
}
