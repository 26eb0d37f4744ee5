//! The wire protocol. The only file that names `postgres` and what lies under it.
//!
//! A session is one connection over a stream of ours. Everything larger than a row is passed on as it comes.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ops_common::interrupt::{self, Guard};
use postgres::error::SqlState;
use postgres::{NoTls, SimpleQueryMessage};
use tokio::runtime::Runtime;

use crate::copied::Row;
use crate::error::Error;

/// A server that does not close within this time has a fault of its own.
const CANCELLED: Duration = Duration::from_secs(5);

/// Opens one more connection to the same server: for a session, or to cancel what another does.
pub type Dial = Arc<dyn Fn() -> Result<UnixStream, Error> + Send + Sync>;

/// One connection to a database, as one role.
pub struct Session {
    runtime: Runtime,
    client: tokio_postgres::Client,
    dial: Dial,
}

impl Session {
    /// Connects to `database` as `role`.
    pub fn open(dial: &Dial, role: &str, database: &str) -> Result<Self, Error> {
        let failed = |source| Error::Open {
            database: database.to_owned(),
            role: role.to_owned(),
            source: source_of(&source),
        };
        let stream = dial()?;
        stream.set_nonblocking(true).map_err(Error::Stream)?;
        let runtime = runtime()?;
        let client = runtime.block_on(async {
            let stream = tokio::net::UnixStream::from_std(stream).map_err(Error::Stream)?;
            let mut config = tokio_postgres::Config::new();
            config
                .user(role)
                .dbname(database)
                .application_name("ops-db");
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            Ok::<_, Error>(client)
        })?;
        Ok(Self {
            runtime,
            client,
            dial: dial.clone(),
        })
    }

