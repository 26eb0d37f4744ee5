//! The MAC of sops.

use sha2::{Digest, Sha512};

use crate::tree::Value;
use crate::{cipher, seal};

/// sops's MAC: a digest of the typed values, in order.
pub(super) struct Mac {
    digest: Sha512,
    only_encrypted: bool,
}

impl Mac {
    pub(super) fn new(only_encrypted: bool) -> Self {
        let mut digest = Sha512::new();
        if only_encrypted {
            digest.update(sha2::Sha256::digest(b"sops"));
        }
        Self {
            digest,
            only_encrypted,
        }
    }

    pub(super) fn add(&mut self, value: &Value, selected: bool) {
        if (selected || !self.only_encrypted) && !matches!(value, Value::Comment(_)) {
            self.digest.update(&*cipher::encode(value));
        }
    }

    pub(super) fn finish(self) -> String {
        seal::hexadecimal(&self.digest.finalize()).to_uppercase()
    }
}
