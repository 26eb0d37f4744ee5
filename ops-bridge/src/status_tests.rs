use super::*;
use crate::configuration::Configuration;
use crate::database::Login;
use crate::database::Schema;
use crate::history::tests::log;
use crate::socket_table::Socket;
use crate::unit::Unit;

fn answer(lines: &[&str]) -> Answer {
    let login = Login {
        id: "T1-U1".to_owned(),
        user: "@op:ex.org".to_owned(),
        name: None,
        has_token: true,
        token_kind: Some("xoxb-".to_owned()),
        has_app_token: true,
        space_room: None,
    };
    let database = Database {
        schema: Schema::default(),
        logins: vec![login],
        ..Database::default()
    };
    let configuration =
        "/c.yaml\nlogging: {min_level: debug}\nhomeserver: {address: 'http://127.0.0.1:8008'}\n";
    Answer {
        now: Timestamp::from_second(1_787_130_100).unwrap(),
        unit: Ok(Unit::read("ActiveState=active\nSubState=running\n")),
        journal: Ok(log(lines).into_bytes()),
        database: Ok(database),
        configuration: Configuration::read(configuration),
        sockets: Ok(vec![socket(3)]),
        registrations: Ok(Vec::new()),
    }
}

fn socket(silent: u64) -> Socket {
    Socket {
        local_port: 40000,
        peer: "203.0.113.1".to_owned(),
        peer_port: 443,
        silent: Some(Duration::from_secs(silent)),
    }
}

/// What the provisioning API said, or why it said nothing.
type Api = Result<Vec<Known>, String>;

fn told(state: &str) -> Api {
    let since = Timestamp::from_second(1_787_130_001).map_err(|error| error.to_string())?;
    Ok(vec![Known {
        id: "T1-U1".to_owned(),
        state: state.to_owned(),
        error: String::new(),
        message: String::new(),
        since: Some(since),
    }])
}

fn connection_of(answer: &Answer, known: &Api) -> Check {
    let checks = judge(answer, known, None, &Settings::default());
    checks
        .into_iter()
        .find(|check| check.check == CHECK)
        .unwrap()
}

/// What a journal alone says at `now`, where everything else is well and the provisioning API is switched off.
pub(crate) fn from_journal(journal: &[u8], now: Timestamp) -> Check {
    let mut answer = answer(&[]);
    answer.now = now;
    answer.journal = Ok(journal.to_vec());
    let off: Api = Err("the bridge has no provisioning API: disabled".to_owned());
    connection_of(&answer, &off)
}

const HEALTHY: [&str; 3] = ["0 start", "1 CONNECTING", "1 CONNECTED"];

#[test]
fn all_sources_agree() {
    let check = connection_of(&answer(&HEALTHY), &told("CONNECTED"));
    assert_eq!(
        (check.status, &check.data["source"], &check.data["verdict"]),
        (
            State::Ok,
            &json!("provisioning"),
            &json!("connected-silent")
        )
    );
    assert_eq!(check.data["sources"]["database"], "ok");
}

#[test]
fn nobody_is_logged_in() {
    let mut answer = answer(&["0 start"]);
    answer.database = Ok(Database::default());
    let check = connection_of(&answer, &Ok(Vec::new()));
    assert_eq!(
        (check.status, check.message.as_str()),
        (State::Fail, "nobody is logged in to Slack")
    );
}

#[test]
fn a_source_that_fails_is_named_and_nothing_is_called_healthy() {
    let broken = || Err("no answer".to_owned());
    let mut cases: Vec<(&str, Answer, Api)> = vec![("provisioning", answer(&HEALTHY), broken())];
    for (name, spoil) in [
        (
            "unit",
            (|answer: &mut Answer| answer.unit = Err("x".to_owned())) as fn(&mut Answer),
        ),
        ("journal", |answer| answer.journal = Err("x".to_owned())),
        ("database", |answer| answer.database = Err("x".to_owned())),
        ("configuration", |answer| {
            answer.configuration = Err("x".to_owned());
        }),
    ] {
        let mut spoilt = answer(&HEALTHY);
        spoil(&mut spoilt);
        cases.push((name, spoilt, told("CONNECTED")));
    }
    for (name, answer, known) in cases {
        let check = connection_of(&answer, &known);
        assert_eq!(check.status, State::Unknown, "{name}: {check:?}");
        assert_ne!(check.data["sources"][name], "ok", "{name}");
    }
}

