//! `ops-db tables`: the tables of a database, without those of the server itself.

use ops_common::output::Record;
use serde::Serialize;

use crate::copied::Row;
use crate::error::Error;
use crate::reach::Server;

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableFacts {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How many rows the planner believes it has; none if it was never analysed.
    pub rows_estimate: Option<u64>,
    /// Its size with indexes and long values.
    pub size_bytes: Option<u64>,
    /// Rows that no transaction sees any more.
    pub dead_rows: Option<u64>,
    /// When it was last vacuumed, by a person or by the server.
    pub last_vacuum: Option<String>,
}

impl Record for TableFacts {
    const COLUMNS: &'static [&'static str] = &[
        "schema",
        "name",
        "rows_estimate",
        "size_bytes",
        "dead_rows",
        "last_vacuum",
    ];
}

const TABLES: &str = "
SELECT n.nspname, c.relname,
  CASE WHEN c.reltuples >= 0 THEN c.reltuples::pg_catalog.int8 END, pg_catalog.pg_total_relation_size(c.oid), s.n_dead_tup,
  pg_catalog.to_char(GREATEST(s.last_vacuum, s.last_autovacuum) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY 1, 2";

/// The tables of a database.
pub fn look(server: &Server<'_>, database: &str) -> Result<Vec<TableFacts>, Error> {
    Ok(server
        .rows(database, TABLES)?
        .into_iter()
        .map(table)
        .collect())
}

fn table(row: Row) -> TableFacts {
    let mut values = row.into_iter();
    let mut text = || values.next().flatten();
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
    TableFacts {
        schema: text().unwrap_or_default(),
        name: text().unwrap_or_default(),
        rows_estimate: number(text()),
        size_bytes: number(text()),
        dead_rows: number(text()),
        last_vacuum: text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_a_record() {
        let found = table(crate::copied::row(
            "public\tportal\t\\N\t8192\t2\t2026-01-31T12:00:00Z",
        ));
        assert_eq!(
            (found.rows_estimate, found.size_bytes, found.dead_rows),
            (None, Some(8192), Some(2))
        );
        assert_eq!(found.last_vacuum.as_deref(), Some("2026-01-31T12:00:00Z"));
    }
}
