//! `verify`: are the values, the MAC and the seal of a file what they were when it was written? Prints no value.

use ops_common::check::Check;

use crate::cipher::DataKey;
use crate::crypt::{Checks, Fault, Keep, SealState};
use crate::error::Error;
use crate::file::Encrypted;

/// The findings about one file.
#[must_use]
pub fn verify(file: &mut Encrypted, key: &DataKey, require_seal: bool) -> Vec<Check> {
    let name = file.name.display().to_string();
    let values = match file.open(
        key,
        Checks {
            mac: true,
            seal: false,
        },
        Keep::Nothing,
    ) {
        Ok(opened) => {
            let message = format!(
                "{} encrypted values, all open, and the MAC fits",
                opened.sealed_values
            );
            let check = Check::ok("secrets.values", &name, message);
            match opened.odd_comments {
                0 => check,
                count => Check::warn(
                    "secrets.values",
                    &name,
                    format!("the values fit, but {count} comments cannot be decrypted"),
                ),
            }
        }
        Err(error) => Check::fail("secrets.values", &name, ops_common::exit::describe(&error))
            .fix("restore the file from its history"),
    };
    vec![values, seal(file, key, &name, require_seal)]
}

fn seal(file: &mut Encrypted, key: &DataKey, name: &str, require_seal: bool) -> Check {
    let missing = "the file has no seal: key names, comments and recipients are not protected";
    match file.open(
        key,
        Checks {
            mac: false,
            seal: true,
        },
        Keep::Nothing,
    ) {
        Ok(opened) if opened.seal == SealState::Fits => {
            Check::ok("secrets.seal", name, "the seal fits")
        }
        Ok(_) if require_seal => {
            Check::fail("secrets.seal", name, missing).fix("run 'ops-secrets rotate -i' on it")
        }
        Ok(_) => {
            Check::unknown("secrets.seal", name, missing).fix("run 'ops-secrets rotate -i' on it")
        }
        Err(Error::Decrypt {
            source: Fault::Seal,
            ..
        }) => Check::fail("secrets.seal", name, Fault::Seal.to_string())
            .fix("see what changed in the history of the file"),
        Err(_) => Check::unknown("secrets.seal", name, "the values cannot be opened"),
    }
}
