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

fn seal(file: &Encrypted, key: &DataKey, name: &str, require_seal: bool) -> Check {
    let missing = "the file has no seal: key names, comments and recipients are not protected";
    let (doubt, fix) = match file.check_seal(key) {
        Ok(SealState::Fits) => return Check::ok("secrets.seal", name, "the seal fits"),
        Ok(SealState::Absent) => (missing.to_owned(), "run 'ops-secrets rotate -i' on it"),
        Err(Error::Decrypt {
            source: fault @ Fault::SealVersion(_),
            ..
        }) => (fault.to_string(), "use a newer ops-secrets"),
        Err(error) => {
            return Check::fail("secrets.seal", name, ops_common::exit::describe(&error))
                .fix("see what changed in the history of the file");
        }
    };
    if require_seal {
        Check::fail("secrets.seal", name, doubt).fix(fix)
    } else {
        Check::unknown("secrets.seal", name, doubt).fix(fix)
    }
}
