//! `exec-env` and `exec-file`: a program gets the secrets in its environment or in a file, and nothing stays behind.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ops_common::exit::Status;
use ops_common::interrupt;
use ops_common::program::{self, Program};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use zeroize::Zeroizing;

use crate::dotenv;
use crate::error::Error;
use crate::generation::Accounts;
use crate::private::Folder;
use crate::tree::{Data, Value};

/// What to run.
#[derive(Debug, Clone)]
pub enum Job {
    /// A line for the shell.
    Shell(OsString),
    /// An argument vector.
    Argv(Vec<OsString>),
}

/// How to run it.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Without the variables of this process.
    pub pristine: bool,
    /// As this user.
    pub user: Option<String>,
    /// Without waiting for it.
    pub background: bool,
}

/// The variables of a document: nested keys are joined with `_`.
pub fn variables(data: &Data) -> Result<Vec<(String, Zeroizing<String>)>, Error> {
    let mut found = Vec::new();
    collect(data, "", &mut found)?;
    Ok(found)
}

fn collect(
    data: &Data,
    name: &str,
    found: &mut Vec<(String, Zeroizing<String>)>,
) -> Result<(), Error> {
    let joined = |part: &str| {
        if name.is_empty() {
            part.to_owned()
        } else {
            format!("{name}_{part}")
        }
    };
    match data {
        Data::Map(pairs) => pairs
            .iter()
            .try_for_each(|(key, value)| collect(value, &joined(key), found)),
        Data::List(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| collect(item, &joined(&index.to_string()), found)),
        Data::Scalar(value) => {
            let text = match value {
                Value::Null => String::new(),
                Value::Text(text) => text.to_string(),
                value => dotenv::scalar(value),
            };
            if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
                return Err(Error::Usage(format!(
                    "'{}' cannot be a variable",
                    name.escape_debug()
                )));
            }
            found.push((name.to_owned(), Zeroizing::new(text)));
            Ok(())
        }
    }
}

fn program(job: &Job, setting: &Setting) -> Result<Program, program::Error> {
    let argv: Vec<OsString> = match job {
        Job::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        Job::Argv(argv) => argv.clone(),
    };
    let accounts = setting
        .user
        .as_ref()
        .map(|_| Accounts::read())
        .unwrap_or_default();
    let mut program = match &setting.user {
        None => Program::find(&argv[0])?.args(&argv[1..]),
        Some(user) => {
            // The user's own groups, and nothing of ours.
            let group = match accounts.group_of(user) {
                Some(group) => format!("--regid={group}"),
                None => format!("--regid={user}"),
            };
            Program::find("setpriv")?
                .arg(format!("--reuid={user}"))
                .arg(group)
                .arg("--init-groups")
                .arg("--")
                .args(&argv)
        }
    };
    if setting.pristine {
        program.command().env_clear();
    }
    if let Some(user) = &setting.user {
        let home = accounts.home(user).map(|home| ("HOME", home.to_owned()));
        let names = [("USER", user.clone()), ("LOGNAME", user.clone())];
        program.command().envs(names.into_iter().chain(home));
    }
    program
        .command()
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    Ok(program)
}

/// What env(1) says: 127 for a program that is not there, 126 for one that cannot run.
fn not_run(tell: &dyn Fn(&str), error: &dyn std::error::Error, status: u8) -> Status {
    tell(&ops_common::exit::describe(error));
    Status::Foreign(status)
}

/// 126 where a file of that name is there all the same, else 127.
fn missing(job: &Job) -> u8 {
    match job {
        Job::Argv(argv) if argv[0].as_bytes().contains(&b'/') && Path::new(&argv[0]).exists() => {
            126
        }
        _ => 127,
    }
}

/// Becomes the program, with the variables added. Comes back only if that fails.
pub fn env(
    job: &Job,
    setting: &Setting,
    variables: &[(String, Zeroizing<String>)],
    tell: &dyn Fn(&str),
) -> Status {
    let mut program = match program(job, setting) {
        Ok(program) => program,
        Err(error) => return not_run(tell, &error, missing(job)),
    };
    program
        .command()
        .envs(variables.iter().map(|(name, value)| (name, value.as_str())));
    if setting.background {
        let quiet = program.command().stdin(Stdio::null()).stdout(Stdio::null());
        quiet.stderr(Stdio::null());
        return match program.spawn() {
            Ok(_) => Status::Done,
            Err(error) => not_run(tell, &error, 126),
        };
    }
    let error = program.command().exec();
    let status = if error.kind() == std::io::ErrorKind::NotFound {
        127
    } else {
        126
    };
    not_run(tell, &error, status)
}

/// Puts the text into a file or a fifo in memory and runs the program, `{}` replaced by its path.
pub fn file(
    job: &Job,
    setting: &Setting,
    folder: &Folder,
    name: &str,
    text: &Zeroizing<Vec<u8>>,
    fifo: bool,
    tell: &dyn Fn(&str),
) -> Result<Status, Error> {
    let path = if fifo {
        serve(folder, name, text)?
    } else {
        folder.write(name, text, 0o600)?
    };
    let job = filled(job, &path);
    let mut program = match program(&job, setting) {
        Ok(program) => program,
        Err(error) => return Ok(not_run(tell, &error, missing(&job))),
    };
    let mut child = match program.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(not_run(tell, &error, 126)),
    };
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let guard = interrupt::guard(move || {
        if let Some(id) = id {
            let _ = kill_process(id, Signal::TERM);
        }
    });
    let ended = child.wait().map_err(|source| Error::File {
        attempt: "wait for the program of",
        path,
        source,
    })?;
    drop(guard);
    let code = ended.code().or(ended.signal().map(|signal| 128 + signal));
    Ok(Status::Foreign(
        code.and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX),
    ))
}

/// A fifo that gives the text to the first reader.
fn serve(folder: &Folder, name: &str, text: &Zeroizing<Vec<u8>>) -> Result<PathBuf, Error> {
    let path = folder.path().join(name);
    let failed = |source: std::io::Error| Error::File {
        attempt: "make the fifo",
        path: path.clone(),
        source,
    };
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .map_err(|error| failed(error.into()))?;
    let (fifo, text) = (path.clone(), text.clone());
    // Opening waits for a reader; a program that never reads leaves the thread to the end of the process.
    std::thread::spawn(move || {
        if let Ok(mut fifo) = std::fs::OpenOptions::new().write(true).open(fifo) {
            drop(fifo.write_all(&text));
        }
    });
    Ok(path)
}

/// The job with `{}` replaced by a path.
fn filled(job: &Job, path: &Path) -> Job {
    match job {
        Job::Shell(line) => Job::Shell(replaced(line, path)),
        Job::Argv(argv) => Job::Argv(argv.iter().map(|word| replaced(word, path)).collect()),
    }
}

fn replaced(text: &OsStr, path: &Path) -> OsString {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some(at) = rest.windows(2).position(|pair| pair == b"{}") {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(path.as_os_str().as_bytes());
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    OsString::from_vec(out)
}
