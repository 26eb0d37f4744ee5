//! `keygen`: a new age key, written as age-keygen writes it.

use age::secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

/// A new key.
pub struct NewKey {
    /// The content of the key file.
    pub file: Zeroizing<String>,
    /// The recipient that belongs to it.
    pub recipient: String,
}

/// Makes a key.
#[must_use]
pub fn keygen(now: jiff::Timestamp) -> NewKey {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let secret = identity.to_string();
    let created = now.strftime("%Y-%m-%dT%H:%M:%SZ");
    let file = Zeroizing::new(format!(
        "# created: {created}\n# public key: {recipient}\n{}\n",
        secret.expose_secret()
    ));
    NewKey { file, recipient }
}
