//! What is known of one table of a backup.

use serde::{Deserialize, Serialize};

/// One table: what the stream held, and what the database said under the same snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The partitioned table that its rows are put into, where that shall choose the partition of each anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<(String, String)>,
    /// Rows that came in the stream; none where they cannot be counted (`INSERT` statements, LZ4).
    pub rows: Option<u64>,
    /// Size of its data, decompressed.
    pub bytes: u64,
    /// Checksum of its data, decompressed.
    pub sha256: String,
    /// Rows that `count(*)` found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<u64>,
    /// Sum over `hashtext` of each row, comparable within one major version of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

impl Table {
    /// Whether its name is known. It is not where an archive is in another encoding than UTF-8: the table is there, but
    /// cannot be asked for.
    #[must_use]
    pub fn is_named(&self) -> bool {
        let names = [&self.schema, &self.name];
        !names.iter().any(|name| name.contains('\u{fffd}'))
    }
}

/// How many lines end in these bytes.
#[expect(
    clippy::naive_bytecount,
    reason = "the compiler makes vector code of it"
)]
#[must_use]
pub fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
