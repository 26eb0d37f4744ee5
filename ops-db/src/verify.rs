//! `verify`: reads a backup to its end and judges it.

mod parts;

use std::ffi::OsStr;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ops_common::check::Check;
use ops_common::input;
use serde_json::json;

use crate::archive::{self, Fault};
use crate::error::{Error, of_reading};
use crate::manifest::{self, LargeObjects, Manifest, Means, Proof};
use crate::plain;
use crate::seal::Summed;
use crate::source::{Format, Source};
use crate::table::Table;

/// The name of the findings.
pub const CHECK: &str = "db.backup";

#[expect(clippy::cast_precision_loss, reason = "no table has 2^53 rows")]
/// Judges one file, and notes the judgement in the manifest beside it.
pub fn file(name: &OsStr, identities: &[PathBuf]) -> Result<Check, Error> {
    let beside = if name == "-" {
        Ok(None)
    } else {
        manifest::load(Path::new(name))
    };
    let subject = name.to_string_lossy().into_owned();
    let beside = match beside {
        // The file may be whole; but what was known of it is lost, and nothing more can be noted.
        Err(error @ Error::Damaged { .. }) => {
            return Ok(Check::fail(CHECK, subject, error.to_string()));
        }
        beside => beside?,
    };
    let verdict = judge(name, identities, beside.as_ref())?;
    if let (Some(_), false) = (beside, matches!(verdict, Verdict::Unknown(_))) {
        let damage = match &verdict {
            Verdict::Damaged(damage) => Some(damage.clone()),
            _ => None,
        };
        let proof = Proof {
            by: Means::Verify,
            at: Timestamp::now(),
            damage,
        };
        manifest::note(Path::new(name), proof)?;
    }
    Ok(match verdict {
        Verdict::Whole {
            tables,
            rows,
            bytes,
            how,
        } => Check::ok(CHECK, subject, how)
            .value(rows as f64, "rows")
            .data(json!({"tables": tables, "rows": rows, "raw_bytes": bytes})),
        Verdict::Unknown(reason) => Check::unknown(CHECK, subject, reason)
            .fix("take backups with -o DIR/: they carry checksums"),
        Verdict::Damaged(damage) => Check::fail(CHECK, subject, damage),
    })
}

enum Verdict {
    Whole {
        tables: usize,
        rows: u64,
        bytes: u64,
        how: String,
    },
    Unknown(String),
    Damaged(String),
}

fn judge(
    name: &OsStr,
    identities: &[PathBuf],
    beside: Option<&Manifest>,
) -> Result<Verdict, Error> {
    if Path::new(name).is_dir() {
        return parts::judge(name, identities, beside);
    }
    let title = name.to_string_lossy();
    let opened = Source::open(&title, Box::new(input::open(name)?), identities);
    match opened {
        Ok(source) => {
            let whole_file = beside
                .and_then(|manifest| manifest.file.as_ref())
                .map(|file| (file, name));
            if let Some((expected, name)) = whole_file
                && let Some(damage) = differs_on_disk(name, expected)?
            {
                // The place is what a person wants to know, so the content is asked first.
                return Ok(content(&title, source, beside)?
                    .damage()
                    .unwrap_or(Verdict::Damaged(damage)));
            }
            content(&title, source, beside)
        }
        Err(error) if is_closed(&error, identities) => {
            match beside.and_then(|manifest| manifest.file.as_ref().zip(Some(manifest))) {
                Some((expected, manifest)) => Ok(match differs_on_disk(name, expected)? {
                    Some(damage) => Verdict::Damaged(damage),
                    None => whole(
                        &manifest.tables,
                        manifest.raw_bytes,
                        "whole by the checksum beside it, not decrypted",
                    ),
                }),
                None => Ok(Verdict::closed(&error)),
            }
        }
        Err(error) => Verdict::of_error(error),
    }
}

/// Whether the backup is for somebody else, which is no fault of its own.
fn is_closed(error: &Error, identities: &[PathBuf]) -> bool {
    match error {
        Error::WrongKey { .. } => true,
        Error::Decrypt { .. } => identities.is_empty(),
        _ => false,
    }
}

impl Verdict {
    /// A flipped bit in a value leaves no trace where nothing is summed.
    fn unsummed(is_opaque: bool) -> Self {
        let more = if is_opaque {
            "; what LZ4 holds was not looked into"
        } else {
            ""
        };
        Self::Unknown(format!(
            "its end is there, but it has no checksum, so a changed byte could not be seen{more}"
        ))
    }

    fn closed(error: &Error) -> Self {
        Self::Unknown(format!("{error}, and there is no manifest beside it"))
    }

    /// What is not read here may be whole; what cannot be read here is not.
    fn of_error(error: Error) -> Result<Self, Error> {
        match error {
            Error::OtherKind { .. } => Ok(Self::Unknown(error.to_string())),
            Error::Damaged { .. } | Error::Foreign(_) | Error::Decrypt { .. } => {
                Ok(Self::Damaged(error.to_string()))
            }
            error => Err(error),
        }
    }

    fn damage(self) -> Option<Self> {
        matches!(self, Self::Damaged(_)).then_some(self)
    }
}

