//! Where plain text must not be while a program has it: argv, the environment of others, files outside of memory. The
//! search is proved by what it must find.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ops_tests::{Running, Tool, command};

use crate::bed::Bed;

/// The processes of which this part (`cmdline`, `environ`) holds a text, by their command lines.
fn processes(part: &str, text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let holds =
        |folder: &PathBuf| fs::read(folder.join(part)).is_ok_and(|bytes| contains(&bytes, text));
    entries
        .map(|entry| entry.path())
        .filter(holds)
        .map(|folder| {
            let line = fs::read(folder.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ")
        })
        .collect()
}

/// The files below a folder that hold a text.
fn files(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            found.extend(files(&entry.path(), text));
        } else if kind.is_file() && fs::read(entry.path()).is_ok_and(|bytes| contains(&bytes, text))
        {
            found.push(entry.path());
        }
    }
    found
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// A bed with an encrypted canary, and a gate at which programs wait.
struct Watch {
    bed: Bed,
    canary: &'static str,
    /// The private key, which must not be seen either.
    key: String,
}

impl Watch {
    fn new(canary: &'static str) -> Self {
        let bed = Bed::new();
        fs::create_dir(bed.path("tmp")).expect("a folder");
        bed.write("e.yaml", bed.encrypt("p.yaml", format!("a: {canary}\n")));
        fs::remove_file(bed.path("p.yaml")).expect("it is there");
        command("mkfifo").arg(bed.path("gate")).run().expect(0);
        let key = bed
            .read("keys.txt")
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        Self { bed, canary, key }
    }

    /// Starts our program, and waits until the program that it has started stands at the gate.
    fn start(&self, tool: Tool) -> Running {
        let running = tool.env("TMPDIR", self.bed.path("tmp")).spawn();
        running.wait_for("at the gate");
        running
    }

    fn open_gate(&self) {
        let gate = fs::OpenOptions::new()
            .write(true)
            .open(self.bed.path("gate"));
        writeln!(gate.expect("somebody waits"), "go").expect("it is read");
    }

    /// What must hold while the plain text is out.
    fn nothing_leaks(&self) {
        for text in [self.canary, &self.key] {
            assert_eq!(processes("cmdline", text), Vec::<String>::new());
        }
        assert_eq!(processes("environ", &self.key), Vec::<String>::new());
        assert_eq!(
            files(&self.bed.path("."), self.canary),
            Vec::<PathBuf>::new()
        );
    }

    /// What must hold afterwards.
    fn nothing_stays(&self) {
        self.nothing_leaks();
        assert_eq!(processes("environ", self.canary), Vec::<String>::new());
        assert_eq!(
            files(Path::new("/dev/shm"), self.canary),
            Vec::<PathBuf>::new()
        );
    }
}

const WAIT: &str = "echo at the gate; read go < gate";

#[test]
fn the_search_finds_what_is_planted() {
    let watch = Watch::new("canary-planted-4c1e");
    let script = format!("{WAIT}; : {}", watch.canary);
    let running = watch.start(
        watch
            .bed
            .bound(command("sh").args(["-c", &script]).env("X", &watch.key)),
    );
    assert_eq!(processes("cmdline", watch.canary).len(), 1);
    assert_eq!(processes("environ", &watch.key).len(), 1);
    watch.open_gate();
    drop(running.finish().expect(0));
    let planted = watch
        .bed
        .write("tmp/deep/file", format!("x{}y", watch.canary));
    assert_eq!(files(&watch.bed.path("."), watch.canary).len(), 1);
    fs::remove_file(planted).expect("it is there");
    watch.nothing_stays();
}

#[test]
fn exec_file_and_edit_have_the_plain_text_in_memory_only() {
    let watch = Watch::new("canary-file-91bd");
    let script = format!("cat \"$1\" > /dev/null; {WAIT}");
    watch
        .bed
        .write("editor", format!("{script}; echo '# more' >> \"$1\"\n"));
    let exec = |flags: &[&str]| {
        let rest = ["e.yaml", "--", "sh", "-c", &script, "sh", "{}"];
        watch.bed.ops(&["exec-file"]).args(flags).args(rest)
    };
    let edit = watch
        .bed
        .ops(&["edit", "e.yaml"])
        .env("EDITOR", "sh editor");
    for (tool, in_memory) in [(exec(&[]), 0), (exec(&["--no-fifo"]), 1), (edit, 1)] {
        let running = watch.start(tool);
        watch.nothing_leaks();
        assert_eq!(processes("environ", watch.canary), Vec::<String>::new());
        assert_eq!(files(Path::new("/dev/shm"), watch.canary).len(), in_memory);
        watch.open_gate();
        drop(running.finish().expect(0));
        watch.nothing_stays();
    }
}

#[test]
fn exec_env_gives_the_values_to_its_program_alone() {
    let watch = Watch::new("canary-env-5d20");
    let running = watch.start(
        watch
            .bed
            .ops(&["exec-env", "e.yaml", "--", "sh", "-c", WAIT]),
    );
    watch.nothing_leaks();
    let holders = processes("environ", watch.canary);
    assert!(
        holders.len() == 1 && holders[0].contains("sh -c"),
        "{holders:?}"
    );
    watch.open_gate();
    drop(running.finish().expect(0));
    watch.nothing_stays();
}

/// A program that is killed by a signal wipes what it had in memory.
#[test]
fn a_signal_leaves_nothing_behind() {
    let watch = Watch::new("canary-signal-e802");
    let script = format!("trap '' TERM; {WAIT}");
    let running = watch.start(watch.bed.ops(&[
        "exec-file",
        "--no-fifo",
        "e.yaml",
        "--",
        "sh",
        "-c",
        &script,
        "{}",
    ]));
    assert_eq!(files(Path::new("/dev/shm"), watch.canary).len(), 1);
    running.signal(rustix::process::Signal::TERM);
    watch.open_gate();
    drop(running.finish());
    watch.nothing_stays();
}
