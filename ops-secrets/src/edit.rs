//! `edit`: the plain text of a sops file in an editor, in a private folder in memory.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use ops_common::program::{self, Program};
use zeroize::Zeroizing;

use crate::environment::Environment;
use crate::error::Error;
use crate::private::Folder;

/// Lets a person edit a text; nothing if it came back unchanged. `accept` says whether the new text can be used: if not, and
/// there is a terminal, the editor opens again.
pub fn edit(
    environment: &Environment,
    file: &Path,
    plain: &[u8],
    mut accept: impl FnMut(Vec<u8>) -> Result<Zeroizing<String>, Error>,
    tell: impl Fn(&Error),
) -> Result<Option<Zeroizing<String>>, Error> {
    let folder = Folder::new(environment)?;
    let name = file.file_name().map_or_else(
        || "secret".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let path = folder.write(&name, plain, 0o600)?;
    let command = editor(environment)?;
    loop {
        run(&command, &path, file)?;
        let edited = std::fs::read(&path)
            .map(Zeroizing::new)
            .map_err(|source| Error::File {
                attempt: "read",
                path: path.clone(),
                source,
            })?;
        if edited.as_slice() == plain {
            return Ok(None);
        }
        match accept(edited.to_vec()) {
            Ok(text) => return Ok(Some(text)),
            Err(error) => {
                tell(&error);
                if crate::keys::prompt::line("Press Enter to edit again, Ctrl-C to give up")
                    .is_none()
                {
                    return Err(error);
                }
            }
        }
    }
}

/// The editor's command line, or the first usual editor that is there.
fn editor(environment: &Environment) -> Result<Vec<OsString>, Error> {
    if let Some(line) = &environment.editor {
        return program::split(line)
            .ok_or_else(|| Error::Usage(format!("the editor '{line}' is no valid command line")));
    }
    let usual = ["vim", "nano", "vi"];
    let found = usual.into_iter().find(|name| Program::find(name).is_ok());
    Ok(vec![found.unwrap_or("vi").into()])
}

fn run(command: &[OsString], path: &Path, file: &Path) -> Result<(), Error> {
    let mut editor = Program::find(&command[0])?.args(&command[1..]).arg(path);
    let name = editor.name().to_owned();
    editor
        .command()
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    let ended = editor.spawn()?.wait().map_err(|source| Error::File {
        attempt: "wait for the editor of",
        path: file.to_owned(),
        source,
    })?;
    match program::code(&name, ended)? {
        0 => Ok(()),
        status => Err(Error::Editor {
            name,
            status,
            file: file.to_owned(),
        }),
    }
}