/// Compares the bytes on disk with what the manifest beside says of them.
fn differs_on_disk(name: &OsStr, expected: &manifest::File) -> Result<Option<String>, Error> {
    let failed = |source| Error::Read {
        path: name.into(),
        source,
    };
    let mut summed = Summed::new(BufReader::with_capacity(256 << 10, input::open(name)?));
    io::copy(&mut summed, &mut io::sink()).map_err(failed)?;
    let (_, bytes, sum) = summed.finish();
    if bytes != expected.bytes {
        return Ok(Some(format!(
            "the file has {bytes} bytes, its manifest says {}",
            expected.bytes
        )));
    }
    Ok((crate::hex::hex(&sum) != expected.sha256)
        .then(|| "the checksum of the file is not the one in its manifest".to_owned()))
}

fn content(name: &str, source: Source, beside: Option<&Manifest>) -> Result<Verdict, Error> {
    let (is_sealed, inside) = (source.is_sealed, source.manifest());
    let format = source.format;
    let mut dump = source.dump;
    let mut is_opaque = false;
    let (tables, objects, bytes) = match format {
        Format::Archive => match archive::scan(&mut dump) {
            Ok(scan) => {
                is_opaque = scan.header.compression == archive::Compression::Lz4;
                let objects = LargeObjects {
                    count: scan.large_objects.count,
                    bytes: scan.large_objects.bytes,
                    sha256: scan.large_objects.sha256().to_owned(),
                };
                (scan.tables, Some(objects), scan.bytes)
            }
            // Nobody knows what such an archive has to be like; but the seal around it is ours.
            Err(damage) if matches!(damage.fault, Fault::Newer(_) | Fault::Older(_)) => {
                return unread(name, &mut dump, damage.to_string(), is_sealed);
            }
            Err(damage) => {
                return broken(name, damage.to_string(), std::error::Error::source(&damage));
            }
        },
        Format::Plain => match plain::scan(&mut dump) {
            Ok(scan) => (scan.tables, None, scan.bytes),
            Err(damage) => {
                return broken(name, damage.to_string(), std::error::Error::source(&damage));
            }
        },
    };
    if let Err(error) = io::copy(&mut dump, &mut io::sink()) {
        return broken(name, String::new(), Some(&error));
    }
    let manifest = inside();
    // The seal of a directory speaks of all its parts.
    let inside = manifest.as_ref().filter(|inside| inside.parts.is_empty());
    for expected in inside.into_iter().chain(beside) {
        if let Some(damage) = difference(expected, &tables, objects.as_ref(), bytes) {
            return Ok(Verdict::Damaged(damage));
        }
    }
    if let (Some(inside), Some(beside)) = (inside, beside)
        && *inside != beside.inner()
    {
        return Ok(Verdict::Damaged(
            "the manifest beside it is not the one inside".to_owned(),
        ));
    }
    if is_sealed || beside.is_some_and(|beside| beside.file.is_some()) {
        return Ok(whole(&tables, bytes, "whole"));
    }
    Ok(Verdict::unsummed(is_opaque))
}

/// A dump that cannot be parsed can still be broken around.
fn unread(
    name: &str,
    dump: &mut dyn io::Read,
    reason: String,
    is_sealed: bool,
) -> Result<Verdict, Error> {
    match io::copy(dump, &mut io::sink()) {
        Err(error) => broken(name, reason, Some(&error)),
        Ok(_) if is_sealed => Ok(Verdict::Unknown(format!(
            "every byte is what was written, but not parsed: {reason}"
        ))),
        Ok(_) => Ok(Verdict::Unknown(reason)),
    }
}

fn whole(tables: &[Table], bytes: u64, how: &str) -> Verdict {
    let rows = tables.iter().filter_map(|table| table.rows).sum();
    Verdict::Whole {
        tables: tables.len(),
        rows,
        bytes,
        how: how.to_owned(),
    }
}

/// A medium that fails is no judgement about the backup.
fn broken(
    name: &str,
    damage: String,
    cause: Option<&(dyn std::error::Error + 'static)>,
) -> Result<Verdict, Error> {
    let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<io::Error>()) else {
        return Ok(Verdict::Damaged(damage));
    };
    if let Some(seal) = crate::seal::damage_of(cause) {
        return Ok(Verdict::Damaged(seal.to_string()));
    }
    match cause.raw_os_error() {
        Some(code) => Err(of_reading(name, io::Error::from_raw_os_error(code))),
        None => Ok(Verdict::Damaged(format!("{damage}: {cause}"))),
    }
}

/// The first thing that is not as the manifest says.
fn difference(
    manifest: &Manifest,
    tables: &[Table],
    objects: Option<&LargeObjects>,
    bytes: u64,
) -> Option<String> {
    if manifest.raw_bytes != bytes {
        return Some(format!(
            "the dump has {bytes} bytes, the manifest says {}",
            manifest.raw_bytes
        ));
    }
    if manifest.tables.len() != tables.len() {
        return Some(format!(
            "the dump has {} tables, the manifest says {}",
            tables.len(),
            manifest.tables.len()
        ));
    }
    for (expected, found) in manifest.tables.iter().zip(tables) {
        let name = format!("{}.{}", expected.schema, expected.name);
        if expected.rows != found.rows {
            return Some(format!(
                "table '{name}' has {} rows, the manifest says {}",
                found.rows.unwrap_or(0),
                expected.rows.unwrap_or(0)
            ));
        }
        if (&expected.sha256, expected.bytes) != (&found.sha256, found.bytes) {
            return Some(format!(
                "the checksum of table '{name}' is not the one in the manifest"
            ));
        }
    }
    objects
        .filter(|objects| **objects != manifest.large_objects)
        .map(|_| "the large objects are not those of the manifest".to_owned())
}
