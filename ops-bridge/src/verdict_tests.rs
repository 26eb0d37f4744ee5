use super::*;
use crate::history::tests::{log, read};

/// The verdict at the time of the last line plus `later` seconds.
fn verdict(lines: &[&str], later: i64) -> Verdict {
    let history = read(&log(lines));
    let now = history.last_at.unwrap() + jiff::SignedDuration::from_secs(later);
    of(&history, &history.logins["T1-U1"], now)
}

const LOST: &str = "TRANSIENT_DISCONNECT slack-socketmode-connection-error";

fn code(lines: &str, later: i64) -> &'static str {
    verdict(&lines.split("; ").collect::<Vec<_>>(), later).code
}

#[test]
fn the_silent_failures_are_told_apart() {
    let refused = "TRANSIENT_DISCONNECT slack-socketmode-error invalid_auth";
    let revoked = format!("0 start; 0.1 CONNECTING; 0.1 {refused}");
    assert_eq!(code(&revoked, 5), "app-token-refused");
    let boot = "0 start; 0.9 xERR Failed to fetch team info error=x; 1 UNKNOWN_ERROR slack-unknown-fetch-error Unknown error from Slack";
    assert_eq!(code(boot, 300), "start-failed");
    let again = "61 xINF Disconnecting and reconnecting login due to unknown error";
    assert_eq!(
        code(&format!("{boot}; {again}"), 1),
        "start-failed-retrying"
    );
    let over = "90 xWRN Not reconnecting as the maximum number of unknown error reconnects has been reached";
    assert_eq!(code(&format!("{boot}; {again}; {over}"), 1), "start-failed");
    let failed = "61.1 xERR Failed to fetch team info error=x";
    assert_eq!(
        code(&format!("{boot}; {again}; {failed}"), 1),
        "start-failed"
    );
    let duplicate =
        "61.1 xDBG Not sending bridge state as it's a duplicate state_event=UNKNOWN_ERROR";
    let cut = "1 UNKNOWN_ERROR slack-unknown-fetch-error x";
    assert_eq!(
        code(&format!("{cut}; {again}; {duplicate}"), 1),
        "start-failed"
    );
    for failure in [
        // Another failure has another state, and one after an hour is sent anew: each is tried again.
        "61.1 xERR Failed to connect error=x",
        "4000 xERR Failed to fetch user info error=x",
    ] {
        assert_eq!(
            code(&format!("{boot}; {again}; {failure}"), 1),
            "start-failed-retrying",
            "{failure}"
        );
    }
    let lost = format!("0 CONNECTED; 9 CONNECTING; 9 {LOST}");
    assert_eq!(code(&lost, 0), "disconnected");
    assert_eq!(code(&format!("{lost}; 10 CONNECTING"), 0), "disconnected");
    assert_eq!(
        code("0 start; 1 BAD_CREDENTIALS slack-invalid-auth x", 1),
        "needs-login"
    );
    let stopped = "0 start; 1 CONNECTING; 1 CONNECTED; 2 stopping; 3 stopped";
    assert_eq!(code(stopped, 1), "stopped");
}

#[test]
fn a_long_loss_says_when_the_next_attempt_comes() {
    let failed = format!("214 {LOST}");
    let lines = [
        "0 CONNECTED",
        "9 CONNECTING",
        &format!("9 {LOST}"),
        "214 CONNECTING",
        &failed,
    ];
    let backoff = verdict(&lines, 10);
    assert_eq!((backoff.code, backoff.status), ("backoff", State::Fail));
    let message = &backoff.message;
    assert!(message.contains("the next at 2026-08-19T"), "{message}");
}

#[test]
fn no_healthy_episode_is_a_failure() {
    let refreshed = [
        "0 start",
        "0.1 CONNECTING",
        "0.2 CONNECTED",
        "3600 CONNECTING",
        "3600 CONNECTED",
    ];
    assert_eq!(verdict(&refreshed, 10).status, State::Ok);
    let restarted = [
        "0 CONNECTED",
        "5 stopping",
        "6 stopped",
        "7 start",
        "7.1 CONNECTING",
        "7.2 CONNECTED",
    ];
    let verdict = verdict(&restarted, 10);
    assert_eq!(
        (verdict.code, verdict.status),
        ("connected-silent", State::Ok)
    );
}

