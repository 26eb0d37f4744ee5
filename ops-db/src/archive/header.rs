//! The first bytes of an archive: who wrote it, when, of which database.

use std::io::BufRead;

use super::cursor::{Cursor, Damage, Fault};

/// The header of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the format: (1, 14) for `PostgreSQL` 12 to 15, (1, 15) for 16, (1, 16) for 17 and 18.
    pub version: (u8, u8),
    /// How `pg_dump` compressed the data inside.
    pub compression: Compression,
    /// The database it was taken of.
    pub database: String,
    /// Version of the server, as `pg_dump` wrote it.
    pub server: String,
    /// Version of `pg_dump`.
    pub pg_dump: String,
    /// Local time of the machine that ran `pg_dump`, without zone: `2026-01-31T12:00:00`.
    pub local_time: String,
}

/// Compression inside an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `-Z0`.
    None,
    /// zlib streams.
    Gzip,
    /// LZ4 frames: passed over, their rows are not counted.
    Lz4,
    /// zstd frames.
    Zstd,
}

pub(super) fn read(cursor: &mut Cursor<impl BufRead>) -> Result<Header, Damage> {
    for expected in b"PGDMP" {
        if cursor.byte()? != *expected {
            return Err(cursor.damage(Fault::Foreign));
        }
    }
    let version = (cursor.byte()?, cursor.byte()?);
    let _revision = cursor.byte()?;
    match version {
        (1, 14..=16) => {}
        (major, minor) if version > (1, 16) => {
            return Err(cursor.damage(Fault::Newer(format!("{major}.{minor}"))));
        }
        (major, minor) => return Err(cursor.damage(Fault::Older(format!("{major}.{minor}")))),
    }
    sizes(cursor)?;
    let compression = compression(cursor, version)?;
    let local_time = local_time(cursor)?;
    let mut text = || Ok(cursor.string()?.unwrap_or_default());
    Ok(Header {
        version,
        compression,
        local_time,
        database: text()?,
        server: text()?,
        pg_dump: text()?,
    })
}

fn sizes(cursor: &mut Cursor<impl BufRead>) -> Result<(), Damage> {
    let (int_size, offset_size, format) = (cursor.byte()?, cursor.byte()?, cursor.byte()?);
    for (size, what) in [
        (int_size, "size of a number"),
        (offset_size, "size of an offset"),
    ] {
        if !matches!(size, 4 | 8) {
            return Err(cursor.damage(Fault::Number(size.into(), what)));
        }
    }
    if format != 1 {
        return Err(cursor.damage(Fault::Foreign));
    }
    cursor.sizes(int_size, offset_size);
    Ok(())
}

/// Up to 1.14 a zlib level, of which 0 means none; from 1.15 a name of the method.
fn compression(
    cursor: &mut Cursor<impl BufRead>,
    version: (u8, u8),
) -> Result<Compression, Damage> {
    if version < (1, 15) {
        return match cursor.int()? {
            0 => Ok(Compression::None),
            -1 | 1..=9 => Ok(Compression::Gzip),
            level => Err(cursor.damage(Fault::Number(level, "level of compression"))),
        };
    }
    match cursor.byte()? {
        0 => Ok(Compression::None),
        1 => Ok(Compression::Gzip),
        2 => Ok(Compression::Lz4),
        3 => Ok(Compression::Zstd),
        method => Err(cursor.damage(Fault::Number(method.into(), "method of compression"))),
    }
}

/// The fields of C's `struct tm`.
fn local_time(cursor: &mut Cursor<impl BufRead>) -> Result<String, Damage> {
    let mut field = [0; 7];
    for place in &mut field {
        *place = cursor.int()?;
    }
    let [second, minute, hour, day, month, year, _daylight_saving] = field;
    let (month, year) = (month + 1, year + 1900);
    Ok(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    ))
}
