//! `filestatus`: whether a file is encrypted.

use serde::Serialize;

use ops_common::output::Record;

/// What is said about a file.
#[derive(Debug, Serialize)]
pub struct FileStatus {
    /// The file.
    pub file: String,
    /// Whether it carries sops metadata.
    pub encrypted: bool,
}

impl Record for FileStatus {
    const COLUMNS: &'static [&'static str] = &["encrypted", "file"];
}
