//! The way to a server's socket as the system user that peer authentication wants to see.
//!
//! On this machine a thread of ours takes the uid of that user and connects. On a host, systemd opens a socket that only
//! the login user can use, and a proxy of that uid behind it; both last as long as the command that holds them, so they
//! end with the connection. Where neither works, the host's psql is left, for verbs that only look.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use ops_common::host::{Command, Finished, Host, Process};
use ops_common::hosts;
use ops_common::report::Report;
use rustix::process::{Gid, Uid};

use crate::copied::{self, Row};
use crate::error::Error;
use crate::origin::Origin;
use crate::server::{Dial, Session, joined};
use crate::settings::Settings;

/// Every session and program that only looks is told so first.
pub const READ_ONLY: &str = "SET default_transaction_read_only = on";
/// What quotes mean and which characters come may be set otherwise for a database; whoever reads SQL or text has to know.
pub const UNDERSTOOD: &str = "SET standard_conforming_strings = on; SET client_encoding = 'UTF8'";

/// Limits of time that are set for a role or a database are meant for its clients. No version of the server has fewer than
/// the first of them.
const STEADY: &str = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN \
    ('statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";

/// Names in our own questions mean what the server brings along, whatever somebody has made in a database and put in its path:
/// who asks is often a superuser.
const OWN_NAMES: &str = "SET search_path = ''";

/// A server on a host, and the role to be on it.
pub struct Server<'a> {
    host: &'a Host,
    report: Report,
    settings: Settings,
    role: String,
    door: Mutex<Option<Arc<Door>>>,
}

/// A way in.
struct Door {
    dial: Dial,
    /// What the machine behind it calls itself, and its number.
    machine: [String; 2],
    holder: Mutex<Option<Process>>,
}

impl Drop for Door {
    /// The socket on the host is removed when its holder's input ends; waiting for that leaves nothing behind.
    fn drop(&mut self) {
        let holder = self
            .holder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Process {
            stdin,
            stdout,
            running,
        }) = holder
        {
            drop((stdin, stdout));
            drop(running.wait());
        }
    }
}

/// Looks at one database, and cannot change it.
pub struct Looker<'a> {
    server: &'a Server<'a>,
    database: String,
    session: Option<Session>,
    settings: &'static [&'static str],
}

impl Looker<'_> {
    /// The rows of a small answer.
    pub fn rows(&self, select: &str) -> Result<Vec<Row>, Error> {
        let mut text = Vec::new();
        self.copy(&format!("COPY ({select}) TO STDOUT"), &mut text)?;
        Ok(copied::rows(&text))
    }

    /// Passes on what a `COPY ... TO STDOUT` says.
    pub fn copy(&self, copy: &str, output: &mut dyn Write) -> Result<(), Error> {
        if let Some(session) = &self.session {
            return session.copy_out(copy, output);
        }
        let statements = [self.settings, &[copy]].concat();
        self.server.psql(&self.database, &statements, output)
    }

    /// The names of the columns that a query would give; none where only psql can be asked.
    pub fn columns(&self, select: &str) -> Result<Vec<String>, Error> {
        self.session
            .as_ref()
            .map_or(Ok(Vec::new()), |session| session.columns(select))
    }
}

