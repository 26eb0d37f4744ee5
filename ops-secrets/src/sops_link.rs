//! The command line of sops, when this program is called by that name: words in, words and statuses out, no logic.

use std::ffi::OsString;
use std::process::ExitCode;

use ops_common::exit::{Failure, Status};

use crate::error::Error;
use crate::{cipher, crypt, metadata};

/// The verbs that sops has and this program too.
const VERBS: [&str; 11] = [
    "encrypt",
    "decrypt",
    "edit",
    "rotate",
    "set",
    "unset",
    "updatekeys",
    "exec-env",
    "exec-file",
    "filestatus",
    "help",
];

/// What belongs to clouds and other machinery of sops.
const REFUSED: [&str; 26] = [
    "publish",
    "keyservice",
    "groups",
    "completion",
    "--kms",
    "-k",
    "--pgp",
    "-p",
    "--gcp-kms",
    "--azure-kv",
    "--hc-vault-transit",
    "--hckms",
    "--aws-profile",
    "--encryption-context",
    "--keyservice",
    "--add-kms",
    "--add-pgp",
    "--add-gcp-kms",
    "--add-azure-kv",
    "--add-hc-vault-transit",
    "--rm-kms",
    "--rm-pgp",
    "--rm-gcp-kms",
    "--rm-azure-kv",
    "--rm-hc-vault-transit",
    "--decryption-order",
];

/// Flags that say nothing here.
const IGNORED: [&str; 5] = [
    "--disable-version-check",
    "--check-for-updates",
    "--enable-local-keyservice",
    "--background",
    "--show-master-keys",
];

/// Why a command line of sops has no translation.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub String);

/// Whether the program was called by the name of sops.
#[must_use]
pub fn is_called(name: Option<&OsString>) -> bool {
    name.is_some_and(|name| {
        std::path::Path::new(name)
            .file_name()
            .is_some_and(|name| name == "sops")
    })
}

/// The words for this program's own command line.
pub fn translate(words: &[OsString]) -> Result<Vec<OsString>, Refused> {
    let mut verb: Option<&str> = None;
    let mut flags: Vec<OsString> = Vec::new();
    let mut set: Option<String> = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy();
        let name = text.split('=').next().unwrap_or("");
        if verb.is_none_or(|verb| verb != "exec-env" && verb != "exec-file")
            && REFUSED.contains(&name)
        {
            return Err(Refused(name.to_owned()));
        }
        match &*text {
            "-e" | "--encrypt" => verb = Some("encrypt"),
            "-d" | "--decrypt" => verb = Some("decrypt"),
            "-r" | "--rotate" => verb = Some("rotate"),
            "--set" => {
                set = rest
                    .next()
                    .map(|value| value.to_string_lossy().into_owned());
            }
            "--config" => {
                flags.push("--sops-config".into());
                flags.extend(rest.next().cloned());
            }
            "-s" => {}
            _ if IGNORED.contains(&name) => {}
            plain if verb.is_none() && flags.is_empty() && VERBS.contains(&plain) => {
                verb = VERBS.into_iter().find(|known| *known == plain);
            }
            _ => flags.push(word.clone()),
        }
    }
    assemble(verb, flags, set.as_deref())
}

/// The words in our order: verb, flags, the rest.
fn assemble(
    verb: Option<&str>,
    flags: Vec<OsString>,
    set: Option<&str>,
) -> Result<Vec<OsString>, Refused> {
    let mut out: Vec<OsString> = vec!["ops-secrets".into()];
    match (set, verb) {
        (Some(set), _) => {
            let (path, value) = split_set(set).ok_or_else(|| Refused(format!("--set {set}")))?;
            out.push("set".into());
            out.extend(
                flags
                    .into_iter()
                    .filter(|flag| flag != "-i" && flag != "--in-place"),
            );
            out.extend([path.into(), value.into()]);
        }
        (None, Some(verb)) => {
            out.push(verb.into());
            out.extend(flags);
        }
        (None, None)
            if flags.iter().all(|flag| {
                flag == "--version" || flag == "-v" || flag == "--help" || flag == "-h"
            }) =>
        {
            out.extend(flags);
        }
        (None, None) => {
            out.push("edit".into());
            out.extend(flags);
        }
    }
    Ok(out)
}

/// `["a"][0] value`: the path ends at the last bracket that a blank follows.
fn split_set(text: &str) -> Option<(String, String)> {
    let at = text.find("] ").map(|at| at + 1)?;
    Some((text[..at].to_owned(), text[at..].trim().to_owned()))
}

/// sops's status for a failure of ours.
#[must_use]
pub fn status(error: &Error) -> Status {
    Status::Foreign(match error {
        Error::Read(_) if error.status() != Status::NotAllowed => 100,
        Error::Read(_)
        | Error::Malformed { .. }
        | Error::NoText(_)
        | Error::Metadata {
            source: metadata::Fault::Missing,
            ..
        } => 2,
        Error::Write(_) | Error::File { .. } => 3,
        Error::Convert { .. } => 4,
        Error::Value(_) => 7,
        Error::Rules(_) | Error::Creation(_) => 8,
        Error::Encrypt { .. } => 23,
        Error::Decrypt {
            source:
                crypt::Fault::Mac | crypt::Fault::MacUnreadable(cipher::Fault::Tag) | crypt::Fault::Seal,
            ..
        } => 51,
        Error::Decrypt { .. } => 25,
        Error::NothingAt { .. } => 91,
        Error::Unlock { .. } => 128,
        Error::Editor { .. } => 201,
        Error::Already(_) => 203,
        _ => 1,
    })
}

/// Runs this program as sops.
#[must_use]
pub fn main(words: &[OsString]) -> ExitCode {
    match translate(words) {
        Ok(words) => ops_common::tool::main_from::<crate::cli::AsSops>(words),
        Err(Refused(word)) => {
            let report = ops_common::report::Report::new("sops", false, false, false);
            report.error(format_args!(
                "'{word}' is not there: this is ops-secrets, which works with age and SSH keys only"
            ));
            Status::Foreign(1).into()
        }
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
            ("-d a.yaml", "ops-secrets decrypt a.yaml"),
            (
                "--decrypt --extract x a.yaml",
                "ops-secrets decrypt --extract x a.yaml",
            ),
            ("-i -e a.yaml", "ops-secrets encrypt -i a.yaml"),
            ("a.yaml", "ops-secrets edit a.yaml"),
            ("decrypt -d", "ops-secrets decrypt"),
            ("exec-env a.yaml true", "ops-secrets exec-env a.yaml true"),
            ("--config c -e a", "ops-secrets encrypt --sops-config c a"),
        ] {
            assert_eq!(translate(&words(sops)), Ok(words(ours)), "{sops}");
        }
    }

    #[test]
    fn clouds_are_refused_by_name() {
        assert_eq!(
            translate(&words("-e --kms=arn a")),
            Err(Refused("--kms".to_owned()))
        );
        assert_eq!(
            translate(&words("publish a")),
            Err(Refused("publish".to_owned()))
        );
    }
}
