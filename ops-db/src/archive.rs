//! The custom archive of `pg_dump -Fc`, read once from front to back in constant memory.
//!
//! An archive is a header, a table of contents, and then one data block for every entry that has data. There is no
//! trailer: it is whole exactly when each of those entries has come, each ended by its own end mark. `pg_restore -l`
//! looks at the front only, so it takes a truncated file for whole; [`scan`] does not.

mod content;
mod cursor;
mod header;
mod toc;

use std::collections::BTreeMap;
use std::io::BufRead;

pub use self::content::LargeObjects;
use self::content::{Content, Decoder};
use self::cursor::Cursor;
pub use self::cursor::{Damage, Fault};
pub use self::header::{Compression, Header};
pub use self::toc::Entry;
use crate::table::Table;

/// What a whole archive holds.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Versions, database, time.
    pub header: Header,
    /// The table of contents.
    pub entries: Vec<Entry>,
    /// What came for each table.
    pub tables: Vec<Table>,
    /// What came for the large objects.
    pub large_objects: LargeObjects,
    /// Size of the archive.
    pub bytes: u64,
}

/// What the head of an archive says, without reading the rest; nothing if it is no archive.
#[must_use]
pub fn peek(input: impl BufRead) -> Option<Header> {
    header::read(&mut Cursor::new(input)).ok()
}

/// Reads an archive to its end and proves that it is whole.
pub fn scan(input: impl BufRead) -> Result<Scan, Damage> {
    let mut cursor = Cursor::new(input);
    let header = header::read(&mut cursor)?;
    let entries = toc::read(&mut cursor, &header)?;
    let mut blocks = Blocks::new(&header, &entries);
    while let Some(kind) = cursor.byte_or_end()? {
        blocks.read(kind, &mut cursor)?;
    }
    let (tables, large_objects) = blocks.finish(&cursor)?;
    Ok(Scan {
        header,
        entries,
        tables,
        large_objects,
        bytes: cursor.offset(),
    })
}

/// Reads the front of an archive only: what it says that it holds.
pub fn contents(input: impl BufRead) -> Result<Vec<Entry>, Damage> {
    let mut cursor = Cursor::new(input);
    let header = header::read(&mut cursor)?;
    toc::read(&mut cursor, &header)
}

/// The data blocks read so far, and those still owed.
struct Blocks<'a> {
    compression: Compression,
    owed: BTreeMap<i64, &'a Entry>,
    tables: Vec<Table>,
    large_objects: LargeObjects,
}

const DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

impl<'a> Blocks<'a> {
    fn new(header: &Header, entries: &'a [Entry]) -> Self {
        let owed = entries
            .iter()
            .filter(|entry| entry.has_data)
            .map(|entry| (entry.id, entry))
            .collect();
        Self {
            compression: header.compression,
            owed,
            tables: Vec::new(),
            large_objects: LargeObjects::default(),
        }
    }

    fn read(&mut self, kind: u8, cursor: &mut Cursor<impl BufRead>) -> Result<(), Damage> {
        if kind != DATA && kind != LARGE_OBJECTS {
            return Err(cursor.damage(Fault::Block(kind)));
        }
        let id = cursor.int()?;
        let entry = self
            .owed
            .remove(&id)
            .ok_or_else(|| cursor.damage(Fault::Stray(id)))?;
        let name = entry.to_string();
        let read = if kind == DATA {
            self.table(entry, cursor)
        } else {
            self.large_objects(cursor)
        };
        read.map_err(|damage| damage.within(&name))
    }

    fn table(&mut self, entry: &Entry, cursor: &mut Cursor<impl BufRead>) -> Result<(), Damage> {
        let content = self.content(entry.copied_into.is_some(), cursor)?;
        let (rows, bytes, sha256) = content.finish().map_err(|fault| cursor.damage(fault))?;
        self.tables.push(Table {
            schema: entry.schema.clone(),
            name: entry.name.clone(),
            root: entry.root(),
            rows,
            bytes,
            sha256,
            ..Table::default()
        });
        Ok(())
    }

    fn large_objects(&mut self, cursor: &mut Cursor<impl BufRead>) -> Result<(), Damage> {
        loop {
            if cursor.int()? == 0 {
                return Ok(());
            }
            let content = self.content(false, cursor)?;
            let (_, bytes, sha256) = content.finish().map_err(|fault| cursor.damage(fault))?;
            self.large_objects.add(bytes, &sha256);
        }
    }

    /// One run of chunks up to its end mark: a chunk of no length.
    fn content(
        &self,
        is_copied: bool,
        cursor: &mut Cursor<impl BufRead>,
    ) -> Result<Decoder, Damage> {
        let mut decoder = Decoder::new(self.compression, Content::new(is_copied))
            .map_err(|fault| cursor.damage(fault))?;
        loop {
            let length = cursor.length()?;
            if length == 0 {
                return Ok(decoder);
            }
            cursor.pass(length, &mut |bytes| decoder.push(bytes))?;
        }
    }

    fn finish(self, cursor: &Cursor<impl BufRead>) -> Result<(Vec<Table>, LargeObjects), Damage> {
        match self.owed.first_key_value() {
            Some((_, entry)) => Err(cursor.damage(Fault::Missing {
                count: self.owed.len(),
                first: entry.to_string(),
            })),
            None => Ok((self.tables, self.large_objects)),
        }
    }
}

#[cfg(test)]
mod tests;
