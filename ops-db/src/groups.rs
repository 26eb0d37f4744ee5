//! How the tables of a database are shared out among several streams.
//!
//! The first group is everything that no other group names: small tables, sequences, large objects, whatever there may be.
//! So nothing can be forgotten.

use crate::error::Error;
use crate::server::Session;
use crate::sql::quote_name;

/// What one stream of data holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name of its file, without endings.
    pub name: String,
    /// Schema and name of each table that only this group has.
    pub tables: Vec<(String, String)>,
    /// The flags for `pg_dump`.
    pub flags: Vec<String>,
}

/// A table and its size on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sized {
    table: (String, String),
    bytes: u64,
}

/// No more names than a command line can hold over ssh, where it is one argument of 128 KiB.
const LONGEST_LIST: usize = 48 << 10;

/// Groups of about the same size, of the tables as they are in the snapshot of the session.
pub fn of(session: &Session, streams: usize) -> Result<Vec<Group>, Error> {
    let tables: Vec<_> = session
        .rows(TABLES)?
        .into_iter()
        .filter_map(sized)
        .collect();
    let objects = session.value("SELECT pg_table_size('pg_largeobject')")?;
    Ok(share_out(tables, objects.parse().unwrap_or(0), streams))
}

/// Tables of extensions stay with the rest: whether their rows are dumped is the extension's choice. On a standby there is
/// nothing in those that are not logged.
const TABLES: &str = "SELECT n.nspname, c.relname, pg_table_size(c.oid) FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND (c.relpersistence = 'p' OR NOT pg_is_in_recovery()) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e') \
    ORDER BY 3 DESC, 1, 2";

fn sized(row: Vec<Option<String>>) -> Option<Sized> {
    let mut row = row.into_iter().flatten();
    let table = (row.next()?, row.next()?);
    let bytes = row.next()?.parse().ok()?;
    Some(Sized { table, bytes })
}

/// The largest first, each to the group that has least: no group is then larger than the best by more than a third.
fn share_out(tables: Vec<Sized>, rest: u64, streams: usize) -> Vec<Group> {
    let mut loads = vec![0; streams.max(1)];
    let mut shares: Vec<Vec<(String, String)>> = vec![Vec::new(); loads.len()];
    loads[0] = rest;
    let mut length = 0;
    for Sized { table, bytes } in tables {
        length += pattern(&table).len() + "--exclude-table-data= ".len();
        let least = (0..loads.len()).min_by_key(|group| loads[*group]);
        let group = least.filter(|_| length <= LONGEST_LIST).unwrap_or(0);
        loads[group] += bytes.max(1);
        shares[group].push(table);
    }
    let excluded = shares[1..].iter().flatten();
    let rest = excluded.map(|table| format!("--exclude-table-data={}", pattern(table)));
    let mut groups = vec![Group {
        name: "data-1".to_owned(),
        tables: Vec::new(),
        flags: with_section(rest),
    }];
    let named = (2..).zip(shares.into_iter().skip(1));
    groups.extend(named.filter(|(_, tables)| !tables.is_empty()).map(
        |(number, tables): (usize, _)| {
            Group {
                name: format!("data-{number}"),
                flags: with_section(
                    tables
                        .iter()
                        .map(|table| format!("--table={}", pattern(table))),
                ),
                tables,
            }
        },
    ));
    groups
}

fn with_section(flags: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once("--section=data".to_owned())
        .chain(flags)
        .collect()
}

/// A pattern that means this table only: within quotes nothing is special to `pg_dump`.
fn pattern((schema, name): &(String, String)) -> String {
    format!("{}.{}", quote_name(schema), quote_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sizes: &[u64]) -> Vec<Sized> {
        let table = |(number, bytes): (usize, &u64)| Sized {
            table: ("s".to_owned(), format!("t{number}")),
            bytes: *bytes,
        };
        sizes.iter().enumerate().map(table).collect()
    }

    #[test]
    fn the_largest_are_shared_out_and_the_first_group_has_the_rest() {
        let groups = share_out(tables(&[50, 40, 30, 20, 10]), 0, 2);
        assert_eq!(
            groups[1].flags,
            [
                "--section=data",
                "--table=\"s\".\"t1\"",
                "--table=\"s\".\"t2\""
            ]
        );
        assert_eq!(
            groups[0].flags,
            [
                "--section=data",
                "--exclude-table-data=\"s\".\"t1\"",
                "--exclude-table-data=\"s\".\"t2\""
            ]
        );
        assert!(groups[0].tables.is_empty());
    }

    #[test]
    fn large_objects_count_and_a_group_without_tables_is_none() {
        let groups = share_out(tables(&[5]), 1000, 4);
        assert_eq!((groups.len(), groups[1].name.as_str()), (2, "data-2"));
        assert_eq!(share_out(Vec::new(), 0, 4).len(), 1);
        assert_eq!(
            share_out(tables(&[5, 4]), 0, 1)[0].flags,
            ["--section=data"]
        );
    }

    #[test]
    fn a_command_line_stays_short_enough() {
        let groups = share_out(tables(&vec![1; 20_000]), 0, 3);
        for group in groups {
            assert!(group.flags.iter().map(String::len).sum::<usize>() < LONGEST_LIST);
        }
    }

    #[test]
    fn a_pattern_means_one_table_whatever_its_name() {
        let table = ("a.b".to_owned(), "odd \"*\"\n$".to_owned());
        assert_eq!(pattern(&table), "\"a.b\".\"odd \"\"*\"\"\n$\"");
    }
}
