//! What a database is besides its contents: whose it is, how it sorts, who may connect, what is set for it.
//!
//! `pg_restore` leaves all of that to whoever makes the database. One with another owner cannot be migrated by its
//! program, and one that sorts otherwise is refused by some (Synapse). So the database that is replaced lends it; where
//! there is none, the archive tells owner, encoding and locale.

use postgres_protocol::escape::escape_literal;

use crate::archive::Entry;
use crate::error::Error;
use crate::server::Session;
use crate::source::{Format, Opened};
use crate::sql::quote_name;

/// Words for `CREATE DATABASE name TEMPLATE template0`: those of the database that is there, else those of the backup.
pub(super) fn creation(
    home: &Session,
    database: &str,
    backup: &mut Opened,
) -> Result<String, Error> {
    let of_old = home.value(&about(CREATION, database, ""))?;
    if !of_old.is_empty() {
        return Ok(of_old);
    }
    match entry(backup)? {
        Some(entry) => told(home, &entry),
        None => Ok(String::new()),
    }
}

/// Words for a database that is only compared with the backup: sums go by bytes, so it has the same encoding. The locale
/// need not be known on this machine.
pub fn encoding(backup: &mut Opened) -> Result<String, Error> {
    let entry = entry(backup)?;
    let encoding = entry
        .as_ref()
        .and_then(|entry| locale(entry).split_once("ENCODING = '"))
        .and_then(|(_, words)| words.split('\'').next());
    Ok(match encoding {
        Some(encoding) if encoding != "UTF8" => {
            format!(" ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
        }
        _ => String::new(),
    })
}

/// What an archive says of the database that it is of.
fn entry(backup: &mut Opened) -> Result<Option<Entry>, Error> {
    let source = match backup {
        Opened::One(source) => Some(source),
        Opened::Directory(directory) => directory.sources.first_mut(),
    };
    match source {
        Some(source) if source.format == Format::Archive => {
            let mut entries = source.contents()?.into_iter();
            Ok(entries.find(|entry| entry.kind == "DATABASE"))
        }
        _ => Ok(None),
    }
}

/// A role that is not here is left to `pg_restore`, which needs it for more than that.
fn told(home: &Session, entry: &Entry) -> Result<String, Error> {
    let role = escape_literal(&entry.owner);
    let found = home.rows(&format!("SELECT 1 FROM pg_roles WHERE rolname = {role}"))?;
    let owner = if found.is_empty() {
        String::new()
    } else {
        format!(" OWNER {}", quote_name(&entry.owner))
    };
    Ok(format!("{owner}{}", locale(entry)))
}

/// Encoding and locale, as `pg_dump` wrote them.
fn locale(entry: &Entry) -> &str {
    entry
        .definition
        .rsplit_once(" WITH TEMPLATE = template0")
        .map_or("", |(_, words)| words.trim_end().trim_end_matches(';'))
}

/// Statements that give `new` the privileges, the settings and the comment of `old`.
pub(super) fn adornment(home: &Session, old: &str, new: &str) -> Result<String, Error> {
    let statements = home.rows(&about(ADORNMENT, old, new))?;
    Ok(statements
        .into_iter()
        .flatten()
        .flatten()
        .map(|statement| statement + "; ")
        .collect())
}

fn about(question: &str, old: &str, new: &str) -> String {
    question
        .replace("$OLD", &escape_literal(old))
        .replace("$NEW", &escape_literal(new))
}

/// Columns have come and gone with the versions of the server; as JSON a missing one is null.
const CREATION: &str = "
SELECT format(' OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L TABLESPACE %I CONNECTION LIMIT %s',
        pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, spcname, datconnlimit)
    || CASE facts ->> 'datlocprovider'
        WHEN 'c' THEN ' LOCALE_PROVIDER libc'
        WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', coalesce(facts ->> 'datlocale', facts ->> 'daticulocale'))
        WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', facts ->> 'datlocale')
        ELSE '' END
    || CASE WHEN facts ->> 'daticurules' <> '' THEN format(' ICU_RULES %L', facts ->> 'daticurules') ELSE '' END
FROM pg_database AS d JOIN pg_tablespace AS t ON t.oid = dattablespace, to_jsonb(d) AS facts
WHERE datname = $OLD";

/// Settings that are lists are kept as they were quoted; they are those of `variable_is_guc_list_quote` in `dumputils.c`.
const ADORNMENT: &str = "
WITH old AS (SELECT * FROM pg_database WHERE datname = $OLD)
SELECT statement FROM (
    SELECT 1, format('REVOKE ALL ON DATABASE %I FROM PUBLIC, %I', $NEW::text, pg_get_userbyid(datdba))
    FROM old WHERE datacl IS NOT NULL
    UNION ALL
    SELECT 2, format('GRANT %s ON DATABASE %I TO %s%s', privilege_type, $NEW::text,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM old, aclexplode(datacl)
    UNION ALL
    SELECT 3, format('ALTER %s DATABASE %I SET %I TO %s',
        CASE setrole WHEN 0 THEN '' ELSE format('ROLE %I IN', pg_get_userbyid(setrole)) END, $NEW::text, name,
        CASE WHEN name IN ('local_preload_libraries', 'search_path', 'session_preload_libraries',
            'shared_preload_libraries', 'temp_tablespaces', 'unix_socket_directories')
        THEN coalesce(nullif(value, ''), '''''') ELSE quote_literal(value) END)
    FROM old JOIN pg_db_role_setting ON setdatabase = old.oid, unnest(setconfig) AS setting,
        LATERAL (SELECT split_part(setting, '=', 1) AS name, substr(setting, strpos(setting, '=') + 1) AS value) AS pair
    UNION ALL
    SELECT 4, format('COMMENT ON DATABASE %I IS %L', $NEW::text, shobj_description(oid, 'pg_database')) FROM old
) AS statements(place, statement) ORDER BY place";

#[cfg(test)]
mod tests {
    use super::locale;
    use crate::archive::Entry;

    #[test]
    fn the_words_of_a_locale_stand_behind_the_template() {
        let entry = |definition: &str| Entry {
            id: 1,
            kind: "DATABASE".to_owned(),
            schema: String::new(),
            name: "shop".to_owned(),
            owner: String::new(),
            definition: definition.to_owned(),
            has_data: false,
            is_copied: false,
        };
        let found = entry(
            "CREATE DATABASE \"a WITH TEMPLATE = template0\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C';\n\n",
        );
        assert_eq!(locale(&found), " ENCODING = 'UTF8' LOCALE = 'C'");
        assert_eq!(locale(&entry("CREATE DATABASE shop;")), "");
    }
}
