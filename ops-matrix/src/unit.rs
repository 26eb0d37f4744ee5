//! The homeserver's unit on a host, and everything about it that one question brings home.

use std::collections::{BTreeMap, BTreeSet};

use crate::listeners::{self, Listener};

/// The question: a script for `sh`, whose arguments are the names that the unit may have.
pub const QUESTION: &str = include_str!("unit.sh");

/// What the script found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Unit {
    /// Its name without `.service`.
    pub name: String,
    /// The properties of systemd.
    pub properties: BTreeMap<String, String>,
    /// The sockets on which its processes listen.
    pub listeners: Vec<Listener>,
    /// How the listeners were found out.
    pub by: Owner,
    /// Seconds since the unit became active.
    pub active_s: Option<f64>,
    /// The file system of its state.
    pub disk: Option<Disk>,
    /// The backups of its database, if it is set to make any.
    pub backups: Option<Backups>,
    /// Its journal since it was started, the newest last.
    pub journal: Vec<Line>,
    /// The login user may not read the journal.
    pub blind: bool,
}

/// How the sockets of a unit were told from those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owner {
    /// By the descriptors of its processes.
    Descriptors,
    /// By its user, where the descriptors may not be read.
    User,
    /// Not at all: it has no process.
    #[default]
    Nobody,
}

/// The place where the state is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The folder.
    pub folder: String,
    /// What the folder holds, if it could be measured in time.
    pub used_bytes: Option<u64>,
    /// What is free on its file system.
    pub free_bytes: u64,
    /// The size of the file system.
    pub size_bytes: u64,
}

/// The folder of backups that the conduwuit family makes of its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backups {
    /// Where they are.
    pub folder: String,
    /// How many there are.
    pub number: u64,
    /// Seconds since the newest was made.
    pub newest_age_s: Option<i64>,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Seconds since 1970.
    pub at_s: f64,
    /// What the program said.
    pub text: String,
}

/// What the answer of the script is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// None of the names is a unit.
    #[error("no such unit")]
    NoUnit,
    /// A section is missing.
    #[error("the section '{0}' is missing")]
    Section(&'static str),
}

impl Unit {
    /// Reads what the script printed.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let sections = sections(text);
        let section = |name: &'static str| {
            sections
                .get(name)
                .map(String::as_str)
                .ok_or(UnitError::Section(name))
        };
        let name = section("unit")?.trim().to_owned();
        if name.is_empty() {
            return Err(UnitError::NoUnit);
        }
        let properties: BTreeMap<_, _> = section("show")?
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let clock = Clock::parse(section("clock")?);
        let (listeners, by) = owned(section("listeners")?, section("sockets")?);
        Ok(Self {
            active_s: clock
                .and_then(|clock| clock.since(properties.get("ActiveEnterTimestampMonotonic")?)),
            disk: disk(section("disk")?),
            backups: backups(section("backup")?),
            blind: !section("blind")?.trim().is_empty(),
            journal: section("journal")?.lines().filter_map(line).collect(),
            name,
            properties,
            listeners,
            by,
        })
    }

    /// A property of systemd, empty where it has none.
    #[must_use]
    pub fn property(&self, name: &str) -> &str {
        self.properties.get(name).map_or("", String::as_str)
    }
}

fn sections(text: &str) -> BTreeMap<&str, String> {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        match line.strip_prefix("::section ") {
            // The journal comes last: whatever a log line says is no section.
            Some(name) if current != Some("journal") => {
                current = Some(name);
                sections.entry(name).or_default();
            }
            _ => {
                if let Some(section) = current.and_then(|name| sections.get_mut(name)) {
                    section.push_str(line);
                    section.push('\n');
                }
            }
        }
    }
    sections
}

/// The clocks of the host.
struct Clock {
    uptime_s: f64,
}

impl Clock {
    fn parse(text: &str) -> Option<Self> {
        Some(Self {
            uptime_s: text.split_ascii_whitespace().next()?.parse().ok()?,
        })
    }

    /// The age of an instant that systemd gives in microseconds since the machine started.
    fn since(&self, monotonic: &str) -> Option<f64> {
        let micros: f64 = monotonic.parse().ok()?;
        (micros > 0.0).then(|| (self.uptime_s - micros / 1e6).max(0.0))
    }
}

/// The listeners that belong to the unit: by inode where its descriptors could be read, else by its user.
fn owned(tables: &str, sockets: &str) -> (Vec<Listener>, Owner) {
    let inodes: BTreeSet<u64> = listeners::socket_inodes(sockets);
    let user = sockets
        .lines()
        .find_map(|line| line.strip_prefix("uid "))
        .and_then(|uid| uid.trim().parse::<u32>().ok());
    let (mut found, by) = match (inodes.is_empty(), user) {
        (false, _) => {
            let all = listeners::parse(tables);
            (
                all.into_iter()
                    .filter(|one| inodes.contains(&one.inode))
                    .collect::<Vec<_>>(),
                Owner::Descriptors,
            )
        }
        // root's own descriptors can always be read by root: then there is no socket.
        (true, Some(uid)) if uid != 0 => (listeners::of_user(tables, uid), Owner::User),
        (true, Some(_)) => (Vec::new(), Owner::Descriptors),
        (true, None) => (Vec::new(), Owner::Nobody),
    };
    found.sort();
    found.dedup();
    (found, by)
}