#[test]
fn whom_the_bridge_needs_is_named_while_every_state_is_good() {
    let good = "0 start; 1 CONNECTING; 1 CONNECTED";
    let told = |line: &str, later| code(&format!("{good}; {line}"), later);
    let database = "9 xERR Failed to get user login to handle Matrix event error=\"dial unix /run/postgresql/.s.PGSQL.5432: connect: connection refused\"";
    assert_eq!(told(database, 1), "database-away");
    let nobody = "9 xERR Failed to get user login to handle Matrix event error=\"not logged in (no usable logins found)\"";
    assert_eq!(told(nobody, 1), "connected-silent");
    let homeserver = "9 xWRN Request failed, retrying error=\"dial tcp 127.0.0.1:8008: connect: connection refused\" retry_in_seconds=4";
    assert_eq!(told(homeserver, 1), "homeserver-away");
    let avatar = "9 xWRN Request failed, retrying error=\"dial tcp: no such host\" url=http://h/_matrix/client/v1/media/download/maunium.net/x";
    assert_eq!(told(avatar, 1), "connected-silent");
    let works = format!("{homeserver}; 10 xDBG Request completed status_code=200");
    assert_eq!(told(&works, 1), "connected-silent");
    let refused = "9 xERR Failed to handle Matrix message error=token_revoked";
    assert_eq!(told(refused, 1), "bot-token-refused");
    let elsewhere = "9 xERR Failed to handle Matrix message error=not_in_channel";
    assert_eq!(told(elsewhere, 1), "sending-refused");
    let held = "40 xWRN Event handling is taking long";
    assert_eq!(told(held, 1), "back-pressure");
    let ended = format!("{held}; 41 xDBG Event that took long finished handling");
    assert_eq!(told(&ended, 1), "connected-silent");
}

#[test]
fn an_old_failure_of_a_neighbour_is_a_doubt_and_no_failure() {
    let homeserver = "9 xWRN Request failed, retrying error=EOF retry_in_seconds=4";
    let doubted = verdict(&["0 start", "1 CONNECTED", homeserver], 600);
    assert_eq!(
        (doubted.code, doubted.status),
        ("connected-silent", State::Warn)
    );
    assert!(
        doubted.message.contains("the homeserver failed 10m"),
        "{doubted:?}"
    );
}

#[test]
fn the_level_trace_tells_a_cut_from_a_refresh_and_a_socket_without_hello() {
    let good = "0 start; 1 CONNECTING; 1 xDBG WebSocket connection succeeded on try 0; 1 CONNECTED";
    assert_eq!(code(good, 5), "connected-silent");
    assert_eq!(code(good, 60), "no-hello");
    let greeted = format!(
        r#"{good}; 1 xDBG Received WebSocket message: {{"type":"hello","num_connections":1}}"#
    );
    assert_eq!(code(&greeted, 60), "connected-silent");
    let again = "9.1 CONNECTING; 9.2 CONNECTED";
    let counts = |reason: &str| {
        let lines = format!("{greeted}; 9 xDBG Reconnecting due to {reason}; {again}");
        let history = read(&log(&lines.split("; ").collect::<Vec<_>>()));
        let seen = &history.logins["T1-U1"];
        (seen.refreshes, seen.losses)
    };
    assert_eq!(
        counts("disconnection requested: Slack requested us to disconnect"),
        (1, 0)
    );
    assert_eq!(
        counts("websocket: close 1006 (abnormal closure): unexpected EOF"),
        (0, 1)
    );
}

#[test]
fn hidden_states_are_never_called_healthy() {
    let info = ["0 CONNECTED", "10 xINF Initializing bridge version=v26.07"];
    assert_eq!(verdict(&info, 60).status, State::Unknown);
    let failed = [
        &info[..],
        &[
            "11 xERR Failed to fetch team info",
            "11 xINF Bridge started",
        ],
    ]
    .concat();
    assert_eq!(verdict(&failed, 60).code, "start-failed");
}

/// A bridge whose socket is replaced `times` over, one each `every` seconds, `down` seconds after the one before was lost.
fn flapping(times: u32, every: f64, down: f64) -> Vec<String> {
    let mut lines = vec![
        "0 start".to_owned(),
        "1 CONNECTING".to_owned(),
        "1 CONNECTED".to_owned(),
    ];
    for turn in 1..=times {
        let lost = 1.0 + f64::from(turn) * every;
        lines.push(format!("{lost} CONNECTING"));
        if down > 0.0 {
            lines.push(format!("{lost} {LOST}"));
            lines.push(format!("{} CONNECTING", lost + down));
        }
        lines.push(format!("{} CONNECTED", lost + down));
    }
    lines
}

fn of_lines(lines: &[String], later: i64) -> Verdict {
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    verdict(&lines, later)
}

