//! `rotate`: a new data key, and every value encrypted anew in its place.

use zeroize::Zeroizing;

use crate::cipher::DataKey;
use crate::crypt::{self, Making};
use crate::error::Error;
use crate::file::{self, Encrypted};
use crate::keys;

/// Who comes and who goes with the new key.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Recipients to add, to the first group.
    pub add: Vec<String>,
    /// Recipients to take away, from every group.
    pub remove: Vec<String>,
}

/// Gives the file with a new data key.
pub fn rotate(
    file: &mut Encrypted,
    old: &DataKey,
    changes: &Changes,
    sealed: bool,
) -> Result<Zeroizing<String>, Error> {
    let mut tree = file.tree()?;
    let file = &*file;
    let failed = |source| Error::Encrypt {
        file: file.name.clone(),
        source,
    };
    let wrap = |source| Error::Wrap {
        file: file.name.clone(),
        source,
    };
    let groups = file.groups()?;
    let threshold = file.metadata.threshold(groups.len());
    let recipients = changed(keys::recipients(&groups).map_err(wrap)?, changes);
    if recipients.iter().any(Vec::is_empty) {
        return Err(Error::EmptyGroup(file.name.clone()));
    }
    let new = DataKey::random().map_err(|source| {
        failed(crypt::Fault::Close {
            path: "the data key".to_owned(),
            source,
        })
    })?;
    let mut metadata = file.metadata.clone();
    metadata.set_groups(
        &keys::wrap(&recipients, threshold, &new).map_err(wrap)?,
        threshold,
    );
    let closed = crypt::rekey(
        file.format,
        &file.text,
        &mut tree,
        &file.metadata,
        old,
        &new,
    )
    .map_err(failed)?;
    let making = Making {
        format: file.format,
        key: &new,
        indent: &file.indent,
        sealed,
    };
    let now = file::now();
    crypt::finish(making, &file.text, tree, closed, &mut metadata, &now).map_err(failed)
}

/// The recipients after the changes.
fn changed(mut recipients: Vec<Vec<String>>, changes: &Changes) -> Vec<Vec<String>> {
    for group in &mut recipients {
        group.retain(|recipient| !changes.remove.contains(recipient));
    }
    if let Some(first) = recipients.first_mut() {
        for recipient in &changes.add {
            if !first.contains(recipient) {
                first.push(recipient.clone());
            }
        }
    }
    recipients
}
