//! What the database itself says of its tables: rows, and a sum over them that does not depend on their order.

use crate::error::Error;
use crate::server::Session;
use crate::sql::quote_name;
use crate::table::Table;

/// Asks the database under the same snapshot what the stream should have held.
pub fn examine(
    session: &Session,
    database: &str,
    checksum: bool,
    tables: &mut [Table],
) -> Result<(), Error> {
    for table in tables {
        let (counted, checksum) = count(session, table, checksum)?;
        (table.counted, table.checksum) = (Some(counted), checksum);
        if table.rows.is_some_and(|rows| rows != counted) {
            let damage = format!(
                "table '{}.{}' came with {} rows of {counted}",
                table.schema,
                table.name,
                table.rows.unwrap_or(0)
            );
            return Err(Error::Damaged {
                name: database.to_owned(),
                damage,
            });
        }
    }
    Ok(())
}

/// The rows of a table and, if wanted, a sum over them that does not depend on their order.
pub fn count(
    session: &Session,
    table: &Table,
    checksum: bool,
) -> Result<(u64, Option<String>), Error> {
    let name = format!("{}.{}", quote_name(&table.schema), quote_name(&table.name));
    let sum = if checksum {
        "coalesce(sum(hashtext(x::text)::bigint), 0)"
    } else {
        "NULL"
    };
    let mut row = session
        .rows(&format!("SELECT count(*), {sum} FROM ONLY {name} AS x"))?
        .into_iter()
        .flatten();
    let counted = row
        .next()
        .flatten()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    Ok((counted, row.next().flatten()))
}
