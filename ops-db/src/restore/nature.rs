//! What a database is besides its contents: whose it is, how it sorts, who may connect, what is set for it.
//!
//! `pg_restore` leaves all of that to whoever makes the database. One with another owner cannot be migrated by its
//! program, and one that sorts otherwise is refused by some (Synapse). So the database that is replaced lends it; where
//! there is none, the archive tells.

use postgres_protocol::escape::escape_literal;

use super::told::Told;
use crate::error::Error;
use crate::server::Session;

/// Words for `CREATE DATABASE name TEMPLATE template0`: those of the database that is there, else those of the backup.
pub(super) fn creation(home: &Session, database: &str, told: &Told) -> Result<String, Error> {
    let of_old = home.value(&about(CREATION, database, ""))?;
    if of_old.is_empty() {
        told.creation(home)
    } else {
        Ok(of_old)
    }
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
