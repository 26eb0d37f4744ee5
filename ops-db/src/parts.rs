//! A backup that is a directory: its files in the order in which they are restored.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::manifest::Manifest;
use crate::seal;

/// The definitions, then the data, then what is built upon it. Without the last, whose seal is the seal of the whole, a
/// directory is no backup.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        files.extend(place(&path).map(|place| (place, path)));
    }
    files.sort();
    if files.is_empty() && folder.join("toc.dat").is_file() {
        return Err(Error::OtherKind {
            name: folder.display().to_string(),
            what: "a directory archive of pg_dump",
        });
    }
    let misses = |place| !files.iter().any(|(found, _)| *found == place);
    match [(FIRST, "pre-data"), (LAST, "post-data")]
        .into_iter()
        .find(|(place, _)| misses(*place))
    {
        Some((_, missing)) => Err(damaged(folder, format!("its part {missing} is missing"))),
        None => Ok(files.into_iter().map(|(_, path)| path).collect()),
    }
}

/// What the seal of the whole says, without reading the rest; nothing where it is encrypted or not there.
#[must_use]
pub fn peek(folder: &Path) -> Option<Manifest> {
    let mut last = File::open(files(folder).ok()?.last()?).ok()?;
    seal::peek(&mut last).ok()?
}

const FIRST: u32 = 0;
const LAST: u32 = u32::MAX;

/// Where a file comes in the order, if it is one of ours.
fn place(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    let stem = name
        .strip_suffix(".age")
        .unwrap_or(name)
        .strip_suffix(".dump.zst")?;
    match stem {
        "pre-data" => Some(FIRST),
        "post-data" => Some(LAST),
        _ => stem.strip_prefix("data-")?.parse().ok(),
    }
}

/// Whether the files that were read are those that the whole consists of: `seals` are what they say themselves.
pub fn check(folder: &Path, files: &[PathBuf], seals: &[Manifest]) -> Result<(), Error> {
    let Some((whole, parts)) = seals.split_last() else {
        return Ok(());
    };
    let expected = whole.parts.iter().map(|part| part.name.as_str());
    let found: Vec<_> = files
        .iter()
        .filter_map(|file| file.file_name()?.to_str())
        .collect();
    if let Some(missing) = expected.clone().find(|name| !found.contains(name)) {
        return Err(damaged(folder, format!("its part {missing} is missing")));
    }
    if found.len() != whole.parts.len() {
        return Err(damaged(
            folder,
            format!("it has {} parts of {}", found.len(), whole.parts.len()),
        ));
    }
    let of_another = |part: &&Manifest| (&part.snapshot, part.at) != (&whole.snapshot, whole.at);
    match found.iter().zip(parts).find(|(_, part)| of_another(part)) {
        Some((name, _)) => Err(damaged(
            folder,
            format!("its part {name} is of another backup"),
        )),
        None => Ok(()),
    }
}

fn damaged(folder: &Path, damage: String) -> Error {
    Error::Damaged {
        name: folder.display().to_string(),
        damage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Part;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            ops_common::atomic::write(&folder.path().join(name), b"x", 0o600).unwrap();
        }
        folder
    }

    #[test]
    fn parts_come_in_the_order_of_a_restore() {
        let names = ["post-data", "data-10", "data-2", "pre-data"]
            .map(|name| format!("{name}.dump.zst.age"));
        let names: Vec<_> = names
            .iter()
            .map(String::as_str)
            .chain(["notes.txt"])
            .collect();
        let folder = folder(&names);
        let found = files(folder.path()).unwrap();
        let found: Vec<_> = found
            .iter()
            .filter_map(|file| file.file_name()?.to_str())
            .collect();
        assert_eq!(found, [names[3], names[2], names[1], names[0]]);
    }

    #[test]
    fn a_directory_without_its_last_part_is_no_backup() {
        let folder = folder(&["pre-data.dump.zst", "data-1.dump.zst"]);
        let error = files(folder.path()).unwrap_err();
        assert!(
            error.to_string().ends_with("its part post-data is missing"),
            "{error}"
        );
    }

    #[test]
    fn parts_belong_together() {
        let part = |name: &str| Part {
            name: name.into(),
            file: None,
        };
        let seal = |at: &str| Manifest {
            at: at.parse().unwrap(),
            parts: vec![part("a"), part("b")],
            ..Manifest::default()
        };
        let (one, other) = (seal("2026-01-01T00:00:00Z"), seal("2026-01-02T00:00:00Z"));
        let check = |files: &[&str], seals: &[Manifest]| {
            let files: Vec<_> = files.iter().map(PathBuf::from).collect();
            check(Path::new("d"), &files, seals).map_err(|error| error.to_string())
        };
        check(&["d/a", "d/b"], &[one.clone(), one.clone()]).unwrap();
        let mixed = check(&["d/a", "d/b"], &[other, one.clone()]).unwrap_err();
        assert!(
            mixed.ends_with("its part a is of another backup"),
            "{mixed}"
        );
        let missing = check(&["d/b"], std::slice::from_ref(&one)).unwrap_err();
        assert!(missing.ends_with("its part a is missing"), "{missing}");
        let more = check(&["d/a", "d/c", "d/b"], &[one.clone(), one.clone(), one]).unwrap_err();
        assert!(more.ends_with("it has 3 parts of 2"), "{more}");
    }
}
