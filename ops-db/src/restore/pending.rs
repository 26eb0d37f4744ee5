//! A database that is being restored, under a name that nobody uses, until it takes the place of the real one.
//!
//! It carries a mark, and a lock that lasts as long as our session. A run that was killed leaves the mark without the lock:
//! the next one finds the database by that and removes it. The swap is one transaction: at every moment a database of the
//! name is there and lets people in, whatever happens to us.

use std::sync::atomic::{AtomicBool, Ordering};

use ops_common::interrupt::{self, Guard};
use postgres_protocol::escape::escape_literal;

use super::nature;
use super::told::Told;
use crate::error::Error;
use crate::reach::Server;
use crate::server::Session;
use crate::source::Opened;
use crate::sql::quote_name;

/// The comment of a database that is not there for anybody yet.
const MARK: &str = "ops-db: being restored";
/// The name of such a database.
const NAME: &str = "_restore_[0-9]{8}T[0-9]{6}Z(_[0-9]+)?$";

/// A database in the making.
pub(super) struct Pending<'a> {
    server: &'a Server<'a>,
    home: Session,
    name: String,
    told: Told,
    _guard: Guard,
}

impl<'a> Pending<'a> {
    /// Removes what dead runs have left, and makes an empty database that will become `database`.
    pub(super) fn create(
        server: &'a Server<'a>,
        database: &str,
        backup: &mut Opened,
        stamp: &str,
    ) -> Result<Self, Error> {
        let home = server.steady("postgres")?;
        remove_leftovers(server, &home)?;
        let told = Told::by(backup)?;
        let nature = nature::creation(&home, database, &told)?;
        let name = vacant(database, &format!("_restore_{stamp}"), |name| {
            let quoted = quote_name(name);
            home.execute(&format!(
                "CREATE DATABASE {quoted} TEMPLATE template0{nature}"
            ))?;
            // The lock before the mark: what has the mark and no lock is removed by others.
            home.execute(&format!("SELECT pg_advisory_lock({})", key(name)))?;
            home.execute(&format!("COMMENT ON DATABASE {quoted} IS '{MARK}'"))
        })?;
        let (opener, removal) = (server.opener("postgres")?, removal(&name));
        let guard = interrupt::guard(move || {
            drop(opener().and_then(|session| session.execute(&removal)));
        });
        Ok(Self {
            server,
            home,
            name,
            told,
            _guard: guard,
        })
    }

    /// The name it has for now.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it its name; the name that a database which had it before has then.
    pub(super) fn swap(&self, database: &str, ending: &str) -> Result<Option<String>, Error> {
        // One swap at a time: two renames of one database at once confuse the server.
        self.home
            .execute("SELECT pg_advisory_lock(hashtext('ops-db'), hashtext('swap'))")?;
        let (new, quoted) = (quote_name(&self.name), quote_name(database));
        let is_there = self.home.rows(&format!(
            "SELECT 1 FROM pg_database WHERE datname = {}",
            escape_literal(database)
        ))?;
        let named = |adornment: &str| {
            format!(
                "COMMENT ON DATABASE {new} IS NULL; {adornment}ALTER DATABASE {new} RENAME TO {quoted}"
            )
        };
        if is_there.is_empty() {
            self.told.adorn(self.server, &self.home, &self.name)?;
            let comment = self.told.comment(&self.name);
            let comment = comment.map_or_else(String::new, |comment| comment + "; ");
            self.home
                .execute(&format!("BEGIN; {}; COMMIT", named(&comment)))?;
            return Ok(None);
        }
        let named = named(&nature::adornment(&self.home, database, &self.name)?);
        let rename = |old: &str| {
            let old = quote_name(old);
            let renamed =
                format!("BEGIN; ALTER DATABASE {quoted} RENAME TO {old}; {named}; COMMIT");
            self.home
                .execute(&renamed)
                .inspect_err(|_| drop(self.home.execute("ROLLBACK")))
        };
        self.alone(database, || vacant(database, ending, rename))
            .map(Some)
    }

    /// Sends clients of the database away while `work` runs. The lock that a rename takes keeps new ones waiting, so that
    /// the database need not be closed to them first, and would not stay closed if we died.
    fn alone<T>(
        &self,
        database: &str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let helper = self.server.session("postgres")?;
        let terminate = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({}, {}); SELECT pg_sleep(0.05)",
            escape_literal(database),
            escape_literal(&self.name)
        );
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // A client that we may not send away makes the rename fail, and that says so.
            scope.spawn(|| {
                loop {
                    if helper.execute(&terminate).is_err() || is_done.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
            let done = work();
            is_done.store(true, Ordering::SeqCst);
            done
        })
    }

