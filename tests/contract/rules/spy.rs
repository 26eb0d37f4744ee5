//! Who could have read a secret: every program that is started, with its arguments and its environment as /proc shows
//! them, here and on the host. A tracer reports each start, so none is too short to be seen.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ops_tests::{LabHost, Ran, Running, Tool, command};
use rustix::process::Signal;
use tempfile::NamedTempFile;

/// The start of a program, as strace writes it: `PID execve(PATH, [ARG, ...], [VARIABLE, ...]) = 0`.
const STARTS: &str = "-f -v -s 1048576 -e trace=execve,execveat -e signal=none";

/// Sees all that sessions start on a host. (Not what its systemd starts: traced, that is too slow to be believed in. Units
/// last, so [`running_with`] finds them.)
pub(crate) struct HostSpy {
    tracer: Running,
    log: NamedTempFile,
}

impl HostSpy {
    pub(crate) fn on(host: &LabHost) -> Self {
        let log = NamedTempFile::new().expect("a temporary file can be made");
        let sshd = pid_of_sshd(host);
        let strace = command("strace")
            .args(STARTS.split(' '))
            .arg("-o")
            .arg(log.path());
        let tracer = strace.args(["-p", &sshd.to_string()]).spawn();
        tracer.wait_for_complaint(&format!("Process {sshd} attached"));
        Self { tracer, log }
    }

    /// Ends, and returns what was started.
    pub(crate) fn finish(self) -> String {
        self.tracer.signal(Signal::TERM);
        drop(self.tracer.finish());
        read(&self.log)
    }
}

/// Runs a program to its end, and returns what it has started here as well.
pub(crate) fn watched(tool: Tool) -> (Ran, String) {
    let log = NamedTempFile::new().expect("a temporary file can be made");
    let path = log.path().display().to_string();
    let ran = tool
        .under(
            "strace",
            STARTS
                .split(' ')
                .chain(["--seccomp-bpf", "-qq", "-o", &path, "--"]),
        )
        .run();
    (ran, read(&log))
}

/// The command lines of all processes, here and on the hosts, that show a secret now.
pub(crate) fn running_with(secrets: &[String]) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines
        .filter(|line| !leaks(line, secrets).is_empty())
        .collect()
}

fn read(log: &NamedTempFile) -> String {
    let bytes = fs::read(log.path()).expect("the tracer has written its log");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The sshd that listens, by its number here.
fn pid_of_sshd(host: &LabHost) -> i32 {
    let leader = host.leader();
    let children = fs::read_to_string(format!("/proc/{leader}/task/{leader}/children"));
    let children = children.expect("a host has processes");
    let is_sshd = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sshd")
    };
    let sshd = children.split_whitespace().find(is_sshd);
    sshd.and_then(|pid| pid.parse().ok())
        .expect("a host has an sshd")
}

/// The lines of `starts` that show a secret: as it is, in base64 at any place of a longer text, or URL-encoded.
pub(crate) fn leaks<'a>(starts: &'a str, secrets: &[String]) -> Vec<&'a str> {
    let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    let shows = |line: &&str| forms.iter().any(|form| line.contains(form));
    starts.lines().filter(shows).collect()
}

fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    for before in 0..3 {
        let text = [&vec![0; before], secret.as_bytes()].concat();
        let whole = STANDARD_NO_PAD.encode(text);
        // The characters at both ends depend on what stands beside the secret.
        let first = (before * 8).div_ceil(6);
        let last = (before + secret.len()) * 8 / 6;
        let plain = &whole[first..last];
        forms.extend([plain.to_owned(), plain.replace('+', "-").replace('/', "_")]);
    }
    for keep in ["", "-._~", "-._~/", "-._~:/?#[]@!$&'()*+,;="] {
        let encode = |byte: u8| match byte {
            byte if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        };
        forms.push(secret.bytes().map(encode).collect());
    }
    forms
}

#[test]
fn a_secret_is_found_in_every_form() {
    let secret = vec!["xoxp-ä/+ß=1".to_owned()];
    let form = |text: &str| format!("1 execve(\"/bin/x\", [\"x\", \"{text}\"], []) = 0");
    for before in ["", "a", "ab", "abc"] {
        for after in ["", "x", "xy"] {
            let text = form(&STANDARD_NO_PAD.encode(format!("{before}{}{after}", secret[0])));
            assert_eq!(leaks(&text, &secret).len(), 1, "{text}");
        }
    }
    for text in [
        "axoxp-ä/+ß=1b",
        "xoxp-%C3%A4%2F%2B%C3%9F%3D1",
        "xoxp-%C3%A4/+%C3%9F=1",
    ] {
        assert_eq!(leaks(&form(text), &secret).len(), 1, "{text}");
    }
    assert_eq!(leaks(&form("xoxp-ä"), &secret), [""; 0]);
}
