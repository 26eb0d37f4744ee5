//! A backup that is a directory: each part by itself, and then all of them by what the last one says.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ops_common::input;

use super::{Verdict, content, differs_on_disk, is_closed};
use crate::error::Error;
use crate::manifest::{File, Manifest};
use crate::parts;
use crate::source::Source;

/// Judges the directory; `beside` is the manifest beside it.
pub(super) fn judge(
    folder: &OsStr,
    identities: &[PathBuf],
    beside: Option<&Manifest>,
) -> Result<Verdict, Error> {
    let folder = Path::new(folder);
    match all(folder, identities, beside) {
        Err(error) => Verdict::of_error(error),
        judged => judged,
    }
}

fn all(folder: &Path, identities: &[PathBuf], beside: Option<&Manifest>) -> Result<Verdict, Error> {
    let files = parts::files(folder)?;
    let (mut seals, mut total) = (Vec::new(), Vec::new());
    let mut whole = beside.cloned();
    // The last one first: without a manifest beside, its seal says what the others are on disk.
    for file in files.iter().rev() {
        let expected = whole.as_ref().and_then(|whole| on_disk(whole, file));
        let (verdict, seal) = part(file, identities, expected)?;
        match verdict {
            Verdict::Whole { .. } => total.push(verdict),
            other => return Ok(other.of(file)),
        }
        whole = whole.or_else(|| seal.clone());
        seals.extend(seal);
    }
    let verdict = Verdict::sum(total);
    if seals.len() < files.len() {
        // Not decrypted: the manifest beside has told what each file is.
        return Ok(verdict);
    }
    seals.reverse();
    parts::check(folder, &files, &seals)?;
    let damage = seals.last().and_then(|whole| verdict.differs(whole));
    Ok(damage.map_or(verdict, Verdict::Damaged))
}

fn on_disk<'a>(whole: &'a Manifest, file: &Path) -> Option<&'a File> {
    let is_it = |name: &String| file.file_name().is_some_and(|found| found == name.as_str());
    let part = whole.parts.iter().find(|part| is_it(&part.name));
    part.and_then(|part| part.file.as_ref())
}

/// One part, and what its seal says if it could be opened.
fn part(
    file: &Path,
    identities: &[PathBuf],
    expected: Option<&File>,
) -> Result<(Verdict, Option<Manifest>), Error> {
    let name = file.as_os_str();
    let title = file.display().to_string();
    let differs = expected
        .map(|expected| differs_on_disk(name, expected))
        .transpose()?
        .flatten();
    match Source::open(&title, Box::new(input::open(name)?), identities) {
        Ok(source) => {
            let inside = source.manifest();
            let verdict = content(&title, source, None)?;
            Ok(match (verdict, differs) {
                (Verdict::Whole { .. }, Some(damage)) => (Verdict::Damaged(damage), None),
                (verdict, _) => (verdict, inside()),
            })
        }
        Err(error) if is_closed(&error, identities) => {
            let verdict = match (expected, differs) {
                (_, Some(damage)) => Verdict::Damaged(damage),
                (Some(_), None) => {
                    super::whole(&[], 0, "whole by the checksums beside it, not decrypted")
                }
                (None, None) => Verdict::closed(&error),
            };
            Ok((verdict, None))
        }
        Err(error) => Err(error),
    }
}

impl Verdict {
    fn of(self, file: &Path) -> Self {
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Damaged(damage) => Self::Damaged(format!("{file}: {damage}")),
            Self::Unknown(reason) => Self::Unknown(format!("{file}: {reason}")),
            whole @ Self::Whole { .. } => whole,
        }
    }

    /// Whether the parts together are not what the whole should be.
    fn differs(&self, whole: &Manifest) -> Option<String> {
        match self {
            Self::Whole { tables, bytes, .. }
                if (*tables, *bytes) != (whole.tables.len(), whole.raw_bytes) =>
            {
                Some(format!(
                    "its parts have {tables} tables in {bytes} bytes, the manifest says {} in {}",
                    whole.tables.len(),
                    whole.raw_bytes
                ))
            }
            _ => None,
        }
    }

    fn sum(verdicts: Vec<Self>) -> Self {
        let start = super::whole(&[], 0, "whole");
        verdicts
            .into_iter()
            .fold(start, |sum, verdict| match (sum, verdict) {
                (
                    Self::Whole {
                        tables,
                        rows,
                        bytes,
                        ..
                    },
                    Self::Whole {
                        tables: more_tables,
                        rows: more_rows,
                        bytes: more_bytes,
                        how,
                    },
                ) => Self::Whole {
                    tables: tables + more_tables,
                    rows: rows + more_rows,
                    bytes: bytes + more_bytes,
                    how,
                },
                (sum, _) => sum,
            })
    }
}
