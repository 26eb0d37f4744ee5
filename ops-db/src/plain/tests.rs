use super::*;

const DUMP: &str = include_str!("../../golden/pg15.sql");

#[test]
fn a_whole_dump_tells_what_it_holds() {
    let scan = scan(DUMP.as_bytes()).unwrap();
    assert!(scan.has_key);
    assert!(scan.server.unwrap().starts_with("15.18"));
    let rows: Vec<_> = scan
        .tables
        .iter()
        .map(|table| {
            (
                table.schema.as_str(),
                table.name.as_str(),
                table.rows.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("public", "Odd \"name\"\né", 3),
            ("public", "portal", 20),
            ("s p", "empty", 0)
        ]
    );
}

#[test]
fn statements_end_where_psql_would_end_them() {
    let mut script = Script::new(DUMP.as_bytes());
    let mut found = Vec::new();
    while let Some(piece) = script.next_piece().unwrap() {
        if let Piece::Statement(statement) = piece {
            let statement = std::str::from_utf8(statement).unwrap();
            assert!(statement.ends_with(';'), "{statement}");
            found.push(statement.to_owned());
        }
    }
    let one = |start: &str| {
        found
            .iter()
            .find(|statement| statement.starts_with(start))
            .unwrap_or_else(|| panic!("{start}"))
            .clone()
    };
    assert!(one("CREATE FUNCTION public.atomic").ends_with("\nEND;"));
    assert!(one("CREATE FUNCTION public.f").ends_with("END $$;"));
    assert!(one("CREATE RULE").contains("id = 'y'"));
    assert!(one("COMMENT ON TABLE").ends_with("''comment'';\n';"));
    assert!(one("CREATE TABLE public.\"Odd").contains("\né\" ("));
}

#[test]
fn every_truncation_is_seen() {
    let whole = DUMP.trim_end().len();
    for length in 0..whole {
        let damage = scan(&DUMP.as_bytes()[..length]).unwrap_err();
        assert!(
            matches!(
                damage,
                Damage::Truncated(_) | Damage::Key(_) | Damage::Read(_)
            ),
            "{length}: {damage}"
        );
    }
}

#[test]
fn rows_can_imitate_the_trailer_but_not_the_key() {
    let (head, _) = DUMP.split_once("COPY public.portal").unwrap();
    let forged = format!("{head}\n{}\n--\n", std::str::from_utf8(TRAILER).unwrap());
    assert!(matches!(
        scan(forged.as_bytes()).unwrap_err(),
        Damage::Key(_)
    ));
    let other = DUMP.replace("\\unrestrict ", "\\unrestrict x");
    assert!(matches!(
        scan(other.as_bytes()).unwrap_err(),
        Damage::Key(_)
    ));
}

#[test]
fn a_dump_without_keys_is_whole_by_its_trailer() {
    let old: String = DUMP
        .lines()
        .filter(|line| !line.contains("restrict "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let found = scan(old.as_bytes()).unwrap();
    assert!(!found.has_key);
    assert_eq!(found.tables, scan(DUMP.as_bytes()).unwrap().tables);
}

#[test]
fn commands_of_psql_are_refused_outside_rows() {
    let evil = DUMP.replacen("CREATE SCHEMA", "\\! touch /tmp/evil\nCREATE SCHEMA", 1);
    let damage = scan(evil.as_bytes()).unwrap_err();
    assert!(
        matches!(&damage, Damage::Command { command, .. } if command == "\\!"),
        "{damage}"
    );
}

#[test]
fn rows_longer_than_a_page_and_rows_like_end_marks() {
    let row = "x".repeat(3 * PAGE);
    let dump = format!(
        "COPY public.t (a) FROM stdin;\n{row}\n{row}\\.\n\\\\.\n\\.\n\n--\n{}\n--\n",
        std::str::from_utf8(TRAILER).unwrap()
    );
    let found = scan(dump.as_bytes()).unwrap();
    assert_eq!(
        (found.tables[0].rows, found.tables[0].bytes),
        (Some(3), 2 * 3 * PAGE as u64 + 1 + 3 + 4)
    );
}
