//! `ops-db list`: the databases of a server, and how old their newest backups are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ops_common::output::Record;
use serde::Serialize;

use crate::catalogue;
use crate::copied::Row;
use crate::error::Error;
use crate::reach::Server;

/// One database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
    /// Its size; none where the role may not see it.
    pub size_bytes: Option<u64>,
    /// Clients that are connected to it, without us.
    pub connections: u64,
    /// How old its newest whole backup is, among the backups on this machine.
    pub backup_age_s: Option<i64>,
}

impl Record for Database {
    const COLUMNS: &'static [&'static str] =
        &["name", "owner", "size_bytes", "connections", "backup_age_s"];
}

/// The database that every server has.
pub const HOME: &str = "postgres";

const DATABASES: &str = "
SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba),
  CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') THEN pg_catalog.pg_database_size(d.oid) END,
  (SELECT count(*) FROM pg_catalog.pg_stat_activity a
    WHERE a.datid = d.oid AND a.backend_type = 'client backend' AND a.pid <> pg_catalog.pg_backend_pid())
FROM pg_catalog.pg_database d WHERE NOT d.datistemplate ORDER BY d.datname";

/// The databases of a server, and how old their backups on this machine are.
pub fn look(server: &Server<'_>) -> Result<Vec<Database>, Error> {
    let rows = server.rows(HOME, DATABASES)?;
    let folder = &server.settings().backups;
    // A machine without backups has none of anything; one whose backups cannot be read is told so by `backups`.
    let backups = catalogue::read(folder).unwrap_or_default();
    let newest = if backups.is_empty() {
        BTreeMap::new()
    } else {
        catalogue::newest(&backups, &server.origin()?, |backup| backup.at)
    };
    let now = Timestamp::now();
    let age = |name: &str| {
        let at = newest.get(name)?;
        Some(now.duration_since(*at).as_secs())
    };
    Ok(rows.into_iter().map(|row| database(row, &age)).collect())
}

fn database(row: Row, age: &dyn Fn(&str) -> Option<i64>) -> Database {
    let mut values = row.into_iter();
    let mut text = || values.next().flatten();
    let name = text().unwrap_or_default();
    Database {
        backup_age_s: age(&name),
        owner: text().unwrap_or_default(),
        size_bytes: text().and_then(|size| size.parse().ok()),
        connections: text()
            .and_then(|count| count.parse().ok())
            .unwrap_or_default(),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_a_record() {
        let row = crate::copied::row("mautrix_slack\tmautrix_slack\t\\N\t3");
        let found = database(row, &|name| (name == "mautrix_slack").then_some(60));
        assert_eq!(
            (
                found.owner.as_str(),
                found.size_bytes,
                found.connections,
                found.backup_age_s
            ),
            ("mautrix_slack", None, 3, Some(60))
        );
    }
}
