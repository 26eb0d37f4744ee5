//! The command line of sops, when this program is called by that name: words in, words and statuses out, no logic.
//!
//! `line.rs` knows the flags and verbs of sops; here they become ours, and our failures its statuses.

mod line;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use ops_common::exit::{Failure as _, Status};
use ops_common::{output, report};

use crate::cli::AsSops;
use crate::error::Error;
use crate::{cipher, crypt, environment, metadata};

use line::Becomes::{Nothing, Ours, Refused, Same, Verb};
use line::{FLAGS, Given, Line, VERBS, check_order, check_path, joined, split_set};

/// Formats that sops knows by name; others it ignores.
const TYPES: [&str; 5] = ["yaml", "json", "dotenv", "ini", "binary"];

/// Why a command line of sops has no translation, and the status that sops has for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Untranslated {
    /// What to tell.
    pub message: String,
    /// The status.
    pub status: u8,
}

fn fail<T>(status: u8, message: impl Into<String>) -> Result<T, Untranslated> {
    Err(Untranslated {
        message: message.into(),
        status,
    })
}

/// Whether the program was called by the name of sops.
#[must_use]
pub fn is_called(name: Option<&OsString>) -> bool {
    name.is_some_and(|name| {
        std::path::Path::new(name)
            .file_name()
            .is_some_and(|name| name == "sops")
    })
}

impl Line {
    /// The verb: its own word, or the last that a flag stands for, in the order in which sops did them.
    fn verb(&self) -> &'static str {
        let old = FLAGS
            .iter()
            .rev()
            .find_map(|(name, .., becomes)| match becomes {
                Verb(verb) if self.has(name) => Some(*verb),
                _ => None,
            });
        self.verb.or(old).unwrap_or("edit")
    }

    /// What sops refuses before it does anything, in its order and with its statuses.
    fn check(&self, verb: &str) -> Result<(), Untranslated> {
        let (_, least, status) = *VERBS
            .iter()
            .find(|(name, ..)| *name == verb)
            .unwrap_or(&VERBS[2]);
        let least = match verb {
            "set" if self.has("value-stdin") => 2,
            _ if self.modern => least,
            _ => 1,
        };
        if self.has("value-file") && self.has("value-stdin") {
            return fail(1, "cannot use both --value-file and --value-stdin");
        }
        if self.words.len() < least {
            return fail(
                status,
                format!("'{verb}' needs {least} words behind its flags"),
            );
        }
        if self.words.is_empty() && self.has("in-place") {
            return fail(8, "cannot use --in-place when reading from stdin");
        }
        if self.words.is_empty() && verb == "encrypt" && !self.has("filename-override") {
            return fail(
                8,
                "must specify --filename-override when reading from stdin",
            );
        }
        if self.has("in-place") && self.has("output") {
            return fail(8, "cannot operate on both --output and --in-place");
        }
        if let Some(file) = self
            .words
            .first()
            .filter(|file| !std::path::Path::new(file).exists())
        {
            let file = file.display();
            if self.has("add-age") || self.has("rm-age") {
                return fail(
                    49,
                    format!("cannot add or remove keys on non-existent file '{file}'"),
                );
            }
            if verb == "filestatus" {
                return fail(1, format!("cannot check the status of '{file}'"));
            }
            if matches!(verb, "encrypt" | "decrypt") || (verb == "rotate" && !self.modern) {
                return fail(100, format!("cannot operate on non-existent file '{file}'"));
            }
        }
        Ok(())
    }

    /// The words behind the flags as our verb takes them, and flags that they turn into.
    fn placed(&mut self, verb: &str) -> Result<Vec<OsString>, Untranslated> {
        let mut flags = Vec::new();
        if verb == "set" && !self.modern {
            let text = self
                .value("set")
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let Some((path, value)) = split_set(&text) else {
                return fail(7, format!("--set needs a path and a value, not '{text}'"));
            };
            self.words.truncate(1);
            self.words.extend([path.into(), value.into()]);
        }
        if verb == "set" && self.has("value-file") && self.words.len() == 3 {
            flags.push(joined("value-file", &self.words.split_off(2)[0]));
        }
        if matches!(verb, "set" | "unset") {
            check_path(7, &self.words[1])?;
        }
        if verb == "decrypt" {
            let path = self.value("extract").filter(|path| !path.is_empty());
            path.map_or(Ok(()), |path| check_path(91, path))?;
        }
        if self.words.is_empty() && !self.has("input-type") && !self.has("filename-override") {
            flags.push("--input-type=binary".into());
        }
        Ok(flags)
    }
}

