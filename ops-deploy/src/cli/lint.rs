//! `ops-deploy lint`.

use std::path::Path;

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts::HostArgs;
use ops_common::tool::Context;
use ops_common::watch::{self, WatchArgs};

use super::state_of;
use super::systems::store_path;
use crate::error::Error;
use crate::settings::Settings;
use crate::{lint, nix};

/// Look for traps in a system, or on a running host
///
/// Of a store path: nginx upstreams called `localhost` (several addresses, of which the service may answer only one), the
/// same in bridge registrations and database URLs, secrets in plain text, debug logging, units that may take longer to start
/// than a deployment is watched. Of a host: the same for the system that runs there, joined with what listens there.
///
/// Checks: deploy.lint.localhost, deploy.lint.secrets, deploy.lint.secret_modes, deploy.lint.logging, deploy.lint.start_limit,
/// deploy.lint.insecure, deploy.lint.boot_space. Only `plan` and `switch` can tell what is wrong with a step from one system to
/// another: deploy.lint.sshd, deploy.lint.firewall, deploy.lint.postgresql, deploy.lint.state_version, deploy.lint.inhibitors.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops-deploy lint ./result
  ops-deploy lint ops-jrz1
  ops-deploy lint $(ops-deploy build ops-jrz1) --json | ops-deploy gate")]
pub(super) struct Lint {
    /// A store path, a link to one, or hosts
    #[arg(required = true, value_name = "PATH|HOST")]
    what: Vec<String>,

    /// Go to so many hosts at a time
    #[arg(short, long, value_name = "N", default_value_t = 8)]
    jobs: usize,

    #[command(flatten)]
    watch: WatchArgs,
}

impl Lint {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let settings = Settings::read(context.config()?)?;
        if let [path] = self.what.as_slice()
            && (path.contains('/') || path == "result")
        {
            let path = store_path(path)?;
            return watch::judge_here(context, "deploy.lint", &self.watch, || {
                let system =
                    lint::System::read(Path::new(&path)).map_err(|source| Error::Units {
                        path: path.clone(),
                        source,
                    })?;
                let system = system.made_of(&nix::closure(&path)?.unwrap_or_default());
                Ok::<_, Error>(lint::checks(&system, None, &settings))
            });
        }
        let hosts = HostArgs {
            names: self.what,
            jobs: self.jobs,
        };
        watch::judge(context, "deploy.lint", &hosts, &self.watch, |host| {
            let state = state_of(host, &settings)?;
            let system = lint::ask(host)?;
            Ok::<_, Error>(lint::checks(&system, Some(&state), &settings))
        })
    }
}