impl<'a> Server<'a> {
    /// The server of `host` that the settings name.
    #[must_use]
    pub fn new(host: &'a Host, settings: &Settings, role: Option<&str>, report: &Report) -> Self {
        let role = role.unwrap_or(&settings.superuser).to_owned();
        Self {
            host,
            report: report.about(host.name()),
            settings: settings.clone(),
            role,
            door: Mutex::new(None),
        }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Host {
        self.host
    }

    /// Which host that is, by the name it was asked by and by its own.
    pub fn origin(&self) -> Result<Origin, Error> {
        let [machine, machine_id] = match self.door() {
            Ok(door) => door.machine.clone(),
            Err(Error::NoWay { .. }) => {
                let said = self.host.output(&Command::script::<&str>(MACHINE, &[]))?;
                words(&String::from_utf8_lossy(&said))
            }
            Err(error) => return Err(error),
        };
        Ok(Origin {
            host: self.host.name().to_owned(),
            machine,
            machine_id,
        })
    }

    /// What the configuration says.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A session with a database.
    pub fn session(&self, database: &str) -> Result<Session, Error> {
        Session::open(&self.door()?.dial, &self.role, database)
    }

    /// A session of our own for a backup or a restore, which take as long as they take.
    pub fn steady(&self, database: &str) -> Result<Session, Error> {
        let session = self.session(database)?;
        session.execute(&format!("{OWN_NAMES}; {STEADY}"))?;
        Ok(session)
    }

    /// The same for statements of somebody else, where names mean what they mean in the database.
    pub fn patient(&self, database: &str) -> Result<Session, Error> {
        let session = self.session(database)?;
        session.execute(STEADY)?;
        Ok(session)
    }

    /// A way to open a session later, from anywhere in the process.
    pub fn opener(
        &self,
        database: &str,
    ) -> Result<impl Fn() -> Result<Session, Error> + Send + Sync + use<>, Error> {
        let (dial, role, database) = (
            self.door()?.dial.clone(),
            self.role.clone(),
            database.to_owned(),
        );
        Ok(move || Session::open(&dial, &role, &database))
    }

    fn door(&self) -> Result<Arc<Door>, Error> {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = &*door {
            return Ok(door.clone());
        }
        let found = Arc::new(if self.host.is_local() {
            self.local()?
        } else {
            self.remote()?
        });
        Ok(door.insert(found).clone())
    }

    fn local(&self) -> Result<Door, Error> {
        let path = self.settings.socket_path();
        let me = rustix::process::geteuid();
        let (uid, gid) = self.system_user()?;
        if uid != me && !me.is_root() {
            return Err(Error::NoWay {
                host: self.host.name().to_owned(),
                reason: format!("only root and '{}' can be '{0}' on it", self.role),
            });
        }
        let dial = move || {
            let failed = |source| Error::Dial {
                path: path.clone(),
                source,
            };
            if uid == me {
                return UnixStream::connect(&path).map_err(failed);
            }
            dial_as(&path, uid, gid).map_err(failed)
        };
        Ok(Door {
            dial: Arc::new(dial),
            machine: [hosts::this_machine(), this_number()],
            holder: Mutex::new(None),
        })
    }

    fn system_user(&self) -> Result<(Uid, Gid), Error> {
        let asked = Command::script("id -u -- \"$1\" && id -g -- \"$1\"", &[&self.role]);
        let said = self.host.run(&asked)?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let mut numbers = said.lines().filter_map(|line| line.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
            _ => Err(self.no_user()),
        }
    }

    fn no_user(&self) -> Error {
        Error::NoUser {
            host: self.host.name().to_owned(),
            role: self.role.clone(),
        }
    }

    fn remote(&self) -> Result<Door, Error> {
        let id = format!("{:08x}", std::process::id());
        let holder = Command::script(
            HOLDER,
            &[self.role.as_str(), &self.settings.socket_path(), &id],
        );
        let mut process = self.host.spawn(&holder)?;
        let mut path = String::new();
        BufReader::new(&mut process.stdout)
            .read_line(&mut path)
            .map_err(Error::Stream)?;
        if path.is_empty() {
            let ended = process.wait()?;
            return Err(match ended.status {
                67 => self.no_user(),
                _ => Error::NoWay {
                    host: self.host.name().to_owned(),
                    reason: ended.complaint(),
                },
            });
        }
        let (path, machine) = path.trim_end().split_once(' ').unwrap_or((&path, ""));
        let (host, path, machine) = (self.host.clone(), path.to_owned(), words(machine));
        let dial = move || {
            let stream = host.connect_unix(&path)?;
            joined(stream).map_err(Error::Stream)
        };
        Ok(Door {
            dial: Arc::new(dial),
            machine,
            holder: Mutex::new(Some(process)),
        })
    }

    /// Something that only looks at `database`, with questions of our own: a session, or the host's psql where none can be had.
    pub fn looker(&self, database: &str) -> Result<Looker<'_>, Error> {
        self.looker_with(database, &[READ_ONLY, UNDERSTOOD, OWN_NAMES])
    }

