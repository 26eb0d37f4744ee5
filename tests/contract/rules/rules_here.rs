//! Rules about the command line itself.

use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
use ops_tests::tool;

use crate::table::VERBS;
use crate::verbs::{known, tools};

/// A verb without an entry would escape every other rule, and an entry without a verb would test nothing.
#[test]
fn every_verb_has_an_entry() {
    let known = known();
    let listed: Vec<_> = VERBS.iter().map(|verb| verb.name.to_owned()).collect();
    let without = |all: &[String], those: &[String]| -> Vec<_> {
        all.iter()
            .filter(|name| !those.contains(name))
            .cloned()
            .collect()
    };
    assert_eq!(without(&known, &listed), [""; 0], "verbs without an entry");
    assert_eq!(without(&listed, &known), [""; 0], "entries without a verb");
}

#[test]
fn help_is_on_stdout_with_status_0_and_an_example_that_parses() {
    for name in known() {
        let words: Vec<_> = name.split(' ').collect();
        let ran = tool(words[0]).args(&words[1..]).arg("--help").run();
        assert_eq!((ran.status, ran.err()), (0, String::new()), "{ran}");
        let examples = examples(&ran.out());
        assert!(
            !examples.is_empty(),
            "'{name} --help' has no example\n{ran}"
        );
        for example in examples {
            assert!(
                parses(&example),
                "'{name} --help' has an example that does not parse: {example}"
            );
        }
    }
}

/// The commands below `Examples:`. A long one goes on in the next line, where the help was wrapped.
fn examples(help: &str) -> Vec<String> {
    let below = help
        .lines()
        .skip_while(|line| !line.starts_with("Example"))
        .skip(1);
    let lines = below
        .take_while(|line| line.starts_with(' '))
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    let mut examples: Vec<String> = Vec::new();
    for line in lines {
        let goes_on = examples.last().is_some_and(|last| {
            shell_words::split(last).is_err()
                || last.ends_with(['|', '&', '\\'])
                || line.starts_with(['|', '&'])
        });
        match examples.last_mut().filter(|_| goes_on) {
            Some(last) => *last = format!("{} {line}", last.trim_end_matches('\\')),
            None => examples.push(line.to_owned()),
        }
    }
    examples.retain(|line| line.contains("ops-"));
    examples
}

/// Whether every part of a pipeline that is one of our tools has a command line that it takes.
fn parses(line: &str) -> bool {
    let Ok(words) = shell_words::split(line) else {
        return false;
    };
    let words = words.iter().flat_map(|word| match word.strip_suffix(';') {
        Some(before) => vec![before.to_owned(), ";".to_owned()],
        None => vec![word.clone()],
    });
    let is_end = |word: &String| {
        ["|", "&&", "||", ";", ">", ">>", "<", "{", "}", "&"].contains(&word.as_str())
    };
    words.collect::<Vec<_>>().split(is_end).all(|part| {
        let start = part.iter().position(|word| word.starts_with("ops-"));
        let Some(start) =
            start.filter(|start| part[..*start].iter().all(|word| word.contains('=')))
        else {
            return true;
        };
        let part = &part[start..];
        let Some(tool) = tools().into_iter().find(|tool| tool.get_name() == part[0]) else {
            return false;
        };
        match tool.try_get_matches_from(part) {
            Ok(_) => true,
            Err(error) => matches!(error.kind(), DisplayHelp | DisplayVersion),
        }
    })
}

/// A change of a help text is a change of the manual: it is to be seen in review. `INSTA_UPDATE=always` takes the new one.
#[test]
fn the_help_of_each_tool_is_as_reviewed() {
    for tool_command in tools() {
        let name = tool_command.get_name();
        let help = tool(name).arg("-h").run().expect(0).out();
        insta::assert_snapshot!(name, help);
    }
}