    /// Runs statements and gives the rows of the last that has any: for small answers only.
    pub fn rows(&self, sql: &str) -> Result<Vec<Row>, Error> {
        let _guard = self.cancelled_by_signals();
        let messages = self
            .runtime
            .block_on(self.client.simple_query(sql))
            .map_err(failed)?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|index| row.get(index).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Runs statements whose answer nobody needs.
    pub fn execute(&self, sql: &str) -> Result<(), Error> {
        self.rows(sql).map(drop)
    }

    /// The first value of the first row.
    pub fn value(&self, sql: &str) -> Result<String, Error> {
        let first = self
            .rows(sql)?
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        Ok(first.flatten().unwrap_or_default())
    }

    /// The names of the columns that a query would give. It is not run.
    pub fn columns(&self, sql: &str) -> Result<Vec<String>, Error> {
        let statement = self
            .runtime
            .block_on(self.client.prepare(sql))
            .map_err(failed)?;
        Ok(statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect())
    }

    /// Passes on what a `COPY ... TO STDOUT` says.
    pub fn copy_out(&self, sql: &str, output: &mut dyn Write) -> Result<(), Error> {
        let _guard = self.cancelled_by_signals();
        self.runtime.block_on(async {
            let stream = self.client.copy_out(sql).await.map_err(failed)?;
            let mut stream = std::pin::pin!(stream);
            while let Some(bytes) = stream.next().await {
                output
                    .write_all(&bytes.map_err(failed)?)
                    .map_err(Error::Write)?;
            }
            Ok(())
        })
    }

    /// Sends the rows that `next` gives, until it gives none, to a `COPY ... FROM STDIN`.
    pub fn copy_in(
        &self,
        sql: &str,
        next: &mut dyn FnMut() -> Result<Option<Vec<u8>>, Error>,
    ) -> Result<(), Error> {
        let _guard = self.cancelled_by_signals();
        self.runtime.block_on(async {
            let sink = self
                .client
                .copy_in::<_, io::Cursor<Vec<u8>>>(sql)
                .await
                .map_err(failed)?;
            let mut sink = std::pin::pin!(sink);
            while let Some(rows) = next()? {
                sink.send(io::Cursor::new(rows)).await.map_err(failed)?;
            }
            sink.finish().await.map_err(failed)?;
            Ok(())
        })
    }

    /// Runs any statements, row by row in constant memory: names of columns first, then values.
    pub fn each_row(
        &self,
        sql: &str,
        take: &mut dyn FnMut(Answer<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _guard = self.cancelled_by_signals();
        self.runtime.block_on(async {
            let stream = self.client.simple_query_raw(sql).await.map_err(failed)?;
            let mut stream = std::pin::pin!(stream);
            while let Some(message) = stream.next().await {
                match message.map_err(failed)? {
                    SimpleQueryMessage::RowDescription(columns) => {
                        let names: Vec<&str> = columns
                            .iter()
                            .map(tokio_postgres::SimpleColumn::name)
                            .collect();
                        take(Answer::Columns(&names))?;
                    }
                    SimpleQueryMessage::Row(row) => {
                        let values: Vec<_> = (0..row.len()).map(|index| row.get(index)).collect();
                        take(Answer::Row(&values))?;
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }

    /// While this lives, Ctrl-C cancels on the server what the session is doing, and then ends the process.
    fn cancelled_by_signals(&self) -> Interruptible {
        let (token, dial) = (self.client.cancel_token(), self.dial.clone());
        let is_interrupted = Arc::new(AtomicBool::new(false));
        let flag = is_interrupted.clone();
        let guard = interrupt::guard(move || {
            flag.store(true, Ordering::SeqCst);
            if let (Ok(stream), Ok(runtime)) = (dial(), runtime()) {
                drop(cancel(&runtime, stream, &token));
            }
        });
        Interruptible {
            is_interrupted,
            _guard: guard,
        }
    }
}

/// Something that a signal cancels.
struct Interruptible {
    is_interrupted: Arc<AtomicBool>,
    _guard: Guard,
}

impl Drop for Interruptible {
    /// A query that was cancelled fails, but the process is to die of the signal and not of that: its end is near.
    fn drop(&mut self) {
        while self.is_interrupted.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

/// Asks the server to give up what a session does, and waits until it has heard: it closes the connection then.
fn cancel(
    runtime: &Runtime,
    stream: UnixStream,
    token: &tokio_postgres::CancelToken,
) -> io::Result<()> {
    let mut answer = stream.try_clone()?;
    stream.set_nonblocking(true)?;
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(stream)?;
        token
            .cancel_query_raw(stream, NoTls)
            .await
            .map_err(io::Error::other)
    })?;
    answer.set_nonblocking(false)?;
    answer.set_read_timeout(Some(CANCELLED))?;
    answer.read(&mut [0]).map(drop)
}

/// A piece of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// Names of the columns of the rows that follow.
    Columns(&'a [&'a str]),
    /// One row.
    Row(&'a [Option<&'a str>]),
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(Error::Stream)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn failed(error: postgres::Error) -> Error {
    Error::Query(source_of(&error))
}

/// What the server said, or why it could not be heard.
#[derive(Debug)]
pub struct Refusal {
    /// The five characters of the SQL standard; empty when the connection failed.
    pub state: String,
    message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

fn source_of(error: &postgres::Error) -> Refusal {
    let Some(said) = error.as_db_error() else {
        return Refusal {
            state: String::new(),
            message: ops_common::exit::describe(error),
        };
    };
    let mut message = said.message().to_owned();
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        message.push_str(": ");
        message.push_str(more);
    }
    Refusal {
        state: said.code().code().to_owned(),
        message,
    }
}

impl Refusal {
    /// Whether the server wants a password, of which we know none.
    #[must_use]
    pub fn wants_password(&self) -> bool {
        self.state.is_empty() && self.message.contains("password missing")
    }

    /// Whether the role may not do it, or not connect at all.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.state.starts_with("28")
            || self.wants_password()
            || self.is_read_only()
            || self.state == SqlState::INSUFFICIENT_PRIVILEGE.code()
    }

    /// Whether something was to be changed by a session that only looks.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.state == SqlState::READ_ONLY_SQL_TRANSACTION.code()
    }

    /// Whether the same may work later: too many connections, a lock, a server that starts.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.state.starts_with("53") && self.state != SqlState::DISK_FULL.code()
            || [
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::LOCK_NOT_AVAILABLE,
                SqlState::QUERY_CANCELED,
                SqlState::OBJECT_IN_USE,
            ]
            .iter()
            .any(|state| state.code() == self.state)
    }

    /// Whether a role or a setting was named that is not there.
    #[must_use]
    pub fn is_of_something_unknown(&self) -> bool {
        [
            SqlState::UNDEFINED_OBJECT,
            SqlState::INVALID_PARAMETER_VALUE,
            SqlState::CANT_CHANGE_RUNTIME_PARAM,
        ]
        .iter()
        .any(|state| state.code() == self.state)
    }

    /// Whether somebody or something works with it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.state == SqlState::OBJECT_IN_USE.code()
    }

    /// Whether the database is there and lets nobody in.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE.code()
    }

    /// Whether a database of that name is there already, or has been made while ours was.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        [SqlState::DUPLICATE_DATABASE, SqlState::UNIQUE_VIOLATION]
            .iter()
            .any(|state| state.code() == self.state)
    }

    /// Whether the database is not there.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        self.state == SqlState::INVALID_CATALOG_NAME.code()
    }

    /// Whether the connection was lost, or ended by the server.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.state.is_empty() || self.state.starts_with("57P") || self.state.starts_with("08")
    }

    /// Whether the server's disk or memory failed.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.state.starts_with("58") || self.state == SqlState::DISK_FULL.code()
    }
}

/// Joins a stream of the host to a socket of ours: two threads that end with it.
pub fn joined(stream: ops_common::host::Stream) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut from_host = stream.try_clone()?;
    let mut to_host = stream;
    let (mut to_us, mut from_us) = (theirs.try_clone()?, theirs);
    let threads = std::thread::Builder::new();
    threads.spawn(move || {
        drop(pump(&mut from_host, &mut to_us));
        drop(to_us.shutdown(std::net::Shutdown::Both));
    })?;
    std::thread::Builder::new().spawn(move || {
        drop(pump(&mut from_us, &mut to_host));
        drop(to_host.shutdown_write());
    })?;
    Ok(ours)
}

fn pump(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
        to.flush()?;
    }
}
