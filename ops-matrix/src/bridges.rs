//! Where a bridge and the homeserver look for each other: names in the bridge's configuration and in its registration, which
//! fall into the same trap as those of the proxy.

use ops_common::check::{Check, State};
use ops_common::host::{Command, Host};
use ops_common::hosts::fan_out;
use serde_json::json;
use serde_yaml::Value;

use crate::base;
use crate::discovery::Answer;
use crate::error::Error;
use crate::reach::{self, Silent};
use crate::view::View;

/// A name by which a bridge and the homeserver find each other.
pub const CHECK: &str = "matrix.bridge_url";

/// The question: a script for `sh`, whose arguments are the units of bridges.
const QUESTION: &str = include_str!("bridges.sh");

/// A file of a bridge, without the lines that are nobody's business.
#[derive(Debug, Clone, PartialEq)]
struct File {
    path: String,
    kind: Kind,
    /// Whether its bridge runs.
    runs: bool,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Config,
    Registration,
    Unreadable,
}

/// Judges every name in the files of these units; a unit that the host does not have has none.
pub fn look(host: &Host, view: &View<'_>, units: &[String]) -> Result<Vec<Check>, Error> {
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let said = host.output(&Command::script(QUESTION, units))?;
    let files = split(&String::from_utf8_lossy(&said));
    let judged = fan_out(&files, 8, |file| judge(view, file));
    Ok(judged.into_iter().flatten().collect())
}

fn split(text: &str) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    let mut runs = false;
    for line in text.lines() {
        let mut words = line.split(' ');
        let kind = match words.next() {
            Some("::unit") => {
                runs = words.nth(1) == Some("active");
                continue;
            }
            Some("::config") => Kind::Config,
            Some("::registration") => Kind::Registration,
            Some("::unreadable") => Kind::Unreadable,
            _ => {
                if let Some(file) = files.last_mut() {
                    file.text.push_str(line);
                    file.text.push('\n');
                }
                continue;
            }
        };
        files.push(File {
            path: words.collect::<Vec<_>>().join(" "),
            kind,
            runs,
            text: String::new(),
        });
    }
    files
}

fn judge(view: &View<'_>, file: &File) -> Vec<Check> {
    if file.kind == Kind::Unreadable {
        let message = "the login user may not read it";
        return vec![Check::unknown(CHECK, &file.path, message).fix("use --sudo")];
    }
    let Ok(document) = serde_yaml::from_str::<Value>(&file.text) else {
        return vec![Check::fail(CHECK, &file.path, "it is not YAML")];
    };
    if file.kind == Kind::Registration {
        return url(view, file, &document, "url", bridge(file))
            .into_iter()
            .collect();
    }
    let homeserver = Silent {
        state: State::Fail,
        fix: "'ops-matrix status' shows where the homeserver really listens",
    };
    [
        url(view, file, &document, "homeserver.address", homeserver),
        url(view, file, &document, "appservice.address", bridge(file)),
        bound(view, file, &document),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A bridge that does not run is silent, and that is not the fault of a name.
fn bridge(file: &File) -> Silent {
    Silent {
        state: if file.runs { State::Fail } else { State::Warn },
        fix: "'ops-bridge status' shows whether the bridge runs",
    }
}

/// The value of a path of keys.
fn value<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(document, |inner, key| inner.get(key))
        .filter(|found| !found.is_null())
}

/// `FILE:LINE KEY` of the line in which the last key of the path stands with this text.
fn subject(file: &File, path: &str, text: &str) -> String {
    let key = path.rsplit('.').next().unwrap_or(path);
    let stands = |line: &str| line.contains(&format!("{key}:")) && line.contains(text);
    match file.text.lines().position(stands) {
        Some(before) => format!("{}:{} {path}", file.path, before + 1),
        None => format!("{} {path}", file.path),
    }
}

fn url(
    view: &View<'_>,
    file: &File,
    document: &Value,
    path: &str,
    silent: Silent,
) -> Option<Check> {
    let text = value(document, path)?.as_str()?;
    let subject = subject(file, path, text);
    Some(match base::parse_url(text) {
        Ok(url) => reach::check(view, CHECK, &subject, &url, silent),
        // Over a socket file, or over a websocket that the bridge opens itself.
        Err(_) if text.is_empty() || text == "websocket" || text.starts_with("unix:") => {
            Check::ok(CHECK, subject, "no name to look up")
        }
        Err(error) => Check::fail(CHECK, subject, error.to_string()),
    })
}

/// A program that binds a name takes one of its addresses, and whoever dials another one is refused.
fn bound(view: &View<'_>, file: &File, document: &Value) -> Option<Check> {
    let host = value(document, "appservice.hostname")?.as_str()?;
    let port = value(document, "appservice.port")?.as_u64()?;
    let port = u16::try_from(port).ok()?;
    let subject = subject(file, "appservice.hostname", host);
    let endpoints = match view.endpoints(host, port) {
        Answer::Found(endpoints) => endpoints,
        Answer::Absent => {
            let message = format!("'{host}' has no address to listen on");
            return Some(Check::fail(CHECK, subject, message));
        }
        Answer::Failed(reason) => return Some(Check::unknown(CHECK, subject, reason)),
    };
    let listed: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
    let data = json!({"addresses": listed});
    let check = match listed.as_slice() {
        [one] => Check::ok(CHECK, subject, format!("listens on {one}")),
        several => Check::warn(
            CHECK,
            subject,
            format!(
                "'{host}' is {}: the bridge listens on one of them only",
                several.join(" and ")
            ),
        )
        .fix("write the address on which it shall listen: 127.0.0.1"),
    };
    Some(check.data(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "::unit mautrix-slack active
::config /var/lib/mautrix-slack/config.yaml

homeserver:
    # Where it is.
    address: http://localhost:8008

appservice:
    address: http://127.0.0.1:29335
    hostname: 127.0.0.1
    port: 29335
::registration /var/lib/mautrix-slack/registration.yaml
id: slack

url: http://localhost:29335
::unit other inactive
::unreadable /var/lib/other/config.yaml
";

    #[test]
    fn the_files_of_each_bridge_are_told_apart() {
        let files = split(SAID);
        let told: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_str(), file.kind, file.runs))
            .collect();
        assert_eq!(
            told,
            [
                ("/var/lib/mautrix-slack/config.yaml", Kind::Config, true),
                (
                    "/var/lib/mautrix-slack/registration.yaml",
                    Kind::Registration,
                    true
                ),
                ("/var/lib/other/config.yaml", Kind::Unreadable, false),
            ]
        );
    }

    #[test]
    fn a_value_is_found_with_its_line() {
        let files = split(SAID);
        let document: Value = serde_yaml::from_str(&files[0].text).expect("YAML");
        let address = value(&document, "homeserver.address").and_then(Value::as_str);
        assert_eq!(address, Some("http://localhost:8008"));
        assert_eq!(
            subject(&files[0], "homeserver.address", "http://localhost:8008"),
            "/var/lib/mautrix-slack/config.yaml:4 homeserver.address"
        );
        assert_eq!(value(&document, "homeserver.nothing"), None);
        assert_eq!(
            subject(&files[1], "url", "http://localhost:29335"),
            "/var/lib/mautrix-slack/registration.yaml:3 url"
        );
    }
}
