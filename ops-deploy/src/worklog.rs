//! The worklog: one new Markdown file for each deployment, written from its record.

use std::fmt::Write;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::atomic;
use ops_common::check::Check;
use serde_json::Value;

use crate::record::Record;

/// Writes the entry into `folder`, under a name that nobody has taken, and returns its path.
pub fn write(folder: &Path, record: &Record) -> Result<PathBuf, atomic::Error> {
    std::fs::create_dir_all(folder).map_err(|source| atomic::Error::Create {
        path: folder.to_owned(),
        source,
    })?;
    let stem = stem(record);
    let mut number = 1;
    loop {
        let name = if number == 1 {
            format!("{stem}.md")
        } else {
            format!("{stem}-{number}.md")
        };
        let path = folder.join(name);
        // The empty file keeps the name from others; the entry then takes its place whole.
        match File::create_new(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                number += 1;
                continue;
            }
            Err(source) => return Err(atomic::Error::Create { path, source }),
        }
        if let Err(error) = atomic::write(&path, entry(record).as_bytes(), 0o644) {
            // An entry without a word would be worse than none.
            drop(std::fs::remove_file(&path));
            return Err(error);
        }
        return Ok(path);
    }
}

/// `YYYY-MM-DD-HHMMSS-HOST-REV`, in UTC, with nothing in it that a file name cannot hold.
fn stem(record: &Record) -> String {
    let at = record.at.to_string();
    let time: String = at
        .chars()
        .take(19)
        .filter(|c| c.is_ascii_digit() || *c == '-')
        .collect();
    let (day, clock) = (&time[..10], &time[10..]);
    let host: String = record
        .host
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || ".-_".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let revision = match record.revision.commit.get(..8) {
        Some(short) if record.revision.dirty => format!("{short}-dirty"),
        Some(short) => short.to_owned(),
        None => "norev".to_owned(),
    };
    format!("{day}-{clock}-{host}-{revision}")
}

/// The text of the entry.
#[must_use]
pub fn entry(record: &Record) -> String {
    let mut text = String::new();
    let mut line = |parts: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{parts}");
    };
    line(format_args!(
        "# {}: {} ({})\n",
        record.host,
        record.outcome.word(),
        when(record.at)
    ));
    line(format_args!("{}\n", sentence(record)));
    line(format_args!("| | |\n|---|---|"));
    for (name, value) in facts(record) {
        if !value.is_empty() {
            line(format_args!("| {name} | {} |", value.replace('|', "\\|")));
        }
    }
    let lists = [
        (
            "Packages",
            record.packages.iter().map(package).collect::<Vec<_>>(),
        ),
        ("Units", record.units.iter().map(unit).collect()),
        ("Health before", record.before.iter().map(finding).collect()),
        ("Health after", record.after.iter().map(finding).collect()),
        (
            "Errors in the journal since the switch",
            record
                .journal
                .iter()
                .map(|text| format!("`{}`", text.replace('`', "'")))
                .collect(),
        ),
    ];
    for (title, items) in lists {
        if !items.is_empty() {
            line(format_args!("\n## {title}\n"));
            for item in &items {
                line(format_args!("- {item}"));
            }
        }
    }
    text
}

fn when(at: Timestamp) -> String {
    at.to_string()
        .chars()
        .take(19)
        .collect::<String>()
        .replace('T', " ")
        + " UTC"
}

fn sentence(record: &Record) -> String {
    let reason = record.reason.trim_end_matches('.');
    let mut letters = reason.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => "No reason was noted.".to_owned(),
    }
}

