//! `pg_dump` on a host, and the truth about how it ended.

use std::io::{self, Write};

use ops_common::host::{self, Command, Process};
use ops_common::span::Span;

use crate::error::Error;
use crate::reach::Server;
use crate::source::Format;
use crate::tee::{Broken, tee};
use crate::{archive, plain};

/// What a whole dump held.
pub enum Scan {
    /// Of a custom archive.
    Archive(archive::Scan),
    /// Of plain SQL.
    Plain(plain::Scan),
}

/// A dump to be made.
#[derive(Clone)]
pub struct Dump<'a> {
    /// Where.
    pub server: &'a Server<'a>,
    /// Of which database.
    pub database: &'a str,
    /// In which form.
    pub format: Format,
    /// How long it may wait behind somebody's lock.
    pub lock_wait: Span,
    /// More flags for `pg_dump`.
    pub flags: Vec<String>,
    /// Told how much more has been written, each time.
    pub seen: &'a (dyn Fn(u64) + Sync),
}

impl Dump<'_> {
    /// The command line, for the record.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let form: &[&str] = match self.format {
            Format::Archive => &["--format=custom", "--compress=0"],
            Format::Plain => &["--format=plain"],
        };
        let own = std::iter::once(&"pg_dump")
            .chain(form)
            .map(|word| (*word).to_owned());
        let own = own.chain([format!(
            "--lock-wait-timeout={}",
            self.lock_wait.duration().as_millis()
        )]);
        own.chain(self.flags.iter().cloned())
            .chain(self.server.address(self.database))
            .collect()
    }

    /// The shell around `pg_dump` reports that it was killed.
    fn named(&self, error: host::Error) -> Error {
        match error {
            host::Error::Killed { signal, status, .. } => Error::Host(host::Error::Killed {
                subject: format!("'pg_dump' on '{}'", self.server.host().name()),
                signal,
                status,
            }),
            error => Error::Host(error),
        }
    }

    /// Writes the dump to `sink`. It has succeeded only if `pg_dump` ended with 0 and the parse of what came found its end.
    pub fn write(
        &self,
        sink: &mut dyn Write,
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<Scan, Error> {
        let command = self.command();
        let command = Command::script(WATCHED, &command).as_user(self.server.user());
        let Process {
            stdin,
            mut stdout,
            running,
        } = self.server.host().spawn(&command)?;
        let mut sink = Seen {
            sink,
            seen: self.seen,
        };
        let (copied, scan) = tee(&mut stdout, &mut sink, |copy| match self.format {
            Format::Archive => archive::scan(copy)
                .map(Scan::Archive)
                .map_err(|damage| damage.to_string()),
            Format::Plain => plain::scan(copy)
                .map(Scan::Plain)
                .map_err(|damage| damage.to_string()),
        });
        if let Err(Broken::Sink(error)) = copied {
            return Err(failed(error));
        }
        drop(stdout);
        let ended = running.wait().map_err(|error| self.named(error))?;
        drop(stdin);
        if !ended.success() {
            // The limit on waiting for locks is the only one of time that is set.
            let reason = crate::reach::said(&ended).replace("statement timeout", "lock timeout");
            let host = self.server.host().name().to_owned();
            return Err(Error::Program {
                host,
                program: "pg_dump",
                status: ended.status,
                reason,
            });
        }
        if let Err(Broken::Source(error)) = copied {
            return Err(Error::Stream(error));
        }
        scan.map_err(|damage| Error::Damaged {
            name: self.database.to_owned(),
            damage,
        })
    }
}

/// Runs a program that ends when its input does, and with the connection: while it waits for a lock it writes nothing, so it
/// would not notice by itself that nobody listens any more.
const WATCHED: &str = r#"exec 3<&0
"$@" </dev/null 3<&- & program=$!
{ read -r end <&3; kill "$program"; } >/dev/null 2>&1 & watch=$!
wait "$program"; status=$?
kill "$watch" 2>/dev/null
exit "$status""#;

/// Tells how much passes.
struct Seen<'a> {
    sink: &'a mut dyn Write,
    seen: &'a (dyn Fn(u64) + Sync),
}

impl Write for Seen<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        (self.seen)(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
