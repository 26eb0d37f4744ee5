//! Fills an empty database from a backup, and proves that all of it has come.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, BufReader, Read, Write};
use std::sync::{Mutex, PoisonError};

use ops_common::host::{Command, Process};

use super::Options;
use crate::archive::{self, Entry};
use crate::count;
use crate::error::{Error, of_reading};
use crate::manifest::Manifest;
use crate::parts;
use crate::plain::{self, Piece, Script};
use crate::reach::Server;
use crate::source::{Directory, Format, Opened, Source};
use crate::sql::quote_name;
use crate::table::Table;
use crate::tee::{Broken, tee};

/// What a database was filled with.
pub struct Filled {
    /// The tables that came.
    pub tables: Vec<Table>,
    /// The manifest inside, of a sealed backup.
    pub manifest: Option<Manifest>,
}

/// Fills an empty database, and proves that all of it has come.
pub fn fill(
    server: &Server<'_>,
    backup: Opened,
    database: &str,
    options: &Options,
) -> Result<Filled, Error> {
    let target = Target {
        server,
        database,
        options,
    };
    let mut filled = match backup {
        Opened::One(mut source) => {
            target.prepare(&mut source)?;
            target.one(source, options.jobs)?
        }
        Opened::Directory(directory) => target.parts(directory)?,
    };
    filled.tables.retain(|table| options.wants(table));
    let (_, difference) = count::difference(&server.steady(database)?, &filled.tables, false)?;
    match difference {
        Some(difference) => Err(Error::Different {
            database: database.to_owned(),
            difference,
        }),
        None => Ok(filled),
    }
}

/// The database that is filled.
struct Target<'a> {
    server: &'a Server<'a>,
    database: &'a str,
    options: &'a Options,
}

