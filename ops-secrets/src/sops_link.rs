//! The command line of sops, when this program is called by that name: words in, words and statuses out, no logic.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use ops_common::exit::{Failure as _, Status};
use ops_common::{output, report};

use crate::cli::AsSops;
use crate::error::Error;
use crate::path::Path;
use crate::{cipher, crypt, environment, metadata};

/// What becomes of a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Becomes {
    /// The same flag.
    Same,
    /// A flag of ours.
    Ours(&'static str),
    /// The verb, as sops had it before it had verbs.
    Verb(&'static str),
    /// Nothing: it says nothing here.
    Nothing,
    /// An error: it belongs to clouds and other machinery of sops.
    Refused,
}

/// A flag of sops: its names, whether a value follows, and what becomes of it.
type Flag = (&'static str, &'static str, bool, Becomes);

use Becomes::{Nothing, Ours, Refused, Same, Verb};

const FLAGS: [Flag; 58] = [
    ("encrypt", "e", false, Verb("encrypt")),
    ("decrypt", "d", false, Verb("decrypt")),
    ("rotate", "r", false, Verb("rotate")),
    ("set", "", true, Verb("set")),
    ("in-place", "i", false, Same),
    ("output", "", true, Same),
    ("extract", "", true, Same),
    ("input-type", "", true, Same),
    ("output-type", "", true, Same),
    ("filename-override", "", true, Same),
    ("ignore-mac", "", false, Same),
    ("age", "a", true, Same),
    ("add-age", "", true, Same),
    ("rm-age", "", true, Same),
    ("idempotent", "", false, Same),
    ("value-file", "", false, Same),
    ("value-stdin", "", false, Same),
    ("unencrypted-suffix", "", true, Same),
    ("encrypted-suffix", "", true, Same),
    ("unencrypted-regex", "", true, Same),
    ("encrypted-regex", "", true, Same),
    ("unencrypted-comment-regex", "", true, Same),
    ("encrypted-comment-regex", "", true, Same),
    ("mac-only-encrypted", "", false, Same),
    ("shamir-secret-sharing-threshold", "", true, Same),
    ("indent", "", true, Same),
    ("config", "", true, Ours("sops-config")),
    ("verbose", "", false, Same),
    ("yes", "y", false, Same),
    ("pristine", "", false, Same),
    ("user", "", true, Same),
    ("same-process", "", false, Same),
    ("background", "", false, Same),
    ("no-fifo", "", false, Same),
    ("filename", "", true, Same),
    ("version", "v", false, Same),
    ("help", "h", false, Same),
    ("decryption-order", "", true, Nothing),
    ("disable-version-check", "", false, Nothing),
    ("check-for-updates", "", false, Nothing),
    ("enable-local-keyservice", "", false, Nothing),
    ("show-master-keys", "s", false, Nothing),
    ("kms", "k", true, Refused),
    ("pgp", "p", true, Refused),
    ("gcp-kms", "", true, Refused),
    ("hckms", "", true, Refused),
    ("azure-kv", "", true, Refused),
    ("hc-vault-transit", "", true, Refused),
    ("aws-profile", "", true, Refused),
    ("encryption-context", "", true, Refused),
    ("keyservice", "", true, Refused),
    ("add-kms", "", true, Refused),
    ("add-pgp", "", true, Refused),
    ("add-gcp-kms", "", true, Refused),
    ("add-hckms", "", true, Refused),
    ("add-azure-kv", "", true, Refused),
    ("rm-kms", "", true, Refused),
    ("rm-pgp", "", true, Refused),
];

/// The verbs that sops has and this program too, with how many words follow their flags at least, and the status for fewer.
const VERBS: [(&str, usize, u8); 10] = [
    ("encrypt", 0, 100),
    ("decrypt", 0, 100),
    ("edit", 1, 100),
    ("rotate", 1, 100),
    ("set", 3, 100),
    ("unset", 2, 100),
    ("updatekeys", 1, 100),
    ("exec-env", 2, 1),
    ("exec-file", 2, 1),
    ("filestatus", 1, 100),
];

/// Verbs of sops that this program does without.
const NO_VERBS: [&str; 4] = ["publish", "keyservice", "groups", "completion"];

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

/// A flag as it stands in a line.
struct Given {
    name: &'static str,
    becomes: Becomes,
    value: Option<OsString>,
    /// Whether it came behind the verb, where sops takes only those of the verb.
    of_verb: bool,
}

/// A command line of sops, taken apart.
#[derive(Default)]
struct Line {
    verb: Option<&'static str>,
    flags: Vec<Given>,
    words: Vec<OsString>,
    /// Whether the verb was given as one: then flags may follow the words.
    modern: bool,
}

impl Line {
    fn read(words: &[OsString]) -> Result<Self, Untranslated> {
        let mut line = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let text = word.to_string_lossy();
            let open = line.words.is_empty() || line.modern;
            if text == "--" {
                line.words.extend(rest.by_ref().cloned());
            } else if let Some(name) = text
                .strip_prefix('-')
                .filter(|name| open && !name.is_empty())
            {
                if let Some(known) = line.flag(name.strip_prefix('-').unwrap_or(name), &mut rest)? {
                    line.flags.push(known);
                } else if line.words.is_empty() {
                    return fail(1, format!("flag provided but not defined: {text}"));
                } else {
                    line.words.push(word.clone());
                }
            } else if line.words.is_empty() && !line.modern {
                line.first(word)?;
            } else {
                line.words.push(word.clone());
            }
        }
        Ok(line)
    }

    /// The first word that is no flag: a verb, or the file of the old command line.
    fn first(&mut self, word: &OsString) -> Result<(), Untranslated> {
        if let Some(name) = NO_VERBS.iter().find(|name| word == **name) {
            return fail(1, absent(name));
        }
        if word == "help" || word == "h" {
            self.flags.push(Given {
                name: "help",
                becomes: Same,
                value: None,
                of_verb: false,
            });
        } else if let Some((verb, ..)) = VERBS.iter().find(|(verb, ..)| word == *verb) {
            (self.verb, self.modern) = (Some(*verb), true);
        } else {
            self.words.push(word.clone());
        }
        Ok(())
    }

    /// A flag with its value; nothing if sops has none of that name.
    fn flag<'w>(
        &self,
        text: &str,
        rest: &mut impl Iterator<Item = &'w OsString>,
    ) -> Result<Option<Given>, Untranslated> {
        let (name, joined) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        let known =
            |(long, short, ..): &&Flag| *long == name || (!short.is_empty() && *short == name);
        // Those of clouds come in more names than are worth a line each.
        let cloudy = ["add-", "rm-"].iter().any(|start| name.starts_with(start));
        let Some((long, _, valued, becomes)) = FLAGS.iter().find(known) else {
            return if cloudy {
                fail(1, absent(&format!("--{name}")))
            } else {
                Ok(None)
            };
        };
        let value = match joined {
            Some(value) => Some(value.into()),
            None if *valued => Some(match rest.next() {
                Some(value) => value.clone(),
                None => return fail(1, format!("flag needs an argument: -{name}")),
            }),
            None => None,
        };
        let off = !valued && value.as_ref().is_some_and(|value| value == "false");
        match becomes {
            Refused => return fail(1, absent(&format!("--{long}"))),
            Nothing if *long == "enable-local-keyservice" && off => {
                return fail(1, absent("--keyservice"));
            }
            Nothing if *long == "decryption-order" => check_order(value.as_deref())?,
            _ => {}
        }
        let becomes = if off { Nothing } else { *becomes };
        Ok(Some(Given {
            name: long,
            becomes,
            value: value.filter(|_| *valued),
            of_verb: self.modern,
        }))
    }

    fn has(&self, name: &str) -> bool {
        self.flags
            .iter()
            .any(|flag| flag.name == name && flag.becomes != Nothing)
    }

    fn value(&self, name: &str) -> Option<&std::ffi::OsStr> {
        let found = self.flags.iter().rev().find(|flag| flag.name == name);
        found.and_then(|flag| flag.value.as_deref())
    }

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

    /// A flag in our words; nothing if the verb has no use for it.
    fn ours(
        &self,
        verb: &str,
        known: &clap::Command,
        flag: &Given,
    ) -> Result<Option<OsString>, Untranslated> {
        let name = match flag.becomes {
            Same => flag.name,
            Ours(name) => name,
            Verb(_) | Nothing | Refused => return Ok(None),
        };
        let taken = known
            .get_arguments()
            .any(|argument| argument.get_long() == Some(name));
        let value = flag.value.as_deref();
        let idle = match name {
            "input-type" | "output-type" => !TYPES
                .iter()
                .any(|kind| value.is_some_and(|value| value == *kind)),
            "extract" => value.is_some_and(std::ffi::OsStr::is_empty),
            "value-file" => true,
            _ => false,
        };
        if !taken && flag.of_verb && name != "shamir-secret-sharing-threshold" {
            return fail(1, format!("'{verb}' has no flag '--{name}'"));
        }
        Ok((taken && !idle).then(|| match value {
            Some(value) => joined(name, value),
            None => format!("--{name}").into(),
        }))
    }
}

