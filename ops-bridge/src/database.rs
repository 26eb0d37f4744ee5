//! What the bridge's database knows: portals, logins, the last messages. Tokens are never selected.

use jiff::Timestamp;
use ops_common::host::{Command, Host};
use ops_common::output::Record;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::settings::Settings;

/// The questions, for both generations of the schema.
pub(crate) const SQL: &str = include_str!("database.sql");

/// The generations of the schema that are known.
const VERSIONS: std::ops::RangeInclusive<u32> = 9..=29;
const LEGACY_VERSIONS: std::ops::RangeInclusive<u32> = 1..=16;

/// The answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    pub(crate) schema: Schema,
    pub(crate) portals: Vec<Portal>,
    pub(crate) logins: Vec<Login>,
    pub(crate) last: Vec<Last>,
}

/// Whose database it is.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Schema {
    pub(crate) owner: String,
    pub(crate) version: u32,
    pub(crate) compat: u32,
    pub(crate) generation: String,
}

/// A Slack conversation and its room.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Portal {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `channel`, `dm`, `group_dm` or `space`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) mxid: Option<String>,
    pub(crate) in_space: bool,
    pub(crate) receiver: String,
    pub(crate) parent_id: Option<String>,
    /// What is wrong with it, if anything: `duplicate`, `no room`, `not in space`, `no name`.
    #[serde(default)]
    pub(crate) trouble: String,
}

impl Record for Portal {
    const COLUMNS: &'static [&'static str] = &["id", "name", "type", "mxid", "in_space", "trouble"];
}

/// Somebody who is logged in to Slack.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Login {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) name: Option<String>,
    pub(crate) has_token: bool,
    pub(crate) token_kind: Option<String>,
    pub(crate) has_app_token: bool,
    pub(crate) space_room: Option<String>,
}

impl Record for Login {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "user",
        "name",
        "token_kind",
        "has_token",
        "has_app_token",
        "space_room",
    ];
}

/// The last message of one direction.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Last {
    pub(crate) direction: String,
    pub(crate) count: u64,
    /// Slack's time of it, in microseconds.
    pub(crate) at: i64,
}

impl Last {
    /// When it was sent, by Slack's clock.
    pub(crate) fn instant(&self) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.at).ok()
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Row {
    Schema(Schema),
    Portal(Portal),
    Login(Login),
    Last(Last),
}

/// Asks the database of a host.
pub(crate) fn ask(host: &Host, settings: &Settings) -> Result<Database, Error> {
    let psql = Command::new("psql").args([
        "-XAtq",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        "-",
        "-d",
        &settings.database,
    ]);
    let failed = |reason: String| Error::Database {
        database: settings.database.clone(),
        host: host.name().to_owned(),
        reason,
    };
    let ended = host.run(&psql.stdin(SQL).as_user(&settings.db_user))?;
    if !ended.success() {
        return Err(failed(if ended.status == 127 {
            "psql is not there".to_owned()
        } else {
            ended.complaint()
        }));
    }
    Database::read(&String::from_utf8_lossy(&ended.stdout)).map_err(|reason| Error::Schema {
        database: settings.database.clone(),
        reason,
    })
}

impl Database {
    /// Reads the rows, one JSON object each.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut database = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match serde_json::from_str(line).map_err(|error| format!("not a row: {error}"))? {
                Row::Schema(schema) => database.schema = schema,
                Row::Portal(portal) => database.portals.push(portal),
                Row::Login(login) => database.logins.push(login),
                Row::Last(last) => database.last.push(last),
            }
        }
        database.schema.check()?;
        mark_troubles(&mut database.portals);
        Ok(database)
    }
}

impl Schema {
    fn check(&self) -> Result<(), String> {
        let known = match self.generation.as_str() {
            "bridgev2" if self.compat > *VERSIONS.end() => {
                return Err(format!(
                    "schema version {} needs a newer ops-bridge",
                    self.version
                ));
            }
            "bridgev2" => self.version >= *VERSIONS.start(),
            "legacy" => LEGACY_VERSIONS.contains(&self.version),
            _ => return Err("its tables are not there".to_owned()),
        };
        let owners = ["", "megabridge/mautrix-slack", "mautrix-slack"];
        if !owners.contains(&self.owner.as_str()) {
            return Err(format!("it belongs to {}", self.owner));
        }
        if known {
            Ok(())
        } else {
            Err(format!("schema version {}", self.version))
        }
    }
}

/// Says of each portal what is wrong with it.
fn mark_troubles(portals: &mut [Portal]) {
    let ids: Vec<String> = portals
        .iter()
        .filter(|portal| portal.kind != "space")
        .map(|portal| portal.id.clone())
        .collect();
    for portal in portals {
        if portal.kind.is_empty() {
            "channel".clone_into(&mut portal.kind);
        }
        if portal.kind == "space" {
            continue;
        }
        let mut troubles = Vec::new();
        if ids.iter().filter(|id| **id == portal.id).count() > 1 {
            troubles.push("duplicate");
        }
        if portal.mxid.is_none() {
            troubles.push("no room");
        } else if !portal.in_space && portal.kind == "channel" {
            troubles.push("not in space");
        }
        if portal.name.trim_start_matches('#').is_empty() {
            troubles.push("no name");
        }
        portal.trouble = troubles.join(", ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"kind":"schema","owner":"megabridge/mautrix-slack","version":29,"compat":9,"generation":"bridgev2"}"#;

    #[test]
    fn troubles_of_portals_are_named() {
        let portal = |id: &str,
                      name: &str,
                      kind: &str,
                      mxid: &str,
                      in_space: bool,
                      receiver: &str| {
            format!(
                r#"{{"kind":"portal","id":"{id}","receiver":"{receiver}","name":"{name}","type":"{kind}","mxid":{mxid},"in_space":{in_space},"parent_id":"T1"}}"#
            )
        };
        let rows = [
            SCHEMA.to_owned(),
            portal("T1", "Acme", "space", "\"!s:ex.org\"", false, ""),
            portal("T1-C1", "#general", "", "\"!a:ex.org\"", true, ""),
            portal("T1-C2", "#", "", "\"!b:ex.org\"", false, ""),
            portal("T1-C3", "#x", "", "null", false, "T1-U1"),
            portal("T1-C3", "#x", "", "\"!c:ex.org\"", true, "T1-U2"),
        ];
        let database = Database::read(&rows.join("\n")).unwrap();
        let troubles: Vec<_> = database
            .portals
            .iter()
            .map(|portal| portal.trouble.as_str())
            .collect();
        assert_eq!(
            troubles,
            [
                "",
                "",
                "not in space, no name",
                "duplicate, no room",
                "duplicate"
            ]
        );
        assert_eq!(database.portals[1].kind, "channel");
    }

    #[test]
    fn other_databases_are_refused() {
        let schema = |owner: &str, version: u32, compat: u32, generation: &str| {
            Database::read(&format!(
                r#"{{"kind":"schema","owner":"{owner}","version":{version},"compat":{compat},"generation":"{generation}"}}"#
            ))
        };
        assert!(schema("megabridge/mautrix-slack", 31, 9, "bridgev2").is_ok());
        assert!(
            schema("megabridge/mautrix-signal", 29, 9, "bridgev2")
                .unwrap_err()
                .contains("mautrix-signal")
        );
        assert!(schema("megabridge/mautrix-slack", 99, 90, "bridgev2").is_err());
        assert!(schema("mautrix-slack", 16, 0, "legacy").is_ok());
        assert!(schema("", 0, 0, "").is_err());
        assert!(Database::read("").is_err());
    }
}
