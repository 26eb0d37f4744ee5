use super::backups::aged;
use super::storage::free;
use super::*;
use ops_common::check::State;
use ops_common::span::Span;

fn rows(text: &str) -> Vec<Row> {
    crate::copied::rows(text.as_bytes())
}

fn status(found: Vec<Check>) -> State {
    found.into_iter().map(|check| check.status).next().unwrap()
}

#[test]
fn connections_are_judged_by_their_share() {
    for (used, expected) in [(10, State::Ok), (80, State::Warn), (95, State::Fail)] {
        assert_eq!(
            status(connections(
                &rows(&format!("{used}\t100\n")),
                &Limits::default()
            )),
            expected,
            "{used}"
        );
    }
}

#[test]
fn the_longest_session_is_named() {
    let found = longest(
        "db.oldest_transaction",
        &rows("42\tmautrix_slack\t4000\n"),
        "is in a transaction",
        Grades::default().or(300.0, 3600.0),
    );
    assert_eq!(
        (found.status, found.subject.as_str()),
        (State::Fail, "mautrix_slack")
    );
    assert!(found.message.contains("process 42") && found.fix.unwrap().contains("(42)"));
    assert_eq!(
        longest("x", &[], "y", Grades::default().or(1.0, 2.0)).status,
        State::Ok
    );
}

#[test]
fn wraparound_and_checksums() {
    assert_eq!(
        status(wraparound(&rows("a\t200000000\n"), &Limits::default())),
        State::Ok
    );
    assert_eq!(
        status(wraparound(&rows("a\t1600000000\n"), &Limits::default())),
        State::Fail
    );
    assert_eq!(status(checksum_failures(&rows("on\t0\n"))), State::Ok);
    assert_eq!(status(checksum_failures(&rows("on\t2\n"))), State::Fail);
    assert_eq!(status(checksum_failures(&rows("off\t\\N\n"))), State::Ok);
}

#[test]
fn a_line_for_the_shell_has_names_quoted() {
    for (name, line) in [
        ("forgejo", "vacuumdb --freeze forgejo"),
        ("a b; id", "vacuumdb --freeze 'a b; id'"),
        ("$(id)", "vacuumdb --freeze \\$'(id)'"),
    ] {
        let found = wraparound(&rows(&format!("{name}\t1600000000\n")), &Limits::default());
        assert_eq!(found[0].fix.as_deref(), Some(line));
    }
}

#[test]
fn a_slot_that_nobody_uses_holds_back_wal() {
    assert_eq!(status(slots(&[], &Limits::default())), State::Ok);
    assert_eq!(
        status(slots(&rows("s\tt\t99999999999\n"), &Limits::default())),
        State::Ok
    );
    assert_eq!(
        status(slots(&rows("s\tf\t100\n"), &Limits::default())),
        State::Warn
    );
    assert_eq!(
        status(slots(&rows("s\tf\t99999999999\n"), &Limits::default())),
        State::Fail
    );
}

#[test]
fn archiving_fails_only_when_nothing_came_after() {
    assert_eq!(
        status(archiver(&rows("on\t3\tt\t000000010000000000000001\n"))),
        State::Fail
    );
    assert_eq!(status(archiver(&rows("on\t3\tf\t\\N\n"))), State::Ok);
    assert_eq!(status(archiver(&rows("off\t0\t\\N\t\\N\n"))), State::Ok);
}

#[test]
fn indexes_and_dead_rows() {
    assert_eq!(status(invalid_indexes(&[])), State::Ok);
    assert_eq!(status(invalid_indexes(&rows("public.i\n"))), State::Fail);
    assert_eq!(
        status(dead_rows(
            &rows("public.t\t50000\t50000\n"),
            &Limits::default()
        )),
        State::Warn
    );
    assert_eq!(
        status(dead_rows(
            &rows("public.t\t11000\t5000000\n"),
            &Limits::default()
        )),
        State::Ok
    );
}

#[test]
fn free_space_is_what_users_may_have() {
    let (bytes, share) = free("/dev/sda 1 100 60 20 75% /var/lib/with blank").unwrap();
    assert!(
        (bytes - 20480.0).abs() < 0.1 && (share - 25.0).abs() < 0.1,
        "{bytes} {share}"
    );
    assert!(free("nothing").is_none());
}

#[test]
fn ages_fail_only_against_a_limit() {
    let judged = |age, limit: Option<u64>| {
        aged(
            "db.backup_age",
            "a",
            age,
            limit.map(Span::seconds),
            ("it", "none", "do"),
        )
        .status
    };
    assert_eq!(judged(Some(50.0), None), State::Ok);
    assert_eq!(judged(None, None), State::Warn);
    assert_eq!(judged(None, Some(100)), State::Fail);
    assert_eq!(judged(Some(50.0), Some(100)), State::Ok);
    assert_eq!(judged(Some(100.0), Some(100)), State::Fail);
}