#[test]
fn an_api_that_is_switched_off_is_replaced_by_the_log() {
    let off: Api = Err("the bridge on 'x' has no provisioning API: disabled".to_owned());
    assert_eq!(connection_of(&answer(&HEALTHY), &off).status, State::Ok);
    let mut quiet = answer(&[]);
    quiet.configuration = Configuration::read("/c.yaml\nlogging: {min_level: info}\n");
    assert_eq!(connection_of(&quiet, &off).status, State::Unknown);
}

#[test]
fn the_kernel_knows_a_dead_socket() {
    let mut half_open = answer(&HEALTHY);
    half_open.sockets = Ok(vec![socket(48)]);
    assert_eq!(
        connection_of(&half_open, &told("CONNECTED")).data["verdict"],
        "half-open"
    );
    let mut none = answer(&HEALTHY);
    none.sockets = Ok(Vec::new());
    assert_eq!(
        connection_of(&none, &told("CONNECTED")).data["verdict"],
        "no-socket"
    );
}

#[test]
fn the_process_knows_better_than_its_log() {
    let check = connection_of(&answer(&HEALTHY), &told("BAD_CREDENTIALS"));
    assert_eq!(
        (check.status, &check.data["verdict"]),
        (State::Fail, &json!("needs-login"))
    );
}

#[test]
fn a_homeserver_that_does_not_answer_is_a_failure_under_a_good_state() {
    let away = Check::fail("bridge.to_homeserver", "", "connection refused");
    let judged = |homeserver| {
        let (answer, known) = (answer(&HEALTHY), told("CONNECTED"));
        let checks = judge(&answer, &known, homeserver, &Settings::default());
        let found = checks.into_iter().find(|check| check.check == CHECK);
        found.unwrap()
    };
    let check = judged(Some(away));
    assert_eq!(
        (check.status, &check.data["verdict"]),
        (State::Fail, &json!("homeserver-away"))
    );
    let check = judged(Some(Check::ok("bridge.to_homeserver", "", "")));
    assert_eq!(check.status, State::Ok);
}

#[test]
fn a_database_that_is_away_is_told_from_one_that_may_not_be_read() {
    let judged = |lines: &[&str], reason: &str| {
        let mut answer = answer(lines);
        answer.database = Err(reason.to_owned());
        let check = connection_of(&answer, &told("CONNECTED"));
        (check.status, check.data["verdict"].clone())
    };
    let gone = "psql: error: connection to server on socket \"/run/postgresql/.s.PGSQL.5432\" failed: No such file or directory";
    assert_eq!(
        judged(&HEALTHY, gone),
        (State::Unknown, json!("database-away"))
    );
    let lost = "95 xERR Failed to send message part to Matrix error=\"failed to check if room is encrypted: dial unix /run/postgresql/.s.PGSQL.5432: connect: no such file or directory\"";
    let lines = [&HEALTHY[..], &[lost]].concat();
    assert_eq!(judged(&lines, gone), (State::Fail, json!("database-away")));
    let forbidden = "psql: error: FATAL: role \"x\" does not exist";
    assert_eq!(judged(&HEALTHY, forbidden).0, State::Unknown);
}

#[test]
fn no_source_that_failed_is_overlooked() {
    let broken: [fn(&mut Answer); 5] = [
        |answer| answer.unit = Err("x".to_owned()),
        |answer| answer.journal = Err("x".to_owned()),
        |answer| answer.database = Err("x".to_owned()),
        |answer| answer.configuration = Err("x".to_owned()),
        |answer| answer.sockets = Err("x".to_owned()),
    ];
    for (number, breaks) in broken.into_iter().enumerate() {
        let mut answer = answer(&HEALTHY);
        breaks(&mut answer);
        let check = connection_of(&answer, &told("CONNECTED"));
        assert_eq!(check.status, State::Unknown, "source {number}");
    }
}
