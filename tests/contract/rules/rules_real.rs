//! Rules about real runs against a lab host.

use std::path::Path;
use std::time::Duration;

use ops_tests::{Ran, skip};
use serde_json::Value;

use crate::rules_here::READER_GONE;
use crate::scene::{Scene, host};
use crate::table::{BARE_ENVIRONMENT, CHILDREN, VERBS};
use crate::verbs::{Prints, Verb};

/// Runs `rule` for every verb, and tells all that break it.
fn for_all(
    verbs: impl Iterator<Item = &'static Verb>,
    rule: impl Fn(&Verb, &Scene) -> Result<(), String>,
) {
    if host().is_none() {
        return skip("lab");
    }
    let broken: Vec<_> = verbs
        .filter_map(|verb| {
            let told = rule(verb, &Scene::new(verb)).err()?;
            Some(format!("{}: {told}", verb.name))
        })
        .collect();
    assert!(
        broken.is_empty(),
        "{} verbs break the rule:\n\n{}",
        broken.len(),
        broken.join("\n\n")
    );
}

fn require(holds: bool, what: &str, ran: &Ran) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("{what}\n{ran}"))
    }
}

fn prints_data(verb: &Verb) -> bool {
    !matches!(verb.prints, Prints::Nothing) && !CHILDREN.iter().any(|(name, _)| *name == verb.name)
}

#[test]
fn a_real_run_ends_with_its_status_and_plain_text() {
    for_all(VERBS.iter(), |verb, scene| {
        let ran = scene.run(&[]);
        require(
            ran.status == verb.status,
            &format!("status {} expected", verb.status),
            &ran,
        )?;
        require(
            !ran.stdout.contains(&0x1b) && !ran.stderr.contains(&0x1b),
            "escape codes in a pipe",
            &ran,
        )?;
        let quiet = matches!(verb.prints, Prints::Nothing);
        require(
            ran.stdout.is_empty() == quiet,
            "stdout is data, and success is quiet",
            &ran,
        )
    });
}

/// The fields that docs/conventions.md promises for a verb that lists.
fn promised(name: &str) -> Vec<&'static str> {
    let row = CONVENTIONS
        .lines()
        .find_map(|line| line.strip_prefix(&format!("| `{name}` | ")));
    row.unwrap_or_default()
        .split('`')
        .skip(1)
        .step_by(2)
        .collect()
}

const CONVENTIONS: &str = include_str!("../../../docs/conventions.md");

#[test]
fn json_lines_have_the_documented_fields() {
    for_all(VERBS.iter(), |verb, scene| {
        let fields = match verb.prints {
            Prints::Records | Prints::Lines => promised(verb.name),
            Prints::Checks => vec![
                "check", "host", "subject", "status", "value", "unit", "limit", "message", "fix",
                "at",
            ],
            Prints::Data | Prints::Nothing => return Ok(()),
        };
        if fields.is_empty() {
            return Err("docs/conventions.md promises no fields".to_owned());
        }
        let ran = scene.run(&["--json"]);
        require(
            ran.status == verb.status,
            &format!("status {} expected", verb.status),
            &ran,
        )?;
        require(!ran.stdout.is_empty(), "no record", &ran)?;
        for line in ran.out().lines() {
            let record: Value =
                serde_json::from_str(line).map_err(|error| format!("no JSON: {error}\n{ran}"))?;
            for field in fields.iter().chain(&["host"]) {
                require(
                    record.get(field).is_some(),
                    &format!("no field '{field}' in {line}"),
                    &ran,
                )?;
            }
            let Some(check) = record.get("check").and_then(Value::as_str) else {
                continue;
            };
            // What the gate was given is another's.
            let is_listed =
                verb.name == "ops-deploy gate" || CONVENTIONS.contains(&format!("`{check}`"));
            require(
                is_listed,
                &format!("docs/conventions.md does not list {check}"),
                &ran,
            )?;
        }
        Ok(())
    });
}

/// What is printed does not depend on the terminal, only how: as many records there as in a pipe.
#[test]
fn a_terminal_shows_the_same_records() {
    // What is typed on a terminal is shown there too, so verbs that read stdin cannot be compared in this way.
    let records = |verb: &&Verb| {
        matches!(verb.prints, Prints::Records | Prints::Checks) && verb.stdin.is_empty()
    };
    for_all(VERBS.iter().filter(records), |verb, scene| {
        let piped = scene.run(&[]);
        let shown = scene
            .command(&["-q"])
            .env("NO_COLOR", "1")
            .terminal(400, 50)
            .run();
        require(
            shown.status == verb.status,
            &format!("status {} expected", verb.status),
            &shown,
        )?;
        let lines = shown
            .out()
            .lines()
            .filter(|line| !line.contains(": error: "))
            .count();
        require(
            lines == piped.out().lines().count() + 1,
            "a header and one line for each record of the pipe expected",
            &shown,
        )?;
        require(!shown.stdout.contains(&0x1b), "NO_COLOR is set", &shown)
    });
}

#[test]
fn a_reader_that_left_is_141_and_silent() {
    for_all(VERBS.iter().filter(|verb| prints_data(verb)), |_, scene| {
        let ran = scene.command(&[]).through(READER_GONE).run();
        require(ran.status == 141, "status 141 expected", &ran)?;
        require(!ran.err().contains("error"), "silence expected", &ran)
    });
}