impl Given {
    /// A flag in our words; nothing if the verb has no use for it.
    fn ours(&self, verb: &str, known: &clap::Command) -> Result<Option<OsString>, Untranslated> {
        let name = match self.becomes {
            Same => self.name,
            Ours(name) => name,
            Verb(_) | Nothing | Refused => return Ok(None),
        };
        let taken = known
            .get_arguments()
            .any(|argument| argument.get_long() == Some(name));
        let value = self.value.as_deref();
        let idle = match name {
            "input-type" | "output-type" => !TYPES
                .iter()
                .any(|kind| value.is_some_and(|value| value == *kind)),
            "extract" => value.is_some_and(std::ffi::OsStr::is_empty),
            "value-file" => true,
            _ => false,
        };
        if !taken && self.of_verb && name != "shamir-secret-sharing-threshold" {
            return fail(1, format!("'{verb}' has no flag '--{name}'"));
        }
        Ok((taken && !idle).then(|| match value {
            Some(value) => joined(name, value),
            None => format!("--{name}").into(),
        }))
    }
}

/// A line of sops in our words.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// The words for this program's own command line.
    pub words: Vec<OsString>,
    /// Words that sops ignores too.
    pub ignored: Vec<OsString>,
}

/// The words for this program's own command line.
pub fn translate(words: &[OsString]) -> Result<Translated, Untranslated> {
    let mut line = Line::read(words)?;
    let mut out: Vec<OsString> = vec!["ops-secrets".into()];
    if line.has("help") || (line.has("version") && !line.modern) {
        out.extend(line.verb.map(OsString::from));
        out.push(if line.has("help") {
            "--help".into()
        } else {
            "--version".into()
        });
        return Ok(Translated {
            words: out,
            ..Translated::default()
        });
    }
    let verb = line.verb();
    line.check(verb)?;
    let placed = line.placed(verb)?;
    let command = AsSops::command();
    let known = command.find_subcommand(verb).unwrap_or(&command);
    out.extend(line.has("verbose").then(|| "--verbose".into()));
    out.push(verb.into());
    for flag in line.flags.iter().filter(|flag| flag.name != "verbose") {
        out.extend(flag.ours(verb, known)?);
    }
    out.extend(placed);
    let one = matches!(
        verb,
        "encrypt" | "decrypt" | "edit" | "rotate" | "filestatus"
    );
    let ignored = if one && line.words.len() > 1 {
        line.words.split_off(1)
    } else {
        Vec::new()
    };
    if !verb.starts_with("exec-") {
        out.push("--".into());
    }
    out.extend(line.words);
    Ok(Translated {
        words: out,
        ignored,
    })
}

/// sops's status for a failure of ours, met while encrypting a plain file or while working on an encrypted one.
#[must_use]
pub fn status(error: &Error, encrypting: bool) -> Status {
    Status::Foreign(match error {
        Error::Read(_) => 2,
        Error::Malformed { .. } if encrypting => 2,
        Error::Write(_) | Error::File { .. } => 3,
        Error::Convert { .. } => 4,
        Error::Value(_) => 7,
        Error::Rules(_) => 8,
        Error::Encrypt { .. } => 23,
        Error::Decrypt {
            source: crypt::Fault::Metadata(metadata::Fault::Field("lastmodified")),
            ..
        } => 1,
        Error::Decrypt {
            source:
                crypt::Fault::Metadata(metadata::Fault::Field("mac"))
                | crypt::Fault::Mac
                | crypt::Fault::MacUnreadable(cipher::Fault::Tag)
                | crypt::Fault::Seal
                | crypt::Fault::SealVersion(_),
            ..
        } => 51,
        Error::Decrypt { .. } => 25,
        Error::Unlock { .. } => 128,
        Error::Editor { .. } | Error::Program(_) => 201,
        Error::Already(_) => 203,
        _ => 1,
    })
}