impl Target<'_> {
    /// For a part of a backup: makes the schemas that it is in, which `pg_restore` leaves out, and sees that it is there at all.
    fn prepare(&self, source: &mut Source) -> Result<(), Error> {
        if !self.options.is_part() {
            return Ok(());
        }
        if source.format == Format::Plain {
            return Err(Error::Usage(
                "a part can only be restored of an archive, not of plain SQL".to_owned(),
            ));
        }
        let entries = source.contents()?;
        let session = self.server.steady(self.database)?;
        for schema in self.options.schemas_of(&source.name, &entries)? {
            session.execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS {}",
                quote_name(schema)
            ))?;
        }
        Ok(())
    }

    fn one(&self, mut source: Source, jobs: usize) -> Result<Filled, Error> {
        let manifest = source.manifest();
        let tables = match source.format {
            Format::Archive => self.archive(&source.name, &mut source.dump, jobs)?,
            Format::Plain => self.script(&source.name, &mut source.dump)?,
        };
        // The seal comes after the dump: reading on to the end is what checks it.
        io::copy(&mut source.dump, &mut io::sink())
            .map_err(|error| of_reading(&source.name, error))?;
        Ok(Filled {
            tables,
            manifest: manifest(),
        })
    }

    /// Definitions first, then the data of all tables, several parts at once, then what is built upon it.
    fn parts(&self, directory: Directory) -> Result<Filled, Error> {
        let Directory {
            folder,
            files,
            sources,
        } = directory;
        let mut sources = VecDeque::from(sources);
        let (Some(mut first), Some(last)) = (sources.pop_front(), sources.pop_back()) else {
            return Err(Error::Foreign(folder.display().to_string()));
        };
        self.prepare(&mut first)?;
        let mut filled = vec![self.one(first, 1)?];
        filled.extend(self.at_once(sources)?);
        filled.push(self.one(last, self.options.jobs)?);
        let seals: Vec<_> = filled
            .iter_mut()
            .filter_map(|part| part.manifest.take())
            .collect();
        parts::check(&folder, &files, &seals)?;
        Ok(Filled {
            tables: filled.into_iter().flat_map(|part| part.tables).collect(),
            manifest: seals.into_iter().last(),
        })
    }

    /// Restores parts in as many processes as were asked for, in the order in which they stand.
    fn at_once(&self, sources: VecDeque<Source>) -> Result<Vec<Filled>, Error> {
        let jobs = self.options.jobs.clamp(1, sources.len().max(1));
        let waiting = Mutex::new(sources.into_iter().enumerate());
        let next = || {
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next()
        };
        let work = || {
            let mut done = Vec::new();
            while let Some((place, source)) = next() {
                done.push((place, self.one(source, 1)?));
            }
            Ok::<_, Error>(done)
        };
        let done = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers
                .into_iter()
                .map(join)
                .collect::<Result<Vec<_>, Error>>()
        })?;
        let mut done: Vec<_> = done.into_iter().flatten().collect();
        done.sort_by_key(|(place, _)| *place);
        Ok(done.into_iter().map(|(_, filled)| filled).collect())
    }

    fn archive(&self, name: &str, dump: &mut dyn Read, jobs: usize) -> Result<Vec<Table>, Error> {
        let Process {
            mut stdin,
            stdout,
            running,
        } = self.server.host().spawn(&self.pg_restore(jobs))?;
        let (copied, scan) = tee(dump, &mut stdin, archive::scan);
        let is_closed = stdin.flush().is_ok();
        drop((stdin, stdout));
        if let Err(Broken::Source(error)) = copied {
            drop(running);
            return Err(of_reading(name, error));
        }
        let ended = running.wait()?;
        let refused = !ended.success() || matches!(copied, Err(Broken::Sink(_))) || !is_closed;
        let damaged = |damage: archive::Damage| Error::Damaged {
            name: name.to_owned(),
            damage: damage.to_string(),
        };
        match scan {
            // A reader that was given up on says nothing about the archive.
            Err(damage) if copied.is_ok() => Err(damaged(damage)),
            _ if refused => Err(self.server.failed("pg_restore", &ended)),
            scan => scan.map(|scan| scan.tables).map_err(damaged),
        }
    }

    /// One process reads a pipe; several need a file that they can seek in, which lasts as long as they do.
    fn pg_restore(&self, jobs: usize) -> Command {
        let options = self.options;
        let mut args = vec!["--exit-on-error".to_owned()];
        if options.without_tablespaces {
            args.push("--no-tablespaces".to_owned());
        }
        args.extend(
            options
                .tables
                .iter()
                .map(|table| format!("--table={table}")),
        );
        args.extend(
            options
                .schemas
                .iter()
                .map(|schema| format!("--schema={schema}")),
        );
        args.extend(self.server.address(self.database));
        let command = if jobs > 1 {
            args.push(format!("--jobs={jobs}"));
            Command::script(FROM_FILE, &args)
        } else {
            Command::new("pg_restore").args(&args)
        };
        command.as_user(self.server.user())
    }

    /// What `--no-tablespaces` leaves out of an archive.
    fn is_left_out(&self, statement: &[u8]) -> bool {
        self.options.without_tablespaces && statement.starts_with(b"SET default_tablespace = ")
    }

    fn script(&self, name: &str, dump: &mut dyn Read) -> Result<Vec<Table>, Error> {
        let damaged = |damage: plain::Damage| match damage {
            plain::Damage::Read(error) => of_reading(name, error),
            damage => Error::Damaged {
                name: name.to_owned(),
                damage: damage.to_string(),
            },
        };
        let session = self.server.patient(self.database)?;
        let mut script = Script::new(BufReader::with_capacity(256 << 10, dump));
        let mut tables = Vec::new();
        while let Some(piece) = script.next_piece().map_err(damaged)? {
            match piece {
                Piece::Statement(statement) if self.is_left_out(statement) => {}
                Piece::Statement(statement) => {
                    let statement = std::str::from_utf8(statement);
                    session.execute(statement.map_err(|_| Error::OtherKind {
                        name: name.to_owned(),
                        what: "plain SQL in another encoding than UTF-8",
                    })?)?;
                }
                Piece::Copy(statement) => {
                    let statement = statement.into_owned();
                    let (schema, table) = statement
                        .strip_prefix("COPY ")
                        .and_then(crate::sql::qualified_name)
                        .unwrap_or_default();
                    let mut rows = 0;
                    session.copy_in(statement.trim_end_matches(';'), &mut || match script
                        .next_piece()
                        .map_err(damaged)?
                    {
                        Some(Piece::Rows(piece)) => {
                            rows += crate::table::lines(piece);
                            Ok(Some(piece.to_vec()))
                        }
                        _ => Ok(None),
                    })?;
                    tables.push(Table {
                        schema,
                        name: table,
                        rows: Some(rows),
                        ..Table::default()
                    });
                }
                Piece::Rows(_) | Piece::End => {}
            }
        }
        Ok(tables)
    }
}

/// Takes the archive into a file that nobody else can read, and removes it however this ends.
const FROM_FILE: &str = r#"umask 077; file=$(mktemp "${TMPDIR:-/tmp}/ops-db-restore.XXXXXX") || exit 74
trap 'rm -f "$file"' EXIT; trap 'exit 143' HUP INT TERM PIPE
cat > "$file" || exit 74
pg_restore "$@" "$file""#;

impl Options {
    /// The schemas of what is wanted, all of which must be there.
    fn schemas_of<'a>(&self, name: &str, entries: &'a [Entry]) -> Result<BTreeSet<&'a str>, Error> {
        let absent = |what: String| Error::Absent {
            name: name.to_owned(),
            what,
        };
        for schema in &self.schemas {
            if !entries.iter().any(|entry| entry.schema == *schema) {
                return Err(absent(format!("schema '{schema}'")));
            }
        }
        let is_wanted =
            |entry: &&Entry| self.schemas.is_empty() || self.schemas.contains(&entry.schema);
        let found: Vec<_> = entries.iter().filter(is_wanted).collect();
        for table in &self.tables {
            let is_it = |entry: &&Entry| entry.is_relation() && entry.name == *table;
            if !found.iter().any(is_it) {
                return Err(absent(format!("table '{table}'")));
            }
        }
        let schemas = found
            .into_iter()
            .filter(|entry| {
                self.tables.is_empty() || entry.is_relation() && self.tables.contains(&entry.name)
            })
            .map(|entry| entry.schema.as_str());
        Ok(schemas.filter(|schema| !schema.is_empty()).collect())
    }
}
