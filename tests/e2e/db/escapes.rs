//! What a query must not be able to do: change anything without leave, read a value as SQL, or write to a terminal.

use ops_tests::{Lab, LabHost, Ran, skip, tool};

use crate::dice::Dice;
use crate::scene::{psql, with_tool};

fn query(host: &LabHost, args: &[&str]) -> Ran {
    tool("ops-db")
        .args(["query", "mautrix_slack", "--host", host.name()])
        .args(args)
        .run()
}

/// Statements that would leave a table, a file or a setting, if anything let them through.
const ESCAPES: &[&str] = &[
    "SHOW work_mem -- \r; SET TRANSACTION READ WRITE; CREATE TABLE t (a int)",
    "EXPLAIN SELECT 1 -- \r; COMMIT; BEGIN READ WRITE; CREATE TABLE t (a int); COMMIT",
    "SELECT 1 -- \r) TO STDOUT; SET TRANSACTION READ WRITE; CREATE TABLE t (a int); COPY (SELECT 1",
    "SELECT E'a'\n'b\\' || '; SET TRANSACTION READ WRITE; CREATE TABLE t (a int); --'",
    "SHOW work_mem /* E'a'\n'\\' */; CREATE TABLE t (a int)",
    "SELECT 1; SET TRANSACTION READ WRITE; CREATE TABLE t (a int)",
    "COMMIT; CREATE TABLE t (a int)",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config('transaction_read_only', 'off', false), (SELECT 1 INTO t)",
    "WITH w AS (SELECT set_config('transaction_read_only', 'off', true)) SELECT lo_create(4711) FROM w",
    "WITH w AS (INSERT INTO s VALUES (1) RETURNING 1) SELECT * FROM w",
    "COPY (SELECT 1) TO PROGRAM 'touch /srv/open/escaped'",
    "COPY (SELECT 1) TO '/srv/open/escaped'",
    "COPY s FROM PROGRAM 'touch /srv/open/escaped'",
    "DO $$ BEGIN COPY (SELECT 1) TO PROGRAM 'touch /srv/open/escaped'; END $$",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "ALTER SYSTEM SET work_mem = '77MB'",
    "VACUUM",
    "CALL p()",
];

#[test]
fn nothing_is_changed_without_leave() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-escape");
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE s (a int); CREATE PROCEDURE p() LANGUAGE SQL AS $$ SELECT 1 $$",
    );
    host.sh("install -d -m 777 /srv/open").expect(0);
    let state = || {
        let settings = host.sh("cat /var/lib/postgresql/17/postgresql.auto.conf; ls /srv/open");
        let tables = psql(
            &host,
            "mautrix_slack",
            "SELECT count(*), (SELECT count(*) FROM s), (SELECT count(*) FROM pg_largeobject_metadata) FROM pg_class",
        );
        (settings.expect(0).out(), tables)
    };
    let before = state();
    // Where quotes mean something else, the same must hold.
    for strings in ["on", "off"] {
        psql(
            &host,
            "postgres",
            &format!("ALTER DATABASE mautrix_slack SET standard_conforming_strings = {strings}"),
        );
        let off = "SELECT 'a\\'; SET TRANSACTION READ WRITE; CREATE TABLE t (a int); --'";
        for escape in ESCAPES.iter().chain([&off]) {
            let ran = query(&host, &[escape]);
            // Two of them only look like it: what they make is rolled back, or only a text.
            let is_tame = *escape == off || escape.starts_with("EXPLAIN ANALYZE");
            assert!(
                matches!(ran.status, 2 | 65 | 77) || is_tame && ran.status == 0,
                "{escape}: {} {}{}",
                ran.status,
                ran.out(),
                ran.err()
            );
            assert_eq!(state(), before, "{escape}");
        }
    }
    // The same through the host's psql.
    host.sh("chmod -x /usr/lib/systemd/systemd-socket-proxyd")
        .expect(0);
    for escape in ESCAPES {
        let ran = query(&host, &[escape]);
        assert!(
            matches!(ran.status, 2 | 65 | 69 | 74 | 77),
            "{escape}: {} {}",
            ran.status,
            ran.err()
        );
        assert_eq!(state(), before, "{escape}");
    }
}

const VALUES: &[&str] = &[
    "plain",
    "it's",
    "\\",
    "\\'; DROP TABLE s; --",
    "$$",
    "$t$",
    ":'p'",
    ":\"p\"",
    "/*",
    "--",
    "a\nb\tc\rd",
    "é\u{1F600}",
    "",
    "E'",
];