/// sops's status for an editor that ended well.
#[must_use]
pub fn edited(changed: bool) -> Status {
    if changed {
        Status::Done
    } else {
        Status::Foreign(200)
    }
}

/// The one failure that scripts know by sops's words: told in them, with its status.
#[must_use]
pub fn told(error: &Error) -> Option<Status> {
    let Error::EmptyGroup(_) = error else {
        return None;
    };
    // Nobody is left to tell if stderr is gone.
    drop(std::io::stderr().write_all(b"Could not generate data key: [empty key group provided]\n"));
    Some(Status::Foreign(1))
}

/// Runs this program as sops.
#[must_use]
pub fn main(words: &[OsString]) -> ExitCode {
    let report = report::Report::new("sops", false, false, false);
    let translated =
        check_order(environment::decryption_order().as_deref()).and_then(|()| translate(words));
    let translated = match translated {
        Ok(translated) => translated,
        Err(Untranslated { message, status }) => {
            report.error(message);
            return Status::Foreign(status).into();
        }
    };
    for word in &translated.ignored {
        report.warn(format_args!(
            "'{}' is ignored: one file is worked on, and flags stand before it",
            word.display()
        ));
    }
    if translated
        .words
        .last()
        .is_some_and(|word| word == "--version")
    {
        let text = format!(
            "sops {} (ops-secrets {})\n",
            metadata::VERSION,
            env!("CARGO_PKG_VERSION")
        );
        return match output::print(&text) {
            Ok(()) => Status::Done.into(),
            Err(error) => error.status().into(),
        };
    }
    match AsSops::try_parse_from(&translated.words) {
        Err(error) if error.use_stderr() => {
            report.error(
                error
                    .render()
                    .to_string()
                    .trim_start_matches("error: ")
                    .trim_end(),
            );
            Status::Foreign(1).into()
        }
        _ => ops_common::tool::main_from::<AsSops>(translated.words),
    }
}

#[cfg(test)]
mod tests {
    use super::line::absent;
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_old_flags_become_verbs() {
        for (sops, ours) in [
            ("-d /", "decrypt -- /"),
            ("--decrypt --extract [0] /", "decrypt --extract=[0] -- /"),
            ("-i -e /", "encrypt --in-place -- /"),
            ("-e -d /", "decrypt -- /"),
            ("a.yaml", "edit -- a.yaml"),
            ("decrypt / --output=x", "decrypt --output=x -- /"),
            ("exec-env a.yaml true", "exec-env a.yaml true"),
            ("--config c -e /", "encrypt --sops-config=c -- /"),
            ("-d --age x --output-type odd /", "decrypt -- /"),
            ("--verbose -d /", "--verbose decrypt -- /"),
            ("set --value-file a [0] b", "set --value-file=b -- a [0]"),
            ("-v", "--version"),
            ("decrypt -h", "decrypt --help"),
        ] {
            let translated = translate(&words(sops)).unwrap();
            assert_eq!(translated.words[1..], words(ours), "{sops}");
        }
    }

    #[test]
    fn words_that_sops_ignores_are_ignored() {
        let translated = translate(&words("-d / --output-type json")).unwrap();
        assert_eq!(translated.ignored, words("--output-type json"));
    }

    #[test]
    fn clouds_are_refused_by_name() {
        for (line, name) in [
            ("-e --kms=arn a", "--kms"),
            (
                "rotate --add-hc-vault-transit x a",
                "--add-hc-vault-transit",
            ),
            ("publish a", "publish"),
        ] {
            let refused = translate(&words(line)).unwrap_err();
            assert_eq!((refused.message, refused.status), (absent(name), 1));
        }
    }
}