/// `FOLDER`, the size in KiB of what it holds (or `-`), and the size and free KiB of its file system.
fn disk(text: &str) -> Option<Disk> {
    let mut words = text.split('\t').map(str::trim);
    let folder = words.next().filter(|folder| !folder.is_empty())?.to_owned();
    let used = words.next()?.parse::<u64>().ok();
    let mut kib = || words.next()?.parse::<u64>().ok().map(|kib| kib * 1024);
    Some(Disk {
        folder,
        used_bytes: used.map(|kib| kib * 1024),
        size_bytes: kib()?,
        free_bytes: kib()?,
    })
}

/// `FOLDER`, the number of backups, and the seconds since 1970 of the newest and of now.
fn backups(text: &str) -> Option<Backups> {
    let mut words = text.split('\t').map(str::trim);
    let folder = words.next().filter(|folder| !folder.is_empty())?.to_owned();
    let number = words.next()?.parse().ok()?;
    let newest: Option<i64> = words.next()?.parse().ok();
    let now: i64 = words.next()?.parse().ok()?;
    Some(Backups {
        folder,
        number,
        newest_age_s: newest.map(|newest| now - newest),
    })
}

/// A line of `journalctl -o short-unix`: `SECONDS HOST PROGRAM[PID]: TEXT`.
fn line(line: &str) -> Option<Line> {
    let (at, rest) = line.split_once(' ')?;
    let (_, text) = rest.split_once("]: ").or_else(|| rest.split_once(": "))?;
    Some(Line {
        at_s: at.parse().ok()?,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "::section unit
continuwuity
::section show
Id=continuwuity.service
ActiveState=active
SubState=running
ActiveEnterTimestampMonotonic=100000000
::section clock
160.50 300.00
::section listeners
   0: 0100007F:1F48 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 41234 1
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17 1
::section sockets
uid 998
lrwx------ 1 u g 64 Nov 24 09:00 7 -> socket:[41234]
::section disk
/var/lib/continuwuity\t2048\t1000\t500
::section backup
/var/backups/continuwuity\t2\t1795400000\t1795450000
::section blind
::section journal
1795450208.492267 box conduwuit[123]: 2026-11-23T16:10:08Z  INFO x: Listening on [127.0.0.1:8008]
::section unit
-- No entries --
";

    #[test]
    fn the_answer_of_a_host_is_read() {
        let unit = Unit::parse(ANSWER).expect("an answer");
        assert_eq!(
            (
                unit.name.as_str(),
                unit.property("SubState"),
                unit.property("Nonsense")
            ),
            ("continuwuity", "running", "")
        );
        assert_eq!(unit.active_s, Some(60.5));
        let addresses: Vec<_> = unit
            .listeners
            .iter()
            .map(|one| one.address.to_string())
            .collect();
        assert_eq!(
            (addresses, unit.by),
            (vec!["127.0.0.1:8008".to_owned()], Owner::Descriptors)
        );
        let disk = unit.disk.expect("a disk");
        assert_eq!(
            (disk.used_bytes, disk.size_bytes, disk.free_bytes),
            (Some(2_097_152), 1_024_000, 512_000)
        );
        let backups = unit.backups.expect("backups");
        assert_eq!(
            (
                backups.folder.as_str(),
                backups.number,
                backups.newest_age_s
            ),
            ("/var/backups/continuwuity", 2, Some(50_000))
        );
        assert_eq!(unit.journal.len(), 1);
        assert!(
            unit.journal[0].text.ends_with("[127.0.0.1:8008]"),
            "{:?}",
            unit.journal
        );
    }

    #[test]
    fn without_the_descriptors_the_user_decides() {
        let blind = ANSWER.replace("socket:[41234]", "");
        let unit = Unit::parse(&blind).expect("an answer");
        assert_eq!((unit.listeners.len(), unit.by), (1, Owner::User));
        let stopped = blind.replace("uid 998", "");
        assert_eq!(Unit::parse(&stopped).expect("an answer").by, Owner::Nobody);
    }

    #[test]
    fn no_unit_and_a_cut_answer_are_told_apart() {
        assert_eq!(Unit::parse("::section unit\n\n"), Err(UnitError::NoUnit));
        assert_eq!(
            Unit::parse("::section unit\nx\n"),
            Err(UnitError::Section("show"))
        );
        assert_eq!(Unit::parse(""), Err(UnitError::Section("unit")));
    }
}
