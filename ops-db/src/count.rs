//! What the database itself says of its tables: rows, and a sum over them that does not depend on their order.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::server::Session;
use crate::sql::quote_name;
use crate::table::Table;

/// Schema and name.
type Name = (String, String);

/// Sums go by the text of rows, which must not depend on what is set for a database or a role; and nothing that was made in
/// the database may be called by a superuser who counts there.
const PLAIN: &str = "SET search_path = ''; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; \
    SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET row_security = off";

/// Tables that hold more than what comes for them, and tables that are held by others.
const KINDS: &str = "SELECT n.nspname, c.relname, c.relkind = 'p' FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'p' OR c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_depend d \
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// Asks a database for its rows.
struct Counter<'a> {
    session: &'a Session,
    /// Their rows are in their partitions.
    partitioned: BTreeSet<Name>,
    /// Their extension brings rows along, and only the others are dumped.
    of_extensions: BTreeSet<Name>,
}

impl<'a> Counter<'a> {
    fn new(session: &'a Session) -> Result<Self, Error> {
        session.execute(PLAIN)?;
        let (mut partitioned, mut of_extensions) = (BTreeSet::new(), BTreeSet::new());
        for row in session.rows(KINDS)? {
            let mut row = row.into_iter().flatten();
            if let (Some(schema), Some(name), Some(kind)) = (row.next(), row.next(), row.next()) {
                let of_its_kind = if kind == "t" {
                    &mut partitioned
                } else {
                    &mut of_extensions
                };
                of_its_kind.insert((schema, name));
            }
        }
        Ok(Self {
            session,
            partitioned,
            of_extensions,
        })
    }

    /// The rows of a table and, if wanted, the sum over them. A cast to text may be anybody's, so the row is written out by
    /// the function that `COPY` uses, too.
    fn count(&self, name: &Name, checksum: bool) -> Result<(u64, Option<String>), Error> {
        let only = if self.partitioned.contains(name) {
            ""
        } else {
            "ONLY "
        };
        let sum = if checksum && !self.of_extensions.contains(name) {
            "coalesce(sum(hashtext(textin(record_out(x.*)))::int8), 0)"
        } else {
            "NULL"
        };
        let table = format!("{}.{}", quote_name(&name.0), quote_name(&name.1));
        let rows = self
            .session
            .rows(&format!("SELECT count(*), {sum} FROM {only}{table} AS x"))?;
        let mut row = rows.into_iter().flatten();
        let counted = row.next().flatten().and_then(|count| count.parse().ok());
        Ok((counted.unwrap_or(0), row.next().flatten()))
    }

    /// Whether a table can have so many rows if so many have come for it.
    fn fits(&self, name: &Name, came: u64, counted: u64) -> bool {
        came == counted || came < counted && self.of_extensions.contains(name)
    }
}

/// Asks the database under the same snapshot what the stream should have held.
pub fn examine(
    session: &Session,
    database: &str,
    checksum: bool,
    tables: &mut [Table],
) -> Result<(), Error> {
    let asked = Counter::new(session)?;
    for table in tables.iter_mut().filter(|table| table.is_named()) {
        let name = (table.schema.clone(), table.name.clone());
        let (counted, checksum) = asked.count(&name, checksum)?;
        (table.counted, table.checksum) = (Some(counted), checksum);
        if let Some(rows) = table.rows.filter(|rows| !asked.fits(&name, *rows, counted)) {
            return Err(Error::Damaged {
                name: database.to_owned(),
                damage: format!(
                    "table '{}.{}' came with {rows} rows of {counted}",
                    table.schema, table.name
                ),
            });
        }
    }
    Ok(())
}

/// How a database that was filled from `tables` is unlike them, and how many rows it has: every table counted and, where
/// `sums` says that it makes sense and the table has a sum, summed.
pub fn difference(
    session: &Session,
    tables: &[Table],
    sums: bool,
) -> Result<(u64, Option<String>), Error> {
    let asked = Counter::new(session)?;
    let mut all = 0;
    for (name, came) in by_target(tables) {
        let (counted, sum) = asked.count(&name, came.checksum.is_some() && sums)?;
        all += counted;
        let table = format!("{}.{}", name.0, name.1);
        if let Some(rows) = came.rows.filter(|rows| !asked.fits(&name, *rows, counted)) {
            let difference = format!("table '{table}' has {counted} rows of {rows}");
            return Ok((all, Some(difference)));
        }
        if sum.is_some() && sum.as_ref() != came.checksum {
            let difference = format!("the rows of table '{table}' do not sum up to what they did");
            return Ok((all, Some(difference)));
        }
    }
    Ok((all, None))
}

/// What came for one table.
struct Came<'a> {
    rows: Option<u64>,
    checksum: Option<&'a String>,
}

/// What came for each table that rows were put into. Several may have gone into one that is partitioned: which partition
/// takes a row can be another one each time, so neither their sums nor their own counts can be compared.
fn by_target(tables: &[Table]) -> BTreeMap<Name, Came<'_>> {
    let mut came: BTreeMap<Name, Came<'_>> = BTreeMap::new();
    for table in tables.iter().filter(|table| table.is_named()) {
        let own = (table.schema.clone(), table.name.clone());
        let target = table.root.clone().unwrap_or(own);
        let checksum = table.checksum.as_ref().filter(|_| table.root.is_none());
        if let Some(known) = came.get_mut(&target) {
            known.rows = known.rows.zip(table.rows).map(|(one, other)| one + other);
            known.checksum = None;
        } else {
            let rows = table.rows;
            came.insert(target, Came { rows, checksum });
        }
    }
    came
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_into_one_table_is_added_up() {
        let table = |name: &str, rows, root: Option<&str>| Table {
            schema: "s".into(),
            name: name.into(),
            rows,
            root: root.map(|root| ("s".to_owned(), root.to_owned())),
            checksum: Some("1".into()),
            ..Table::default()
        };
        let tables = [
            table("a", Some(1), Some("whole")),
            table("b", Some(2), Some("whole")),
            table("c", Some(4), None),
            table("d", None, None),
            table("\u{fffd}", Some(8), None),
        ];
        let came = by_target(&tables);
        let told: Vec<_> = came
            .iter()
            .map(|((_, name), came)| (name.as_str(), came.rows, came.checksum.is_some()))
            .collect();
        assert_eq!(
            told,
            [
                ("c", Some(4), true),
                ("d", None, true),
                ("whole", Some(3), false)
            ]
        );
    }
}
