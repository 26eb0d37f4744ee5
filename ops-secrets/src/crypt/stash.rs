//! Ciphertexts that stay.

use std::collections::{HashMap, VecDeque};

use super::Opened;
use crate::cipher;
use crate::tree::Value;

/// Ciphertexts of a file as it was, by path and value: what did not change keeps its ciphertext. Each is given out once,
/// so that equal values never share one.
#[derive(Default)]
pub struct Stash(HashMap<(String, Vec<u8>), VecDeque<String>>);

impl Stash {
    /// The ciphertexts of an opened document.
    #[must_use]
    pub fn of(opened: Opened) -> Self {
        let mut stash = Self::default();
        for (path, value, sealed) in opened.sealed {
            stash
                .0
                .entry((path, stash_key(&value)))
                .or_default()
                .push_back(sealed);
        }
        stash
    }

    /// Whether nothing can be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, path: &str, value: &Value) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0
            .get_mut(&(path.to_owned(), stash_key(value)))?
            .pop_front()
    }
}

fn stash_key(value: &Value) -> Vec<u8> {
    let mut key = cipher::kind(value).as_bytes().to_vec();
    key.extend_from_slice(&cipher::encode(value));
    key
}

impl Drop for Stash {
    fn drop(&mut self) {
        for ((_, mut value), _) in self.0.drain() {
            zeroize::Zeroize::zeroize(&mut value);
        }
    }
}
