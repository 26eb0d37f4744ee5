//! One database in several streams at once, into a directory: definitions, groups of tables, indexes and constraints.
//!
//! Every file is an ordinary custom archive with a seal of its own. The seal of the last one, `post-data`, is the seal of
//! the whole and says what the others are, so a directory in which it is missing is no backup. It is withheld until every
//! other stream has proven to be whole.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ops_common::atomic::AtomicFile;

use super::{Options, Stream, note, stream, whole};
use crate::archive::Scan;
use crate::draft::Folder;
use crate::dump::Dump;
use crate::error::Error;
use crate::groups::{self, Group};
use crate::manifest::{self, File, Kind, Manifest, Part};
use crate::server::Session;
use crate::table::Table;

/// Takes a backup in `streams` streams for data, and one for the rest; its directory.
pub(super) fn take(
    session: &Session,
    dump: &Dump<'_>,
    folder: &Path,
    options: &Options,
    mut manifest: Manifest,
    streams: usize,
) -> Result<PathBuf, Error> {
    let folder = Folder::create(folder, &manifest)?;
    let run = Run {
        dump,
        options,
        folder: &folder,
        manifest: manifest.clone(),
        failure: Mutex::default(),
        is_over: Arc::default(),
    };
    let groups = groups::of(session, streams)?;
    let done = run.all(&groups);
    let failure = run.failure.into_inner();
    if let Some(error) = failure.unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let Some((parts, last)) = done else {
        unreachable!("a stream that gives nothing leaves its failure")
    };
    for part in &parts {
        note(&mut manifest, &part.scan);
        manifest.parts.push(part.part.clone());
    }
    note(&mut manifest, &last.scan);
    manifest.parts.push(Part {
        name: last.name.clone(),
        file: None,
    });
    is_complete(&groups, &parts, &manifest)?;
    options.examine(session, &mut manifest)?;
    let file = last.finish(&folder, &manifest)?;
    if let Some(part) = manifest.parts.last_mut() {
        part.file = Some(file);
    }
    manifest.file = Some(manifest::on_disk(&manifest.parts));
    manifest.note_parse();
    folder.commit(&manifest)
}

/// Each table that a group was asked for has come, in that group, and none has come twice.
fn is_complete(groups: &[Group], parts: &[Done], manifest: &Manifest) -> Result<(), Error> {
    let damaged = |damage: String| Error::Damaged {
        name: manifest.database.clone(),
        damage,
    };
    let of = |table: &Table| (table.schema.clone(), table.name.clone());
    for group in groups {
        let part = parts
            .iter()
            .find(|part| part.part.name.starts_with(&group.name));
        let came: BTreeSet<_> = part
            .iter()
            .flat_map(|part| &part.scan.tables)
            .map(of)
            .collect();
        if let Some((schema, name)) = group.tables.iter().find(|table| !came.contains(table)) {
            return Err(damaged(format!("table '{schema}.{name}' has not come")));
        }
    }
    let mut seen = BTreeSet::new();
    match manifest.tables.iter().find(|table| !seen.insert(of(table))) {
        Some(table) => Err(damaged(format!(
            "table '{}.{}' has come twice",
            table.schema, table.name
        ))),
        None => Ok(()),
    }
}

/// What the streams of one backup share.
struct Run<'a> {
    dump: &'a Dump<'a>,
    options: &'a Options,
    folder: &'a Folder,
    manifest: Manifest,
    failure: Mutex<Option<Error>>,
    is_over: Arc<AtomicBool>,
}

/// A part that has its name in the directory.
struct Done {
    part: Part,
    scan: Scan,
}

/// A part that has come to its end, and whose seal is withheld.
struct Open {
    name: String,
    scan: Scan,
    stream: Stream<UntilOver>,
}

impl Run<'_> {
    /// Runs all streams at once. Nothing, if one of them failed.
    fn all(&self, groups: &[Group]) -> Option<(Vec<Done>, Open)> {
        std::thread::scope(|scope| {
            let data: Vec<_> = groups
                .iter()
                .map(|group| scope.spawn(|| self.noted(self.part(&group.name, &group.flags))))
                .collect();
            let first = self.noted(self.part("pre-data", &["--section=pre-data".to_owned()]));
            let last = self.noted(self.open("post-data", &["--section=post-data".to_owned()]));
            let data = data.into_iter().map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            let parts: Option<Vec<_>> = std::iter::once(first).chain(data).collect();
            Some((parts?, last?))
        })
    }

    /// Keeps the first failure, and tells the other streams to stop.
    fn noted<T>(&self, result: Result<T, Error>) -> Option<T> {
        let note = |error| {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
            self.is_over.store(true, Ordering::SeqCst);
        };
        result.map_err(note).ok()
    }

    fn part(&self, name: &str, flags: &[String]) -> Result<Done, Error> {
        let open = self.open(name, flags)?;
        let mut manifest = Manifest {
            kind: Kind::Part,
            globals: String::new(),
            ..self.manifest.clone()
        };
        manifest.command.extend_from_slice(flags);
        note(&mut manifest, &open.scan);
        let (name, scan) = (open.name.clone(), open.scan.clone());
        let file = Some(open.finish(self.folder, &manifest)?);
        let part = Part { name, file };
        Ok(Done { part, scan })
    }

    fn open(&self, name: &str, flags: &[String]) -> Result<Open, Error> {
        let name = format!("{name}.{}", self.folder.ending());
        let output = UntilOver {
            file: AtomicFile::create(&self.folder.hidden().join(&name), 0o600)?,
            is_over: self.is_over.clone(),
        };
        let dump = Dump {
            flags: self.dump.flags.iter().chain(flags).cloned().collect(),
            ..self.dump.clone()
        };
        let path = self.folder.path().join(&name);
        let (stream, scan) = stream(&dump, output, &path, &self.options.recipients)?;
        Ok(Open { name, scan, stream })
    }
}

impl Open {
    /// Writes the seal and gives the file its name; what it is then.
    fn finish(self, folder: &Folder, manifest: &Manifest) -> Result<File, Error> {
        let path = folder.path().join(&self.name);
        let sealed = self.stream.finish(manifest).and_then(whole);
        let (output, file) = sealed.map_err(|source| Error::Save { path, source })?;
        output.file.commit()?;
        Ok(file)
    }
}

/// A file that takes no more once another stream has failed.
struct UntilOver {
    file: AtomicFile,
    is_over: Arc<AtomicBool>,
}

impl Write for UntilOver {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_over.load(Ordering::SeqCst) {
            return Err(io::Error::other("another stream has failed"));
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
