//! Makes the lab, and runs commands in it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use ops_tests::program::Result;
use ops_tests::{layer, outer, person, tree};

const HELP: &str = "\
ops-lab: real machines to test against, in a network without a way out

  ops-lab build             make what hosts are booted from (kept under target/lab)
  ops-lab run -- CMD ...    run CMD in a new lab; all of the lab ends with it
                            (where there is one already, in that; --new: in one of its own)
  ops-lab up NAME:KIND ...  keep a lab with these hosts (plain, postgres, platform) until `down`
  ops-lab down              end that lab
  ops-lab missing           say what this machine lacks for a lab; status 1 if anything
";

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(dashes) = args.iter().take(3).position(|arg| arg == "--") {
        args.remove(dashes);
    }
    let verb = args
        .first()
        .map(|verb| verb.to_string_lossy().into_owned())
        .unwrap_or_default();
    let rest = args.get(1..).unwrap_or_default();
    match dispatch(&verb, rest) {
        Ok(status) => status,
        Err(error) => {
            writeln!(io::stderr(), "ops-lab: error: {error}").ok();
            ExitCode::from(70)
        }
    }
}

fn dispatch(verb: &str, rest: &[OsString]) -> Result<ExitCode> {
    match (verb, rest) {
        ("build", []) => tree::make().map(|()| ExitCode::SUCCESS),
        ("run", [new, command @ ..]) if new == "--new" => outer::anew(command).map(end),
        ("run", [_, ..]) => outer::run(rest).map(end),
        ("up", _) => person::up(rest).map(|()| ExitCode::SUCCESS),
        ("down", []) => person::down().map(|()| ExitCode::SUCCESS),
        ("missing", []) => {
            Ok(outer::missing().map_or(ExitCode::SUCCESS, |reason| say_missing(&reason)))
        }
        // For the program itself, inside.
        ("inside", [_, ..]) => outer::inside(rest).map(end),
        ("layer", [name, out]) => {
            layer::make(&name.to_string_lossy(), Path::new(out)).map(|()| ExitCode::SUCCESS)
        }
        ("hold", _) => person::hold(rest).map(end),
        ("hosts", _) => person::hosts(rest).map(|()| ExitCode::SUCCESS),
        _ => {
            io::stderr().write_all(HELP.as_bytes()).ok();
            Ok(ExitCode::from(2))
        }
    }
}

fn say_missing(reason: &str) -> ExitCode {
    writeln!(io::stdout(), "{reason}").ok();
    ExitCode::from(1)
}

/// Ends as the command ended: with its status, or of its signal.
fn end(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal() {
        signal_hook::low_level::emulate_default_handler(signal).ok();
    }
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(70))
}
