//! What a restored database is besides its contents.

use ops_tests::{Kind, Lab, skip, tool};

use crate::scene::{backup, drill, psql};

/// Everything that belongs to a database and stands in no table of it.
const NATURE: &str = "SELECT jsonb_pretty(jsonb_build_object(
    'owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype,
    'provider', datlocprovider, 'limit', datconnlimit, 'comment', shobj_description(oid, 'pg_database'),
    'rights', (SELECT jsonb_agg(a::text ORDER BY a::text) FROM unnest(datacl) AS a),
    'settings', (SELECT jsonb_agg(setrole::regrole::text || ' ' || setconfig::text ORDER BY setrole)
        FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)))
    FROM pg_database WHERE datname = 'shop'";

#[test]
fn a_restored_database_is_of_the_same_nature() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = lab.host("db-nature", Kind::Postgres);
    for statement in [
        "CREATE ROLE clerk LOGIN",
        "CREATE ROLE \"odd \"\"one\" LOGIN",
        "CREATE DATABASE shop TEMPLATE template0 OWNER clerk ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' CONNECTION LIMIT 7",
        "REVOKE ALL ON DATABASE shop FROM PUBLIC",
        "GRANT CONNECT ON DATABASE shop TO \"odd \"\"one\" WITH GRANT OPTION",
        "ALTER DATABASE shop SET search_path = \"$user\", public, \"odd schema\"",
        "ALTER DATABASE shop SET application_name = 'it''s'",
        "ALTER ROLE clerk IN DATABASE shop SET work_mem = '6MB'",
        "COMMENT ON DATABASE shop IS 'the clerk''s'",
    ] {
        psql(&host, "postgres", statement);
    }
    psql(
        &host,
        "shop",
        "CREATE TABLE till AS SELECT 1 AS coin, chr(233) AS mint",
    );
    let before = psql(&host, "postgres", NATURE);
    let folder = tempfile::tempdir().unwrap();
    let file = backup("db-nature", "shop", folder.path(), &["--checksum"]);
    let restore = |more: &[&str]| {
        tool("ops-db")
            .arg("restore")
            .arg(&file)
            .args(["shop", "--host", "db-nature"])
            .args(more)
            .run()
            .expect(0)
    };

    // Sums go by bytes, so a drill has to have the encoding too.
    drill(&host, &file, &[]).expect(0);

    restore(&["--replace", "shop"]);
    assert_eq!(psql(&host, "postgres", NATURE), before);
    assert_eq!(psql(&host, "shop", "SELECT coin FROM till"), "1");

    // Where nothing is replaced the archive tells all of it.
    psql(&host, "postgres", "DROP DATABASE shop");
    restore(&[]);
    assert_eq!(psql(&host, "postgres", NATURE), before);
    // It belongs to the one who migrates it.
    psql(
        &host,
        "shop",
        "SET ROLE clerk; CREATE TABLE public.added (coin int)",
    );

    // A role that is not here any more is left out, and said.
    for statement in [
        "DROP DATABASE shop",
        "DROP OWNED BY \"odd \"\"one\"",
        "DROP ROLE \"odd \"\"one\"",
    ] {
        psql(&host, "postgres", statement);
    }
    let restored = restore(&[]);
    assert!(
        restored
            .err()
            .contains("left out: GRANT CONNECT ON DATABASE"),
        "{}",
        restored.err()
    );
    let after: serde_json::Value = serde_json::from_str(&psql(&host, "postgres", NATURE)).unwrap();
    assert_eq!(
        (&after["owner"], &after["limit"]),
        (&"clerk".into(), &7.into())
    );
}