    /// The same for a question of somebody else, where names mean what they mean in the database.
    pub fn looker_for_client(&self, database: &str) -> Result<Looker<'_>, Error> {
        self.looker_with(database, &[READ_ONLY, UNDERSTOOD])
    }

    fn looker_with(
        &self,
        database: &str,
        settings: &'static [&'static str],
    ) -> Result<Looker<'_>, Error> {
        let session = match self.session(database) {
            Ok(session) => {
                session.execute(&settings.join("; "))?;
                Some(session)
            }
            Err(Error::NoWay { reason, .. }) => {
                self.report
                    .note(format_args!("asking psql on the host: {reason}"));
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Looker {
            server: self,
            database: database.to_owned(),
            session,
            settings,
        })
    }

    /// The rows of a small answer.
    pub fn rows(&self, database: &str, select: &str) -> Result<Vec<Row>, Error> {
        self.looker(database)?.rows(select)
    }

    fn psql(
        &self,
        database: &str,
        statements: &[&str],
        output: &mut dyn Write,
    ) -> Result<(), Error> {
        let mut psql =
            Command::new("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]);
        psql = psql.args(self.address(database));
        for statement in statements {
            psql = psql.args(["-c", statement]);
        }
        let ended = self.host.stream(&psql.as_user(&self.role), output)?;
        if ended.success() {
            return Ok(());
        }
        Err(self.failed("psql", &ended))
    }

    /// A program of the host that ended with something else than 0.
    #[must_use]
    pub fn failed(&self, program: &'static str, ended: &Finished) -> Error {
        let complaint = String::from_utf8_lossy(&ended.stderr);
        let reason = complaint.trim().lines().collect::<Vec<_>>().join(": ");
        Error::Program {
            host: self.host.name().to_owned(),
            program,
            status: ended.status,
            reason,
        }
    }

    /// The flags by which the host's own programs find the database.
    #[must_use]
    pub fn address(&self, database: &str) -> [String; 5] {
        let (folder, port) = self.settings.address();
        let value = database.replace('\\', "\\\\").replace('\'', "\\'");
        let dbname = format!("--dbname=dbname='{value}'");
        [
            format!("--host={folder}"),
            format!("--port={port}"),
            format!("--username={}", self.role),
            "--no-password".to_owned(),
            dbname,
        ]
    }

    /// The system user that the host's programs run as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.role
    }

    /// Where warnings and notes go.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// What went wrong with `pg_dump`, and what the server said to it: the last line is about the statement.
#[must_use]
pub fn said(ended: &Finished) -> String {
    const SERVER: &str = "detail: Error message from server: ";
    let text = String::from_utf8_lossy(&ended.stderr);
    let Some(error) = text.lines().find(|line| line.contains("error:")) else {
        return ended.complaint();
    };
    let server = text
        .lines()
        .find_map(|line| Some(line.split_once(SERVER)?.1));
    match server {
        Some(server) => format!("{error}: {server}"),
        None => error.to_owned(),
    }
}

/// What a machine calls itself, and its number.
const MACHINE: &str = r#"echo "$(uname -n) $(cat /etc/machine-id 2>/dev/null)""#;

/// The first two words; nothing for one that is missing.
fn words(text: &str) -> [String; 2] {
    let mut words = text.split_whitespace().map(str::to_owned);
    [(); 2].map(|()| words.next().unwrap_or_default())
}

/// The number of this machine, if it has one.
fn this_number() -> String {
    let text = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    text.trim_end().to_owned()
}

/// Connects from a thread that has another user's uid: the kernel notes the credentials of who connects.
fn dial_as(path: &str, uid: Uid, gid: Gid) -> std::io::Result<UnixStream> {
    let path = path.to_owned();
    let dialled = std::thread::spawn(move || {
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        UnixStream::connect(path)
    });
    dialled
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread that connects has died")))
}

/// Opens the socket, says where it is, and removes it when its input ends: with the connection, whatever ended that.
/// Sockets whose holder was killed are removed by the next one.
const HOLDER: &str = r#"role=$1 target=$2 id=$3
[ "$(id -u)" = 0 ] || { echo "only root can open a way to the socket of '$role' (--sudo helps)" >&2; exit 69; }
id -u -- "$role" >/dev/null 2>&1 || exit 67
command -v systemd-run >/dev/null || { echo "systemd-run is not there" >&2; exit 69; }
for folder in /run/current-system/systemd/lib/systemd /usr/lib/systemd /lib/systemd; do
  [ -x "$folder/systemd-socket-proxyd" ] && proxy=$folder/systemd-socket-proxyd && break
done
[ -n "$proxy" ] || { echo "systemd-socket-proxyd is not there" >&2; exit 69; }
[ -S "$target" ] || { echo "there is no socket '$target'" >&2; exit 69; }
for unit in $(systemctl list-units --all --plain --no-legend 'ops-db-*.socket' | cut -d' ' -f1); do
  holder=${unit#ops-db-}
  grep -q systemd-socket-proxyd "/proc/${holder%%-*}/cmdline" 2>/dev/null || systemctl stop "$unit" "${unit%.socket}.service" 2>/dev/null
done
name=ops-db-$$-$id
trap 'systemctl stop "$name.socket" "$name.service" 2>/dev/null' EXIT
trap 'exit 143' HUP INT TERM PIPE
systemd-run --quiet --collect --unit="$name" --uid="$role" --socket-property=ListenStream="/run/$name.sock" \
  --socket-property=SocketMode=0600 --socket-property=SocketUser="${SUDO_USER:-root}" --socket-property=RemoveOnStop=yes \
  "$proxy" --exit-idle-time=10s "$target" >&2 || exit 69
echo "/run/$name.sock $(uname -n) $(cat /etc/machine-id 2>/dev/null)"
read -r end
exit 0"#;
