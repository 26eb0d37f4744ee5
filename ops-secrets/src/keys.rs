//! Who can open a file: recipients, identities, the wrapping of data keys, and their sharing between groups.

pub mod identity;
pub mod prompt;
pub mod recipient;
pub mod shamir;
pub mod ssh;

use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::metadata::{Group, MasterKey};
use identity::Identities;
use recipient::Recipient;

/// Why a data key could not be wrapped or recovered.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A recipient cannot be used.
    #[error(transparent)]
    Recipient(#[from] recipient::Fault),
    /// The identities could not be loaded.
    #[error(transparent)]
    Identity(#[from] identity::Fault),
    /// None of the identities opens the file.
    #[error("no key at hand opens the file: {0}")]
    NoneFits(String),
    /// Too few groups could be opened.
    #[error("{opened} of {needed} needed key groups could be opened: {why}")]
    TooFewGroups {
        /// How many were.
        opened: usize,
        /// How many are needed.
        needed: usize,
        /// What was tried.
        why: String,
    },
    /// The parts do not make a key.
    #[error("the key groups do not make a data key: {0}")]
    Shares(#[from] shamir::Fault),
    /// What was unwrapped is no data key.
    #[error("the data key has not 32 bytes")]
    Length,
    /// The file holds keys that this tool cannot wrap for.
    #[error("the file has {0} keys, which only sops can wrap for")]
    Foreign(&'static str),
    /// The threshold cannot be met.
    #[error("a threshold of {threshold} does not fit {groups} key groups")]
    Threshold {
        /// The threshold.
        threshold: usize,
        /// The groups.
        groups: usize,
    },
}

/// Recovers the data key of a file.
pub fn recover(
    groups: &[Group],
    threshold: usize,
    identities: &mut Identities,
) -> Result<DataKey, Fault> {
    let whole = groups.len() == 1;
    let needed = if whole { 1 } else { threshold };
    let mut parts: Vec<_> = groups
        .iter()
        .filter_map(|group| open_group(group, identities))
        .collect();
    if parts.len() < needed.max(1) {
        if let Some(fault) = identities.fault() {
            return Err(fault.into());
        }
        let why = identities.account(groups);
        return Err(if whole {
            Fault::NoneFits(why)
        } else {
            Fault::TooFewGroups {
                opened: parts.len(),
                needed,
                why,
            }
        });
    }
    let bytes = if whole {
        parts.swap_remove(0)
    } else {
        shamir::combine(&parts)?
    };
    DataKey::from_bytes(bytes).ok_or(Fault::Length)
}

fn open_group(group: &Group, identities: &mut Identities) -> Option<Zeroizing<Vec<u8>>> {
    group.iter().find_map(|key| match key {
        MasterKey::Age { recipient, wrapped } => identities.unwrap(recipient, wrapped),
        MasterKey::Foreign { .. } => None,
    })
}

/// Wraps a data key for groups of recipients; keys of other kinds are refused.
pub fn wrap(groups: &[Vec<String>], threshold: usize, key: &DataKey) -> Result<Vec<Group>, Fault> {
    let parts = if let [_] = groups {
        vec![Zeroizing::new(key.bytes().to_vec())]
    } else {
        if threshold < 2 || threshold > groups.len() || groups.len() > 255 {
            return Err(Fault::Threshold {
                threshold,
                groups: groups.len(),
            });
        }
        shamir::split(key.bytes(), groups.len(), threshold)?
    };
    let wrap_group = |(group, part): (&Vec<String>, &Zeroizing<Vec<u8>>)| -> Result<Group, Fault> {
        (group.iter())
            .map(|text| {
                Ok(MasterKey::Age {
                    recipient: text.clone(),
                    wrapped: Recipient::parse(text)?.wrap(part)?,
                })
            })
            .collect()
    };
    groups.iter().zip(&parts).map(wrap_group).collect()
}

/// The recipients of groups; keys of other kinds are an error, because they would have to be wrapped anew.
pub fn recipients(groups: &[Group]) -> Result<Vec<Vec<String>>, Fault> {
    let of_group = |group: &Group| {
        (group.iter())
            .map(|key| match key {
                MasterKey::Age { recipient, .. } => Ok(recipient.clone()),
                MasterKey::Foreign { kind, .. } => Err(Fault::Foreign(kind)),
            })
            .collect()
    };
    groups.iter().map(of_group).collect()
}
