//! `drill`: proves a backup by restoring it, into a cluster that exists for nothing else.
//!
//! The cluster has no port and a socket in a folder of its own. It belongs to a command on the host that removes all of it
//! when its input ends, so it ends with us, whatever ends us.

use std::io::{BufRead, BufReader};
use std::path::Path;

use jiff::Timestamp;
use ops_common::check::Check;
use ops_common::host::{Command, Host, Process};
use ops_common::report::Report;
use serde_json::json;

use crate::count;
use crate::error::Error;
use crate::manifest::{self, Manifest, Means, Proof};
use crate::reach::Server;
use crate::restore::{self, Options};
use crate::settings::Settings;
use crate::source::Opened;
use crate::sql::quote_name;

/// The name of the findings.
pub const CHECK: &str = "db.drill";

/// A cluster that lasts as long as this value.
struct Scratch {
    holder: Option<Process>,
    folder: String,
}

impl Scratch {
    fn start(host: &Host, user: &str) -> Result<Self, Error> {
        let mut holder = host.spawn(&Command::script::<&str>(SCRATCH, &[]).as_user(user))?;
        let mut folder = String::new();
        BufReader::new(&mut holder.stdout)
            .read_line(&mut folder)
            .map_err(Error::Stream)?;
        if folder.is_empty() {
            let ended = holder.wait()?;
            // What follows the error is about the clearing away.
            let said = String::from_utf8_lossy(&ended.stderr);
            let error = said
                .lines()
                .find(|line| line.contains("error:") || line.contains("FATAL:"));
            return Err(Error::Program {
                host: host.name().to_owned(),
                program: "initdb",
                status: ended.status,
                reason: error.map_or_else(|| ended.complaint(), str::to_owned),
            });
        }
        Ok(Self {
            holder: Some(holder),
            folder: folder.trim_end().to_owned(),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(Process {
            stdin,
            stdout,
            running,
        }) = self.holder.take()
        {
            drop((stdin, stdout));
            drop(running.wait());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no table has 2^53 rows")]
/// Restores one file on `host`, compares, and notes the result in the manifest beside it.
pub fn file(
    host: &Host,
    settings: &Settings,
    report: &Report,
    path: &Path,
    source: Opened,
) -> Result<Check, Error> {
    let subject = path.display().to_string();
    let beside = manifest::load(path)?;
    let user = user(host, settings)?;
    let scratch = Scratch::start(host, &user)?;
    let settings = Settings {
        socket: scratch.folder.clone().into(),
        superuser: user,
        ..settings.clone()
    };
    let server = Server::new(host, &settings, None, report);
    let outcome = restored(&server, source, beside.as_ref());
    drop(server);
    drop(scratch);
    let (check, damage) = match outcome {
        Ok(Found { tables, rows, how }) => (
            Check::ok(CHECK, subject, how)
                .value(rows as f64, "rows")
                .data(json!({"tables": tables})),
            None,
        ),
        Err(error @ (Error::Different { .. } | Error::Damaged { .. })) => (
            Check::fail(CHECK, subject, error.to_string()),
            Some(error.to_string()),
        ),
        Err(error) => return Err(error),
    };
    let proof = Proof {
        by: Means::Drill,
        at: Timestamp::now(),
        damage,
    };
    manifest::note(path, proof)?;
    Ok(check)
}

/// Whose cluster it will be. initdb refuses root, and whoever is not root here can only be himself.
fn user(host: &Host, settings: &Settings) -> Result<String, Error> {
    if !host.is_local() || rustix::process::geteuid().is_root() {
        return Ok(settings.superuser.clone());
    }
    let said = host.output(&Command::new("id").arg("-un"))?;
    Ok(String::from_utf8_lossy(&said).trim_end().to_owned())
}

/// What a drill has found.
struct Found {
    tables: usize,
    rows: u64,
    how: &'static str,
}

fn restored(
    server: &Server<'_>,
    mut source: Opened,
    beside: Option<&Manifest>,
) -> Result<Found, Error> {
    let home = server.steady("postgres")?;
    let mut roles = restore::roles(&mut source)?;
    roles.extend(beside.iter().flat_map(|manifest| manifest.roles.clone()));
    roles.remove(server.user());
    for role in &roles {
        home.execute(&format!("CREATE ROLE {}", quote_name(role)))?;
    }
    let database = "drill";
    restore::create_alike(&home, database, &mut source)?;
    let options = Options {
        without_tablespaces: true,
        ..Options::default()
    };
    let filled = restore::fill(server, source, database, &options)?;
    let known = beside.or(filled.manifest.as_ref());
    let is_counted = filled.tables.iter().all(|table| table.rows.is_some());
    let rows = match known {
        Some(manifest) => compare(server, database, manifest)?,
        None => count::difference(&server.steady(database)?, &filled.tables, false)?.0,
    };
    Ok(Found {
        tables: filled.tables.len(),
        rows,
        how: match known {
            None if !is_counted => "restored; there was nothing to compare all its rows with",
            _ => "restored and compared",
        },
    })
}

/// Every table of the manifest, counted and where it has a sum, summed; how many rows there are.
fn compare(server: &Server<'_>, database: &str, manifest: &Manifest) -> Result<u64, Error> {
    let session = server.steady(database)?;
    let major = |version: &str| version.split(['.', ' ']).next().map(str::to_owned);
    // A sum of `hashtext` means nothing in another major version.
    let is_comparable =
        major(&session.value("SHOW server_version")?) == major(&manifest.server_version);
    let (rows, difference) = count::difference(&session, &manifest.tables, is_comparable)?;
    match difference {
        Some(difference) => Err(Error::Different {
            database: manifest.database.clone(),
            difference,
        }),
        None => Ok(rows),
    }
}

/// Makes the cluster, says where it is, and removes it when its input ends. What a holder that was killed has left is
/// removed by the next one of the same user.
const SCRATCH: &str = r#"for bin in "$(dirname "$(command -v initdb || echo /)")" "$(pg_config --bindir 2>/dev/null)" /usr/lib/postgresql/*/bin; do
  [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] && found=$bin
done
[ -n "$found" ] || { echo "initdb is not there" >&2; exit 127; }
place=${TMPDIR:-/tmp}
for old in "$place"/ops-db-drill.*; do
  holder=${old##*/ops-db-drill.}; holder=${holder%%.*}
  [ -O "$old" ] && ! grep -q ops-db-drill "/proc/$holder/cmdline" 2>/dev/null || continue
  "$found/pg_ctl" -D "$old/data" -m immediate -w -s stop >/dev/null 2>&1; rm -rf "$old"
done
umask 077; folder=$(mktemp -d "$place/ops-db-drill.$$.XXXXXX") || exit 74
trap '"$found/pg_ctl" -D "$folder/data" -m immediate -w -s stop >/dev/null 2>&1; rm -rf "$folder"' EXIT
trap 'exit 143' HUP INT TERM PIPE
"$found/initdb" -D "$folder/data" -U "$(id -un)" -A peer -E UTF8 --no-sync >/dev/null || exit 1
"$found/pg_ctl" -D "$folder/data" -l "$folder/log" -w -s -o "-c listen_addresses= -c unix_socket_directories='$folder' -c fsync=off \
  -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=4GB" start >/dev/null </dev/null || { cat "$folder/log" >&2; exit 1; }
echo "$folder"
read -r end
exit 0"#;