#[test]
fn a_full_disk_is_74_with_a_message() {
    for_all(VERBS.iter().filter(|verb| prints_data(verb)), |_, scene| {
        let ran = scene.command(&[]).through("exec \"$@\" > /dev/full").run();
        require(ran.status == 74, "status 74 expected", &ran)?;
        require(
            ran.err().contains("error: cannot write")
                && ran.err().contains("No space left on device"),
            "a message expected",
            &ran,
        )
    });
}

#[test]
fn an_empty_environment_changes_nothing() {
    let bare = |verb: &&Verb| !BARE_ENVIRONMENT.iter().any(|(name, _)| *name == verb.name);
    for_all(VERBS.iter().filter(bare), |verb, scene| {
        let ran = scene.command(&[]).through("exec env -i \"$@\"").run();
        require(
            ran.status == verb.status,
            &format!("status {} expected", verb.status),
            &ran,
        )
    });
}

#[test]
fn closed_stdin_changes_nothing() {
    let without_input = |verb: &&Verb| verb.stdin.is_empty();
    for_all(VERBS.iter().filter(without_input), |verb, scene| {
        let ran = scene.command(&[]).through("exec \"$@\" <&-").run();
        require(
            ran.status == verb.status,
            &format!("status {} expected", verb.status),
            &ran,
        )
    });
}

/// Rust puts /dev/null where a stream was closed; a run that cannot print has not succeeded for that.
#[test]
fn a_closed_stdout_is_74_with_a_message() {
    for_all(VERBS.iter().filter(|verb| prints_data(verb)), |_, scene| {
        let ran = scene.command(&[]).through("exec \"$@\" >&-").run();
        require(ran.status == 74, "status 74 expected", &ran)?;
        require(
            ran.err().contains("error: cannot write to stdout: "),
            "a message expected",
            &ran,
        )
    });
}

#[test]
fn a_closed_stderr_changes_nothing() {
    for_all(VERBS.iter(), |verb, scene| {
        let ran = scene.command(&[]).through("exec \"$@\" 2>&-").run();
        require(
            ran.status == verb.status,
            &format!("status {} expected", verb.status),
            &ran,
        )?;
        let quiet = matches!(verb.prints, Prints::Nothing);
        require(ran.stdout.is_empty() == quiet, "the same data", &ran)
    });
}

/// A stream that is closed says nothing, which is not to say that there is nothing.
#[test]
fn a_closed_stdin_is_no_empty_input() {
    let with_input = |verb: &&Verb| !verb.stdin.is_empty();
    for_all(VERBS.iter().filter(with_input), |_, scene| {
        let ran = scene.command(&[]).through("exec \"$@\" <&-").run();
        require(ran.status == 74, "status 74 expected", &ran)?;
        require(
            ran.err().contains("error: cannot read '-'"),
            "a message expected",
            &ran,
        )
    });
}

#[test]
fn an_unreachable_host_is_69_quickly_and_with_a_hint() {
    for_all(VERBS.iter().filter(|verb| verb.reaches_host), |_, scene| {
        // An address of the documentation's range that no lab host has, and to which there is no route.
        let ran = scene
            .command_at("root@198.51.100.1", &["--connect-timeout", "5s"])
            .timeout(Duration::from_secs(30))
            .run();
        require(ran.status == 69, "status 69 expected", &ran)?;
        require(ran.stdout.is_empty(), "nothing on stdout expected", &ran)?;
        require(
            ran.err().contains("198.51.100.1"),
            "the host's name expected",
            &ran,
        )?;
        require(ran.err().contains(": hint: "), "a hint expected", &ran)?;
        require(
            ran.took < Duration::from_secs(10),
            "an answer within 10 s expected",
            &ran,
        )
    });
}

#[test]
fn a_judging_verb_that_cannot_look_has_a_record_if_asked_for() {
    let judges = |verb: &&Verb| verb.reaches_host && matches!(verb.prints, Prints::Checks);
    for_all(VERBS.iter().filter(judges), |_, scene| {
        let ran = scene
            .command_at("root@198.51.100.1", &["--json", "--connect-timeout", "5s"])
            .run();
        require(ran.status == 69, "status 69 expected", &ran)?;
        let record: Value = serde_json::from_str(&ran.out())
            .map_err(|error| format!("one record expected: {error}\n{ran}"))?;
        require(
            record["status"] == "unknown",
            "a record of unknown expected",
            &ran,
        )?;
        let plugin = scene
            .command_at(
                "root@198.51.100.1",
                &["--format", "nagios", "--connect-timeout", "5s"],
            )
            .run();
        require(plugin.status == 3, "a plugin's unknown is 3", &plugin)
    });
}

#[test]
fn failures_leave_nothing_behind() {
    for_all(VERBS.iter(), |_, scene| {
        let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
        let list = || ops_tests::command("find").arg(scene.folder()).run().out();
        let before = list();
        for shell in ["exec \"$@\" > /dev/full", READER_GONE] {
            // What a verb is there to write is no left-over; files that are still in the making are.
            let ran = scene
                .command(&[])
                .env("TMPDIR", temporary.path())
                .through(shell)
                .run();
            let hidden = list()
                .lines()
                .filter(|path| !before.contains(*path))
                .any(|path| Path::new(path).extension().is_some_and(|end| end == "tmp"));
            require(!hidden, "a file in the making was left", &ran)?;
        }
        let left = std::fs::read_dir(temporary.path())
            .map_err(|error| error.to_string())?
            .count();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} files left in TMPDIR"))
        }
    });
}