    /// Removes it: it will not become anything.
    pub(super) fn remove(&self) {
        let removed = self
            .server
            .steady("postgres")
            .and_then(|session| drop_database(self.server, &session, &self.name));
        if let Err(error) = removed {
            let told = ops_common::exit::describe(&error);
            self.server.report().warn(format_args!(
                "database '{}' is left over until the next restore removes it: {told}",
                self.name
            ));
        }
    }
}

/// Removes a database that nobody knows. One that holds subscriptions is in use for the server: they are forgotten first,
/// without a word to the publisher, whose slots belong to the database that the backup is of.
fn drop_database(server: &Server<'_>, home: &Session, name: &str) -> Result<(), Error> {
    match home.execute(&removal(name)) {
        Err(Error::Query(refusal)) if refusal.is_in_use() => {}
        done => return done,
    }
    let inside = server.steady(name)?;
    for row in inside.rows(SUBSCRIPTIONS)? {
        for subscription in row.iter().flatten() {
            for step in [
                "ALTER SUBSCRIPTION $ DISABLE",
                "ALTER SUBSCRIPTION $ SET (slot_name = NONE)",
                "DROP SUBSCRIPTION $",
            ] {
                inside.execute(&step.replace('$', subscription))?;
            }
        }
    }
    drop(inside);
    home.execute(&removal(name))
}

const SUBSCRIPTIONS: &str = "SELECT quote_ident(subname) FROM pg_subscription \
    WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn removal(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_name(name))
}

/// The lock on such a database.
fn key(name: &str) -> String {
    format!(
        "hashtext('ops-db restore'), hashtext({})",
        escape_literal(name)
    )
}

/// Removes marked databases that nobody works at. One without the mark may be anybody's, so it is only named.
fn remove_leftovers(server: &Server<'_>, home: &Session) -> Result<(), Error> {
    let found = home.rows(&format!(
        "SELECT datname, shobj_description(oid, 'pg_database') IS NOT DISTINCT FROM '{MARK}' FROM pg_database
         WHERE datname ~ '{NAME}' ORDER BY datname"
    ))?;
    for row in found {
        let mut values = row.into_iter().flatten();
        let (Some(name), Some(is_marked)) = (values.next(), values.next()) else {
            continue;
        };
        let lock = key(&name);
        if home.value(&format!("SELECT pg_try_advisory_lock({lock})"))? != "t" {
            continue;
        }
        if is_marked == "t" {
            match drop_database(server, home, &name) {
                Ok(()) => server.report().warn(format_args!(
                    "database '{name}' was left over by a restore that died, and is removed"
                )),
                // It is in nobody's way but its own.
                Err(Error::Query(refusal)) if !refusal.is_loss() => server.report().warn(
                    format_args!("database '{name}' was left over by a restore that died, and cannot be removed: {refusal}"),
                ),
                Err(error) => return Err(error),
            }
        } else {
            server.report().warn(format_args!(
                "database '{name}' looks like one that a restore has left over"
            ));
        }
        home.execute(&format!("SELECT pg_advisory_unlock({lock})"))?;
    }
    Ok(())
}

/// A name made of another, within the 63 bytes that a name may have.
fn derived(name: &str, ending: &str) -> String {
    let mut end = name.len().min(63 - ending.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &name[..end])
}

/// Does something with the first name made of another that no database has: two restores may fall into one second.
fn vacant(
    name: &str,
    ending: &str,
    take: impl Fn(&str) -> Result<(), Error>,
) -> Result<String, Error> {
    let mut candidate = derived(name, ending);
    let mut number = 1;
    loop {
        match take(&candidate) {
            Err(Error::Query(refusal)) if refusal.is_duplicate() => {
                number += 1;
                candidate = derived(name, &format!("{ending}_{number}"));
            }
            taken => return taken.map(|()| candidate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::derived;

    #[test]
    fn derived_names_fit_and_stay_text() {
        assert_eq!(derived("db", "_x"), "db_x");
        let long = derived(&"é".repeat(40), "_restore_20260131T120000Z");
        assert!(
            long.len() <= 63 && long.ends_with("é_restore_20260131T120000Z"),
            "{long}"
        );
    }
}