fn absent(word: &str) -> String {
    format!("'{word}' is not there: this is ops-secrets, which works with age and SSH keys only")
}

fn check_order(order: Option<&std::ffi::OsStr>) -> Result<(), Untranslated> {
    let order = order
        .map(std::ffi::OsStr::to_string_lossy)
        .unwrap_or_default();
    let kinds: Vec<&str> = order.split(',').filter(|kind| !kind.is_empty()).collect();
    match kinds
        .iter()
        .enumerate()
        .find(|(index, kind)| kinds[..*index].contains(kind))
    {
        Some((_, kind)) => fail(112, format!("duplicate decryption key type: {kind}")),
        None => Ok(()),
    }
}

fn check_path(status: u8, path: &std::ffi::OsStr) -> Result<(), Untranslated> {
    match path.to_string_lossy().parse::<Path>() {
        Ok(_) => Ok(()),
        Err(message) => fail(status, message),
    }
}

fn joined(name: &str, value: &std::ffi::OsStr) -> OsString {
    let mut word = OsString::from(format!("--{name}="));
    word.push(value);
    word
}

/// `["a"][0] value`: the path ends at the first bracket that a blank follows.
fn split_set(text: &str) -> Option<(String, String)> {
    let at = text.find("] ").map(|at| at + 1)?;
    Some((text[..at].to_owned(), text[at..].trim().to_owned()))
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
        out.extend(line.ours(verb, known, flag)?);
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
        Error::Malformed { .. } | Error::NoText(_) if encrypting => 2,
        Error::Write(_) | Error::File { .. } => 3,
        Error::Convert { .. } => 4,
        Error::Value(_) => 7,
        Error::Rules(_) => 8,
        Error::Encrypt { .. } => 23,
        Error::Decrypt {
            source:
                crypt::Fault::Mac | crypt::Fault::MacUnreadable(cipher::Fault::Tag) | crypt::Fault::Seal,
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