#[test]
fn more_than_five_sockets_in_ten_minutes_are_flapping() {
    // Lost and dialled again, or replaced at once: a new socket either way.
    for down in [0.0, 0.1, 3.0] {
        for times in 0..=12 {
            let seen = of_lines(&flapping(times, 40.0, down), 1);
            let wanted = if times > 5 {
                ("flapping", State::Warn)
            } else {
                ("connected-silent", State::Ok)
            };
            assert_eq!(
                (seen.code, seen.status),
                wanted,
                "{times} times, {down} s down"
            );
            if times > 5 {
                assert_eq!(
                    seen.message,
                    format!("{times} new sockets within 10 minutes")
                );
            }
        }
    }
}

#[test]
fn flapping_is_over_ten_minutes_later_and_many_are_no_fewer() {
    let six = flapping(6, 10.0, 0.1);
    // The first of the six opened 50 s before the last.
    assert_eq!(of_lines(&six, 600 - 50).code, "flapping");
    assert_eq!(of_lines(&six, 600 - 49).code, "connected-silent");
    // As often, but never more than five within ten minutes.
    assert_eq!(
        of_lines(&flapping(40, 121.0, 0.1), 0).code,
        "connected-silent"
    );
    let many = of_lines(&flapping(200, 2.0, 0.1), 0);
    assert_eq!(many.message, "32 or more new sockets within 10 minutes");
}

#[test]
fn what_flapped_and_is_down_is_down() {
    let mut lines = flapping(8, 10.0, 0.1);
    lines.extend(["90 CONNECTING".to_owned(), format!("90 {LOST}")]);
    assert_eq!(of_lines(&lines, 0).code, "disconnected");
}

/// The bridge dials 0.1 · (2ⁿ - 1) seconds after the loss, n = 0, 1, 2 and so on.
#[test]
fn each_attempt_is_foretold_from_the_one_before() {
    let after = |attempt: u32| f64::from((1_u32 << attempt) - 1) / 10.0;
    let mut lines = vec!["0 start".to_owned(), "1 CONNECTED".to_owned()];
    for attempt in 0..15 {
        let at = 100.0 + after(attempt);
        lines.extend([format!("{at} CONNECTING"), format!("{at} {LOST}")]);
        let history = read(&log(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
        let connection = &history.logins["T1-U1"];
        let start = 1_787_130_000_000_i64;
        let foretold = connection.next_attempt().unwrap().as_millisecond() - start;
        let wanted = 100_000 + 100 * ((1_i64 << (attempt + 1)) - 1);
        assert_eq!(foretold, wanted, "attempt {attempt}");

        let seen = of(&history, connection, history.last_at.unwrap());
        let waits_long = after(attempt) > 180.0 || after(attempt + 1) - after(attempt) > 60.0;
        let code = if waits_long {
            "backoff"
        } else {
            "disconnected"
        };
        assert_eq!(
            (seen.code, seen.status),
            (code, State::Fail),
            "attempt {attempt}"
        );
        let next = connection.next_attempt().unwrap();
        let words = format!(
            "{} attempts, the next at {}",
            attempt + 1,
            next.strftime("%Y-%m-%dT%H:%M:%SZ")
        );
        assert!(seen.message.contains(&words), "{words}: {}", seen.message);
    }
    // While it dials there is no next one; once the time is over, it is overdue.
    let overdue = of_lines(&lines, 1640 + 31);
    assert!(
        overdue.code == "backoff" && overdue.message.ends_with("the next is overdue"),
        "{overdue:?}"
    );
    lines.push("3376.7 CONNECTING".to_owned());
    let dialling = of_lines(&lines, 0);
    assert!(
        dialling.code == "backoff" && dialling.message.ends_with("16 attempts"),
        "{dialling:?}"
    );
    lines.push("3376.8 CONNECTED".to_owned());
    assert_eq!(of_lines(&lines, 1).status, State::Ok);
}

#[test]
fn a_refused_token_is_told_where_the_states_are_hidden() {
    let refused = "xERR Error in socket mode connection error=invalid_auth login_id=T1-U1";
    let mut lines = vec!["0 xINF Bridge started".to_owned()];
    lines.extend([10, 20, 30].map(|at| format!("{at} {refused}")));
    let told = |lines: &[String]| {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let history = read(&log(&lines));
        let now = history.last_at.unwrap();
        of(&history, &history.logins["T1-U1"], now).code
    };
    assert_eq!(told(&lines), "app-token-refused");
    // It would have been written again: whether it is connected now, nobody says.
    lines.push("60 xINF tick".to_owned());
    assert_eq!(told(&lines), "hidden");
}