/// One column of a query, and what the server has to say of it when `:'p'` is `value`.
fn column(dice: &mut Dice, value: &str) -> (String, String) {
    let blank = [
        " ",
        "\n",
        " /* :'p' ' /* \" */ $$ */ ",
        " -- :'p' ' \" $$ /*\n",
        " --\r",
    ];
    let before = blank[dice.roll(blank.len())];
    let (text, expected) = match dice.roll(10) {
        0 => (
            "'a :''p'' -- /* $$ \\'".to_owned(),
            "a :'p' -- /* $$ \\".to_owned(),
        ),
        1 => (
            "E'a\\' :\\'p\\' '' \\\\'".to_owned(),
            "a' :'p' ' \\".to_owned(),
        ),
        2 => ("E'a'\n'\\' :\\'p\\''".to_owned(), "a' :'p'".to_owned()),
        3 => ("e'' -- '\n'\\\\'".to_owned(), "\\".to_owned()),
        4 => ("'a'\n'\\'".to_owned(), "a\\".to_owned()),
        5 => (
            "$$ :'p' ' \\ $t$ -- $$".to_owned(),
            " :'p' ' \\ $t$ -- ".to_owned(),
        ),
        6 => (
            "$t_1$ :'p' $$ ' $t$ $t_1$".to_owned(),
            " :'p' $$ ' $t$ ".to_owned(),
        ),
        7 => ("'x'::text AS \":'p' '' $$ --\"".to_owned(), "x".to_owned()),
        8 => ("U&'\\0061 :''p'' '".to_owned(), "a :'p' ".to_owned()),
        _ => (":'p'::text".to_owned(), value.to_owned()),
    };
    (format!("{before}{text}"), expected)
}

#[test]
fn a_value_is_a_value_wherever_it_stands() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-values");
    let mut dice = Dice::new(7);
    let mut kinds = std::collections::BTreeSet::new();
    for round in 0..40 {
        let value = VALUES[round % VALUES.len()];
        let columns: Vec<_> = (0..40).map(|_| column(&mut dice, value)).collect();
        kinds.extend(columns.iter().map(|(text, _)| text.trim().to_owned()));
        let texts: Vec<_> = columns.iter().map(|(text, _)| text.as_str()).collect();
        let sql = format!("SELECT {}, :'p'", texts.join(","));
        let parameter = format!("p={value}");
        let more: &[&str] = if round % 2 == 0 { &[] } else { &["--write"] };
        let ran = query(
            &host,
            &[&[sql.as_str(), "-P", &parameter, "--format", "csv"], more].concat(),
        );
        let printed = ran.expect(0).out();
        let mut reader = Csv(&printed);
        let _names = reader.record();
        let found = reader.record();
        let expected: Vec<_> = columns
            .into_iter()
            .map(|(_, expected)| expected)
            .chain([value.to_owned()])
            .collect();
        assert_eq!(found, expected, "{sql}");
    }
    assert!(kinds.len() >= 30, "{kinds:?}");
}

/// Just enough of CSV to read what a server writes.
struct Csv<'a>(&'a str);

impl Csv<'_> {
    fn record(&mut self) -> Vec<String> {
        let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
        let mut characters = self.0.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' if is_quoted && characters.peek().is_some_and(|(_, next)| *next == '"') => {
                    characters.next();
                    field.push('"');
                }
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
                '\n' if !is_quoted => {
                    self.0 = &self.0[at + 1..];
                    break;
                }
                other => field.push(other),
            }
        }
        fields.push(field);
        fields
    }
}

#[test]
fn nothing_from_the_server_moves_a_terminal() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-hostile");
    let hostile = "chr(27) || ']0;owned' || chr(7) || chr(13) || chr(8) || chr(155)";
    let select = format!("SELECT {hostile} AS \"c\u{1b}[31m\"");
    let fails = format!("SELECT (E'\\x1b[31m' || {hostile})::int");
    for (sql, more) in [
        (&select, &[][..]),
        (&select, &["--write"]),
        (&select, &["--json"]),
        (&fails, &[]),
        (&fails, &["--write"]),
    ] {
        let ran = tool("ops-db")
            .args([
                "query",
                "mautrix_slack",
                sql,
                "--host",
                host.name(),
                "--color",
                "never",
            ])
            .args(more)
            .terminal(120, 24)
            .run();
        let shown = format!("{}{}", ran.out(), ran.err()).replace("\r\n", "\n");
        assert!(shown.contains("owned"), "{shown:?}");
        assert!(
            !shown
                .chars()
                .any(|c| c.is_control() && !matches!(c, '\n' | '\t')),
            "{more:?}: {shown:?}"
        );
    }
}