#[test]
fn an_unknown_flag_is_2_with_nothing_on_stdout() {
    for name in known() {
        let words: Vec<_> = name.split(' ').collect();
        let ran = tool(words[0]).args(&words[1..]).arg("--no-such-flag").run();
        assert_eq!((ran.status, ran.out()), (2, String::new()), "{ran}");
        assert!(
            ran.err().starts_with(&format!("{}: error: ", words[0])),
            "{ran}"
        );
        assert!(ran.err().contains("--no-such-flag"), "{ran}");
    }
}

#[test]
fn a_tool_without_a_verb_is_2_and_shows_how_to_use_it() {
    for tool_command in tools() {
        let ran = tool(tool_command.get_name()).run();
        assert_eq!((ran.status, ran.out()), (2, String::new()), "{ran}");
        assert!(ran.err().contains("Usage:"), "{ran}");
    }
}

#[test]
fn help_and_version_tell_when_they_cannot_be_written() {
    for tool_command in tools() {
        for flag in ["--help", "--version"] {
            let full = tool(tool_command.get_name())
                .arg(flag)
                .through("exec \"$@\" > /dev/full")
                .run();
            assert_eq!(full.status, 74, "{full}");
            assert!(full.err().contains("cannot write to stdout"), "{full}");
            let gone = tool(tool_command.get_name())
                .arg(flag)
                .through(READER_GONE)
                .run();
            assert_eq!((gone.status, gone.err()), (141, String::new()), "{gone}");
        }
    }
}

/// Runs the program into a pipe whose reader has already left. The fifo is opened by both sides before either goes on.
pub(crate) const READER_GONE: &str = r#"
    folder=$(mktemp -d); mkfifo "$folder/pipe"
    : < "$folder/pipe" & exec 3> "$folder/pipe"; wait $!
    rm -r "$folder"; exec "$@" >&3
"#;

#[test]
fn versions_name_the_tool() {
    for tool_command in tools() {
        let name = tool_command.get_name();
        let ran = tool(name).arg("--version").run().expect(0);
        assert_eq!(ran.out(), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn nothing_but_libc_is_linked() {
    for tool_command in tools() {
        let program = ops_tests::bin_dir().join(tool_command.get_name());
        let ran = ops_tests::command("ldd").arg(program).run().expect(0);
        let allowed = [
            "linux-vdso",
            "libc.so",
            "libm.so",
            "libgcc_s.so",
            "/ld-linux",
        ];
        for line in ran.out().lines() {
            assert!(
                allowed.iter().any(|name| line.contains(name)),
                "'{}' is linked with {line}",
                tool_command.get_name()
            );
        }
    }
}

/// The loader's and libc's own files are not counted: what is opened before `main` and what libc reads for us.
#[test]
fn help_and_version_open_nothing() {
    for tool_command in tools() {
        for flag in ["--version", "--help"] {
            let trace = tempfile::NamedTempFile::new().expect("a temporary file can be made");
            let calls = "trace=open,openat,openat2,socket,connect,socketpair,pipe,pipe2,clone,clone3,fork,vfork,execve";
            let ran = ops_tests::command("strace")
                .args(["-f", "-e", calls, "-o"])
                .arg(trace.path())
                .arg(ops_tests::bin_dir().join(tool_command.get_name()))
                .arg(flag)
                .run()
                .expect(0);
            let log = std::fs::read_to_string(trace.path()).expect("strace has written its log");
            assert!(log.contains("execve("), "strace saw nothing\n{ran}");
            let system = [
                "/etc/ld.so",
                "/lib/",
                "/lib64/",
                "/usr/lib",
                "/proc/self/maps",
                "/sys/fs/cgroup",
                "/proc/self/cgroup",
            ];
            let ours = log
                .lines()
                .filter(|line| !line.contains("execve(") && !line.contains("+++"));
            let ours: Vec<_> = ours
                .filter(|line| !system.iter().any(|path| line.contains(path)))
                .collect();
            assert!(
                ours.is_empty(),
                "'{} {flag}' opens {ours:#?}",
                tool_command.get_name()
            );
        }
    }
}
