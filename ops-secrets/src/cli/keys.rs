//! The verbs on keys: recipient, keygen.

use std::path::PathBuf;

use clap::Args;
use ops_common::exit::Status;
use ops_common::hosts::{self, HostArgs};
use ops_common::tool::Context;

use super::args::print;
use crate::error::Error;
use crate::file;
use crate::keygen;
use crate::recipient;

/// Print the age recipient of SSH keys, key files or hosts
///
/// An ed25519 host key gives the recipient that ssh-to-age gives, which is what sops-nix decrypts with; --ssh prints the
/// SSH key itself, which sops 3.10 and age take as a recipient. The two do not open each other's files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets recipient /etc/ssh/ssh_host_ed25519_key.pub
  ops-secrets recipient --host ops-jrz1
  ssh-keyscan -t ed25519 localhost | cut -d' ' -f2- | ops-secrets recipient -")]
pub(super) struct Recipient {
    /// Public or private key files, or - for stdin
    files: Vec<PathBuf>,

    /// Print the SSH key instead of the converted one
    #[arg(long)]
    ssh: bool,

    #[command(flatten)]
    hosts: HostArgs,
}

impl Recipient {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        if self.files.is_empty() {
            return hosts::ask(context, &self.hosts, |host| {
                recipient::of_host(host, self.ssh)
            });
        }
        if !self.hosts.names.is_empty() {
            return Err(Error::Usage("give files or --host, not both".to_owned()));
        }
        let host = hosts::this_machine();
        let found = recipient::of_files(&self.files, self.ssh)?;
        let mut output = context.output()?;
        for record in &found {
            output.record(&host, record)?;
        }
        output.finish()?;
        Ok(Status::Done)
    }
}

/// Make an age key
///
/// Prints the key file, or writes it with mode 0600 and prints the recipient. An existing file is never overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ops-secrets keygen -o ~/.config/sops/age/keys.txt
  ops-secrets keygen | grep 'public key'")]
pub(super) struct Keygen {
    /// Write the key into this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Keygen {
    pub(super) fn run(self, context: &Context) -> Result<Status, Error> {
        let key = keygen::keygen(jiff::Timestamp::now());
        let Some(path) = self.output else {
            print(context, key.file.as_bytes())?;
            return Ok(Status::Done);
        };
        if path.exists() {
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(Error::File {
                attempt: "write",
                path,
                source,
            });
        }
        file::write(&path, key.file.as_bytes(), 0o600)?;
        print(context, format!("{}\n", key.recipient).as_bytes())?;
        Ok(Status::Done)
    }
}
