//! `diff` and `merge`: sops files compared and merged by their plain text, for git and for people.

use std::path::Path;

use ops_common::program::Program;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::private::Folder;

/// The differences of two plain texts, as diff(1) shows them; nothing if there are none.
pub fn diff(
    folder: &Folder,
    old: (&str, &[u8]),
    new: (&str, &[u8]),
) -> Result<Option<Vec<u8>>, Error> {
    let (a, b) = (
        folder.write("a", old.1, 0o600)?,
        folder.write("b", new.1, 0o600)?,
    );
    let ended = Program::find("diff")?
        .args(["-u", "--label", old.0, "--label", new.0])
        .arg(a)
        .arg(b)
        .run()?;
    match ended.status {
        0 => Ok(None),
        1 => Ok(Some(ended.stdout)),
        status => Err(Error::Usage(format!(
            "diff ended with status {status}: {}",
            String::from_utf8_lossy(&ended.stderr).trim()
        ))),
    }
}

/// Merges three plain texts line by line; nothing if both sides changed the same lines.
pub fn merge(
    folder: &Folder,
    base: &[u8],
    ours: &[u8],
    theirs: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let write = |name: &str, text: &[u8]| folder.write(name, text, 0o600);
    let (ours, base, theirs) = (
        write("ours", ours)?,
        write("base", base)?,
        write("theirs", theirs)?,
    );
    let ended = Program::find("git")?
        .args(["merge-file", "-p", "-q"])
        .args([ours, base, theirs])
        .run()?;
    Ok((ended.status == 0).then(|| Zeroizing::new(ended.stdout)))
}

/// Tells git to show and merge files of these patterns by their plain text.
pub fn set_up(repository: &Path, patterns: &[String]) -> Result<(), Error> {
    let config = [
        ("diff.sops.textconv", "ops-secrets diff"),
        ("diff.sops.cachetextconv", "false"),
        ("merge.sops.name", "sops files by their plain text"),
        ("merge.sops.driver", "ops-secrets merge %O %A %B %P"),
    ];
    for (name, value) in config {
        Program::find("git")?
            .folder(repository)
            .args(["config", "--local", name, value])
            .output()?;
    }
    let path = repository.join(".gitattributes");
    let old = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => {
            return Err(Error::File {
                attempt: "read",
                path,
                source,
            });
        }
    };
    let mut new = old.clone();
    if !new.is_empty() && !new.ends_with('\n') {
        new.push('\n');
    }
    for pattern in patterns {
        let line = format!("{pattern} diff=sops merge=sops");
        if !old.lines().any(|found| found == line) {
            new.push_str(&line);
            new.push('\n');
        }
    }
    if new == old {
        Ok(())
    } else {
        crate::file::write(&path, new.as_bytes(), 0o644)
    }
}