fn facts(record: &Record) -> Vec<(&'static str, String)> {
    let generation = |number: Option<u64>| {
        number.map_or_else(String::new, |number| format!(" (generation {number})"))
    };
    let dirty = if record.revision.dirty {
        ", with changes that are not committed"
    } else {
        ""
    };
    let steps: Vec<_> = record
        .steps_s
        .iter()
        .map(|(name, seconds)| format!("{name} {seconds:.1} s"))
        .collect();
    let commit = match record.revision.commit.as_str() {
        "" => String::new(),
        commit => format!("`{commit}` {}{dirty}", record.revision.subject),
    };
    let path = |path: &str, number| {
        if path.is_empty() {
            "none".to_owned()
        } else {
            format!("`{path}`{}", generation(number))
        }
    };
    vec![
        ("Deployment", format!("`{}` by {}", record.id, record.who)),
        ("Action", record.action.clone()),
        ("Flake", record.flake.clone()),
        ("Commit", commit),
        ("Origin", record.origin.clone()),
        ("Old system", path(&record.old, record.old_generation)),
        ("New system", path(&record.new, record.generation)),
        (
            "Activation",
            record
                .activation
                .map_or_else(String::new, |status| format!("status {status}")),
        ),
        (
            "Took",
            format!("{:.1} s: {}", record.duration_s, steps.join(", ")),
        ),
    ]
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

fn package(value: &Value) -> String {
    let delta = value
        .get("delta_bytes")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let versions = match (field(value, "old"), field(value, "new")) {
        ("", "") => String::new(),
        (old, "") => format!(" {old}"),
        ("", new) => format!(" {new}"),
        (old, new) if old == new => format!(" {old}"),
        (old, new) => format!(" {old} → {new}"),
    };
    format!(
        "{}: {}{versions} ({delta:+} bytes)",
        field(value, "change"),
        field(value, "name")
    )
}

fn unit(value: &Value) -> String {
    format!(
        "{}: {} ({})",
        field(value, "action"),
        field(value, "unit"),
        field(value, "reason")
    )
}

fn finding(check: &Check) -> String {
    let subject = if check.subject.is_empty() {
        String::new()
    } else {
        format!(" {}", check.subject)
    };
    format!(
        "{}: {}{subject}: {}",
        check.status.word(),
        check.check,
        check.message
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::record::Outcome;

    fn record() -> Record {
        let mut record = Record {
            id: "20260131T120000-1".to_owned(),
            host: "ops-jrz1".to_owned(),
            at: "2026-01-31T12:00:05.5Z".parse().unwrap(),
            who: "ana@laptop".to_owned(),
            outcome: Outcome::RolledBack,
            reason: "nginx.service: failed (exit-code, status 1)".to_owned(),
            old: "/nix/store/a".to_owned(),
            old_generation: Some(41),
            new: "/nix/store/b".to_owned(),
            ..Record::default()
        };
        record.revision.commit = "0123456789abcdef".to_owned();
        record.revision.subject = "nginx: a | b".to_owned();
        record.units.push(serde_json::json!({"action": "restart", "unit": "nginx.service", "reason": "changed: ExecStart"}));
        record.packages.push(serde_json::json!({"change": "changed", "name": "nginx", "old": "1.26", "new": "1.27", "delta_bytes": 12}));
        record
    }

    #[test]
    fn the_name_tells_when_where_and_what() {
        assert_eq!(stem(&record()), "2026-01-31-120005-ops-jrz1-01234567");
        let mut dirty = record();
        dirty.revision.dirty = true;
        dirty.host = "root@203.0.113.10:22".to_owned();
        assert_eq!(
            stem(&dirty),
            "2026-01-31-120005-root_203.0.113.10_22-01234567-dirty"
        );
        assert_eq!(
            stem(&Record {
                at: record().at,
                ..Record::default()
            }),
            "2026-01-31-120005--norev"
        );
    }

    #[test]
    fn the_entry_is_made_of_facts() {
        let text = entry(&record());
        for part in [
            "# ops-jrz1: rolled-back (2026-01-31 12:00:05 UTC)",
            "Nginx.service: failed (exit-code, status 1).",
            "| Commit | `0123456789abcdef` nginx: a \\| b |",
            "| Old system | `/nix/store/a` (generation 41) |",
            "- changed: nginx 1.26 → 1.27 (+12 bytes)",
            "- restart: nginx.service (changed: ExecStart)",
        ] {
            assert!(text.contains(part), "{part} not in:\n{text}");
        }
    }

    #[test]
    fn an_entry_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("docs/worklogs");
        let names: Vec<_> = (0..3).map(|_| write(&folder, &record()).unwrap()).collect();
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name(&names[0]), "2026-01-31-120005-ops-jrz1-01234567.md");
        assert_eq!(name(&names[2]), "2026-01-31-120005-ops-jrz1-01234567-3.md");
    }

    #[test]
    fn entries_of_one_moment_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(16);
        let names: BTreeSet<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..16)
                .map(|number| {
                    let (start, folder) = (&start, folder.path());
                    let one = Record {
                        reason: format!("number {number}"),
                        ..record()
                    };
                    scope.spawn(move || {
                        start.wait();
                        let path = write(folder, &one).unwrap();
                        let text = std::fs::read_to_string(&path).unwrap();
                        assert_eq!(text, entry(&one));
                        path
                    })
                })
                .collect();
            let written = writers.into_iter().map(|writer| writer.join().unwrap());
            written.collect()
        });
        assert_eq!(names.len(), 16, "{names:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 16);
    }
}
