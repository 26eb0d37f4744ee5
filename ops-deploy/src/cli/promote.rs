//! `ops-deploy promote`.

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts::{self, Target};
use ops_common::tool::Context;

use super::systems::Named;
use crate::error::Error;
use crate::line::Line;
use crate::record::Record;
use crate::settings::Settings;
use crate::switch::{self, Request};
use crate::{facts, git, log, nix, promote};

/// Switch one host to what another has proved
///
/// The newest healthy deployment of FROM must be at least --soak old, still run there, and be of this very commit without local
/// changes; or this commit must give FROM the very system that it runs, so that it proves this commit too. Says whether the two systems are the same path, come from the same revision and lock (the differing
/// paths with -v), and whether the units of `deploy.units` are the same. Then as `switch`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy promote ops-jrz1-staging ops-jrz1 --soak 1d
  ops-deploy promote ops-jrz1-staging ops-jrz1 --soak 1h --yes")]
pub(super) struct Promote {
    /// The host that has proved the commit
    #[arg(value_name = "FROM")]
    from: String,

    /// The host that gets it
    #[arg(value_name = "TO")]
    to: String,

    /// How long it must have run there
    #[arg(long, value_name = "TIME", default_value = "0s")]
    soak: ops_common::span::Span,

    /// Let the host take from its binary caches what those have
    #[arg(long)]
    substitute: bool,

    /// Do not ask, on a terminal, whether the plan is wanted
    #[arg(long)]
    yes: bool,
}

impl Promote {
    /// The record of the host that has proved the system that this commit gives it.
    fn proof(
        &self,
        context: &Context,
        from: &Target,
        flake: &nix::Installable,
        revision: &git::Revision,
    ) -> Result<Record, Error> {
        let line = Line::connect(context, from, context.report.clone())?;
        let (log, _) = log::read(&line.host(), &self.from)?;
        let wanted = promote::Wanted {
            revision,
            soak: self.soak.duration(),
            now: jiff::Timestamp::now(),
        };
        let built = || -> Result<String, Error> {
            Ok(nix::build(std::slice::from_ref(flake))?
                .pop()
                .unwrap_or_default())
        };
        let proved = promote::proof(&log, &line.state()?, wanted, built)?;
        proved.map_err(|reason| Error::NotProved {
            host: from.name.clone(),
            reason,
        })
    }

    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let config = context.config()?;
        let settings = Settings::read(config)?;
        let froms = hosts::targets(context, std::slice::from_ref(&self.from))?;
        let tos = hosts::targets(context, std::slice::from_ref(&self.to))?;
        let ([from], [to]) = (froms.as_slice(), tos.as_slice()) else {
            return Err(hosts::Error::Several(froms.len().max(tos.len())).into());
        };
        let flake = facts::installable(config, to);
        let facts = facts::gather(config, &settings, Some(&flake), false, &context.report)?;
        let proving = facts::installable(config, from);
        let proved = self.proof(context, from, &proving, &facts.revision)?;
        let new = nix::build(std::slice::from_ref(&flake))?
            .pop()
            .unwrap_or_default();
        let likeness = promote::likeness(&proved.new, &new, &settings.units)?;
        likeness
            .differing
            .iter()
            .for_each(|path| context.report.note(format_args!("differs: '{path}'")));
        let origin = format!("promoted from '{}' ({})", from.name, likeness.told);
        context.report.hint(&origin);
        let seen = switch::look(context, &tos, 1)?;
        switch::check(&seen)?;
        let named = format!("{}#{}", flake.flake, flake.system);
        let request = Request {
            action: "promote",
            origin,
            substitute: self.substitute,
            ..Request::new(&settings, &facts, 1)
        };
        let ready = seen
            .into_iter()
            .map(|seen| switch::prepare(context, &request, seen, new.clone(), named.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        Named::new(1, false).go(context, &request, &ready, self.yes)
    }
}
