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

use crate::count::count;
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
        Ok((tables, rows)) => (
            Check::ok(CHECK, subject, "restored and compared")
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
    if let Some(mut manifest) = beside {
        manifest.proofs.push(Proof {
            by: Means::Drill,
            at: Timestamp::now(),
            damage,
        });
        manifest.save(path)?;
    }
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

fn restored(
    server: &Server<'_>,
    mut source: Opened,
    beside: Option<&Manifest>,
) -> Result<(usize, u64), Error> {
    let home = server.session("postgres")?;
    let mut roles = restore::roles(&mut source)?;
    roles.extend(beside.iter().flat_map(|manifest| manifest.roles.clone()));
    roles.remove(server.user());
    for role in &roles {
        home.execute(&format!("CREATE ROLE {}", quote_name(role)))?;
    }
    let database = "drill";
    let encoding = restore::encoding(&mut source)?;
    home.execute(&format!(
        "CREATE DATABASE {database} TEMPLATE template0{encoding}"
    ))?;
    let filled = restore::fill(server, source, database, &Options::default())?;
    if let Some(manifest) = beside.or(filled.manifest.as_ref()) {
        compare(server, database, manifest)?;
    }
    Ok((
        filled.tables.len(),
        filled.tables.iter().filter_map(|table| table.rows).sum(),
    ))
}

/// Every table of the manifest, counted and where it has a sum, summed.
fn compare(server: &Server<'_>, database: &str, manifest: &Manifest) -> Result<(), Error> {
    let session = server.session(database)?;
    let major = |version: &str| version.split(['.', ' ']).next().map(str::to_owned);
    // A sum of `hashtext` means nothing in another major version.
    let is_comparable =
        major(&session.value("SHOW server_version")?) == major(&manifest.server_version);
    for table in &manifest.tables {
        let (counted, sum) = count(&session, table, table.checksum.is_some() && is_comparable)?;
        let name = format!("{}.{}", table.schema, table.name);
        let different = |difference| {
            Err(Error::Different {
                database: manifest.database.clone(),
                difference,
            })
        };
        if table.rows.is_some_and(|rows| rows != counted) {
            return different(format!(
                "table '{name}' has {counted} rows of {}",
                table.rows.unwrap_or(0)
            ));
        }
        if sum.is_some() && sum != table.checksum {
            return different(format!(
                "the rows of table '{name}' do not sum up to what they did"
            ));
        }
    }
    Ok(())
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
