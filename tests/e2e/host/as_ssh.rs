//! Beside the real ssh: whom it trusts and how it logs in with the same files, the transport does too.

mod agents;
mod key_files;
mod reaching;
mod trust;

use std::path::Path;

use ops_common::host::{Command, Error, Host, Options};
use ops_tests::command;

fn folder(name: &str) -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).tempdir().unwrap()
}

fn keygen(path: &Path, more: &[&str]) {
    command("ssh-keygen")
        .args(["-q", "-N", "", "-f"])
        .arg(path)
        .args(more)
        .run()
        .expect(0);
}

/// What ssh itself comes to.
fn ssh_reaches(alias: &str) -> bool {
    let ran = command("ssh")
        .args(["-n", "-o", "BatchMode=yes", alias, "hostname"])
        .run();
    assert!(matches!(ran.status, 0 | 255), "{ran}");
    ran.status == 0
}

fn reach(alias: &str, options: &Options) -> Result<String, Error> {
    let said = Host::connect(alias, None, options)?.output(&Command::new("hostname"))?;
    Ok(String::from_utf8(said).unwrap().trim().to_owned())
}
