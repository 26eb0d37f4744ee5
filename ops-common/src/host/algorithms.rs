//! Which algorithms a session may use: those that libssh2 has and ssh's settings allow.

use ssh2::{MethodType, Session};

use super::settings::Allowed;

/// A setting that leaves nothing to choose from.
pub(super) struct NothingLeft(pub(super) &'static str);

/// Limits a session to what is allowed. The keys of `known_types` come first: a host that is known by one type shows that.
pub(super) fn limit(
    session: &Session,
    allowed: &Allowed,
    known_types: &[&str],
) -> Result<(), NothingLeft> {
    let host_keys = host_keys(known_types);
    let host_keys = host_keys.into_iter().filter(|name| {
        allowed.host_keys.is_empty() || allowed.host_keys.iter().any(|one| one == name)
    });
    prefer(
        session,
        MethodType::HostKey,
        &host_keys.collect::<Vec<_>>(),
        "hostkeyalgorithms",
    )?;
    for (methods, list, setting) in [
        (
            [MethodType::Kex, MethodType::Kex],
            &allowed.key_exchanges,
            "kexalgorithms",
        ),
        (
            [MethodType::CryptCs, MethodType::CryptSc],
            &allowed.ciphers,
            "ciphers",
        ),
        (
            [MethodType::MacCs, MethodType::MacSc],
            &allowed.macs,
            "macs",
        ),
    ] {
        for method in methods {
            let mut names = session.supported_algs(method).unwrap_or_default();
            // The order stays libssh2's: what is fastest there comes first.
            names.retain(|name| list.is_empty() || list.iter().any(|one| one == name));
            prefer(session, method, &names, setting)?;
        }
    }
    if !allowed.user_keys.is_empty() {
        // Chooses among the signatures of RSA keys only; keys of other types have one.
        drop(session.method_pref(MethodType::SignAlgo, &allowed.user_keys.join(",")));
    }
    Ok(())
}

fn prefer(
    session: &Session,
    method: MethodType,
    names: &[&str],
    setting: &'static str,
) -> Result<(), NothingLeft> {
    if names.is_empty() {
        return Err(NothingLeft(setting));
    }
    session
        .method_pref(method, &names.join(","))
        .map_err(|_| NothingLeft(setting))
}

/// The algorithms for the host key, those of the keys on file first.
fn host_keys(known_types: &[&str]) -> Vec<&'static str> {
    const ALGORITHMS: [(&str, &str); 6] = [
        ("ssh-ed25519", "ssh-ed25519"),
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
        ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
        ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
        ("ssh-rsa", "rsa-sha2-512"),
        ("ssh-rsa", "rsa-sha2-256"),
    ];
    let (known, other): (Vec<_>, Vec<_>) = ALGORITHMS
        .into_iter()
        .partition(|(key_type, _)| known_types.contains(key_type));
    known
        .into_iter()
        .chain(other)
        .map(|(_, algorithm)| algorithm)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_on_file_come_first() {
        assert_eq!(
            host_keys(&["ssh-rsa"])[..3],
            ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
        );
        assert_eq!(host_keys(&[]).len(), 6);
    }

    #[test]
    fn what_is_not_allowed_is_not_offered_and_nothing_is_an_error() {
        let session = Session::new().unwrap();
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let mut allowed = Allowed::default();
        assert!(limit(&session, &allowed, &[]).is_ok());
        allowed.macs = list(&["hmac-sha2-512", "umac-64@openssh.com"]);
        assert!(limit(&session, &allowed, &[]).is_ok());
        allowed.ciphers = list(&["none"]);
        let left = limit(&session, &allowed, &[]).map_err(|nothing| nothing.0);
        assert_eq!(left, Err("ciphers"));
    }
}
