//! The table of contents: what the archive says it holds.

use std::fmt;
use std::io::BufRead;

use super::cursor::{Cursor, Damage, Fault};
use super::header::Header;
use crate::sql::qualified_name;

/// One object of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number its data block goes by.
    pub id: i64,
    /// `TABLE`, `TABLE DATA`, `INDEX`, `ACL`...
    pub kind: String,
    /// Its schema, empty for objects in none.
    pub schema: String,
    /// Its name; for some kinds with the name of what it belongs to.
    pub name: String,
    /// Its owner, empty where there is none.
    pub owner: String,
    /// The statement that makes it; kept only of what is about the database itself or names roles.
    pub definition: String,
    /// Whether a data block must come for it.
    pub has_data: bool,
    /// The table that its rows are for, if its data is rows for `COPY`.
    pub copied_into: Option<(String, String)>,
}

impl Entry {
    /// The partitioned table that the rows of a partition are put into: `pg_dump` wants that where the server may put them
    /// elsewhere next time, since they are shared out by the hash of an enum.
    #[must_use]
    pub fn root(&self) -> Option<(String, String)> {
        let is_other =
            |target: &(String, String)| *target != (self.schema.clone(), self.name.clone());
        self.copied_into.clone().filter(is_other)
    }

    /// Whether it defines what `pg_restore --table` can name.
    #[must_use]
    pub fn is_relation(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE"
        )
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schema.as_str() {
            "" => write!(f, "{} '{}'", self.kind, self.name),
            schema => write!(f, "{} '{schema}.{}'", self.kind, self.name),
        }
    }
}

pub(super) fn read(
    cursor: &mut Cursor<impl BufRead>,
    header: &Header,
) -> Result<Vec<Entry>, Damage> {
    let count = cursor.length()?;
    // Grown as entries come: a flipped bit in the count must not reserve gigabytes.
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(entry(cursor, header)?);
    }
    Ok(entries)
}

/// The fields in the order of `WriteToc` in `pg_backup_archiver.c`.
fn entry(cursor: &mut Cursor<impl BufRead>, header: &Header) -> Result<Entry, Damage> {
    let id = cursor.int()?;
    if id <= 0 {
        return Err(cursor.damage(Fault::Number(id, "entry number")));
    }
    let _had_dumper = cursor.int()?;
    let _table_oid = cursor.skip_string()?;
    let _oid = cursor.skip_string()?;
    let name = cursor.string()?.unwrap_or_default();
    let kind = cursor.string()?.unwrap_or_default();
    let _section = cursor.int()?;
    let is_kept = match kind.as_str() {
        "DATABASE" | "DATABASE PROPERTIES" | "ACL" | "DEFAULT ACL" | "POLICY" | "USER MAPPING" => {
            true
        }
        "COMMENT" => name.starts_with("DATABASE "),
        _ => false,
    };
    let definition = if is_kept {
        cursor.string()?.unwrap_or_default()
    } else {
        cursor.skip_string()?;
        String::new()
    };
    let _drop_statement = cursor.skip_string()?;
    let copied_into = cursor.string()?.as_deref().and_then(copied_into);
    let schema = cursor.string()?.unwrap_or_default();
    let _tablespace = cursor.skip_string()?;
    let _access_method = cursor.skip_string()?;
    if header.version >= (1, 16) {
        let _relation_kind = cursor.int()?;
    }
    let owner = cursor.string()?.unwrap_or_default();
    let _with_oids = cursor.skip_string()?;
    while cursor.string()?.is_some() {} // what it depends on
    let has_data = cursor.data_flag()?;
    Ok(Entry {
        id,
        kind,
        schema,
        name,
        owner,
        definition,
        has_data,
        copied_into,
    })
}

/// The table of a `COPY` statement.
fn copied_into(statement: &str) -> Option<(String, String)> {
    qualified_name(statement.strip_prefix("COPY ")?)
}
