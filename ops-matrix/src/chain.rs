//! What is wrong with a certificate chain, by name.
//!
//! A TLS library stops at its first objection, and says "unknown issuer" for four different mistakes. Here the dates, the
//! name and the path are looked at each by itself.

use std::net::IpAddr;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error as TlsError};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Days before the end of a certificate at which it is worth a word.
pub const WARN_DAYS: i64 = 14;

/// One objection to a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Past its end.
    #[error("the certificate of '{subject}' expired {days} days ago")]
    Expired {
        /// Whose.
        subject: String,
        /// How long ago.
        days: i64,
    },
    /// Before its beginning.
    #[error("the certificate of '{subject}' is not valid for another {days} days")]
    NotYetValid {
        /// Whose.
        subject: String,
        /// How long.
        days: i64,
    },
    /// For another name.
    #[error("the certificate is for {names}, not for '{wanted}'")]
    WrongName {
        /// The name that peers check.
        wanted: String,
        /// The names it has.
        names: String,
    },
    /// Its own issuer.
    #[error("the certificate is self-signed")]
    SelfSigned,
    /// Nobody between the leaf and a root was sent.
    #[error("the intermediate certificate '{issuer}' is not sent")]
    MissingIntermediate {
        /// Who signed the last certificate that was sent.
        issuer: String,
    },
    /// A chain to a root that is not trusted here.
    #[error("the issuer '{issuer}' is not trusted")]
    UnknownIssuer {
        /// The end of the chain.
        issuer: String,
    },
    /// A signature in the chain is wrong.
    #[error("a signature in the chain does not verify")]
    BadSignature,
    /// Whatever else the library objects to.
    #[error("the chain is not usable: {0}")]
    Unusable(String),
}

impl ChainFault {
    /// One word for machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::WrongName { .. } => "wrong_name",
            Self::SelfSigned => "self_signed",
            Self::MissingIntermediate { .. } => "missing_intermediate",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::BadSignature => "bad_signature",
            Self::Unusable(_) => "unusable",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Expired { .. } => {
                "renew the certificate and reload the server: the renewal may have failed, or nobody reloaded"
            }
            Self::NotYetValid { .. } => {
                "set the clock of the machine that made the certificate, or of this one"
            }
            Self::WrongName { .. } => {
                "get a certificate for the name that discovery ends at, and serve it for that SNI"
            }
            Self::SelfSigned => {
                "federation needs a certificate of a public authority: no peer accepts a self-signed one"
            }
            Self::MissingIntermediate { .. } => {
                "serve the full chain (fullchain.pem, not cert.pem)"
            }
            Self::UnknownIssuer { .. } => {
                "use an authority that peers trust, or name yours with --cafile"
            }
            Self::BadSignature | Self::Unusable(_) => "make the certificate anew",
        }
    }
}

/// What is known of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// The subject of the leaf.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The names and addresses it is for.
    pub names: Vec<String>,
    /// Its end, in seconds since 1970.
    pub not_after_s: i64,
    /// Whole days until then; below zero once it is over.
    pub days_left: i64,
    /// How many certificates were sent.
    pub sent: usize,
    /// Everything wrong with it.
    pub faults: Vec<ChainFault>,
}

/// Judges the certificates that a server sent, leaf first, as a peer would that wants `name`.
pub fn judge(
    sent: &[CertificateDer<'_>],
    name: &str,
    roots: &RootCertStore,
    now_s: i64,
) -> Result<ChainReport, ChainFault> {
    let unusable = |what: String| ChainFault::Unusable(what);
    let parse = |der: &CertificateDer<'_>| {
        X509Certificate::from_der(der).map(|(_, parsed)| parsed.validity().clone())
    };
    let leaf_der = sent
        .first()
        .ok_or_else(|| unusable("no certificate was sent".into()))?;
    let (_, leaf) =
        X509Certificate::from_der(leaf_der).map_err(|error| unusable(error.to_string()))?;
    if sent.iter().any(|der| parse(der).is_err()) {
        return Err(unusable("a certificate in the chain cannot be read".into()));
    }
    let certificates: Vec<X509Certificate<'_>> = sent
        .iter()
        .filter_map(|der| X509Certificate::from_der(der).ok())
        .map(|(_, parsed)| parsed)
        .collect();
    let names = names_of(&leaf);
    let mut faults: Vec<ChainFault> = certificates
        .iter()
        .filter_map(|one| dates(one, now_s))
        .collect();
    faults.extend(wrong_name(leaf_der, name, &names));
    faults.extend(path(sent, &certificates, roots));
    let not_after_s = leaf.validity().not_after.timestamp();
    Ok(ChainReport {
        subject: short(leaf.subject()),
        issuer: short(leaf.issuer()),
        names,
        not_after_s,
        days_left: days(not_after_s - now_s),
        sent: sent.len(),
        faults,
    })
}

fn days(seconds: i64) -> i64 {
    seconds.div_euclid(86400)
}

/// The common name, or the whole distinguished name where there is none.
fn short(name: &x509_parser::x509::X509Name<'_>) -> String {
    let common = name
        .iter_common_name()
        .next()
        .and_then(|common| common.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn names_of(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(text)
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn dates(certificate: &X509Certificate<'_>, now_s: i64) -> Option<ChainFault> {
    let (begin, end) = (
        certificate.validity().not_before.timestamp(),
        certificate.validity().not_after.timestamp(),
    );
    let subject = short(certificate.subject());
    if now_s > end {
        return Some(ChainFault::Expired {
            subject,
            days: days(now_s - end),
        });
    }
    (now_s < begin).then(|| ChainFault::NotYetValid {
        subject,
        days: days(begin - now_s) + 1,
    })
}

fn wrong_name(leaf: &CertificateDer<'_>, wanted: &str, names: &[String]) -> Option<ChainFault> {
    let fault = || {
        let names = if names.is_empty() {
            "no name at all".to_owned()
        } else {
            names.join(", ")
        };
        Some(ChainFault::WrongName {
            wanted: wanted.to_owned(),
            names,
        })
    };
    let Ok(name) = ServerName::try_from(wanted.to_owned()) else {
        return fault();
    };
    match ParsedCertificate::try_from(leaf) {
        Ok(parsed) if verify_server_name(&parsed, &name).is_ok() => None,
        Ok(_) => fault(),
        Err(error) => Some(ChainFault::Unusable(error.to_string())),
    }
}

/// Whether the chain leads to a trusted root, whatever its dates.
fn path(
    sent: &[CertificateDer<'_>],
    certificates: &[X509Certificate<'_>],
    roots: &RootCertStore,
) -> Option<ChainFault> {
    let leaf = certificates.first()?;
    let parsed = match ParsedCertificate::try_from(&sent[0]) {
        Ok(parsed) => parsed,
        Err(error) => return Some(ChainFault::Unusable(error.to_string())),
    };
    let algorithms = rustls::crypto::ring::default_provider()
        .signature_verification_algorithms
        .all;
    // An instant at which every certificate that was sent is valid, so that dates do not hide the rest.
    let begin = certificates
        .iter()
        .map(|one| one.validity().not_before.timestamp())
        .max()?;
    let end = certificates
        .iter()
        .map(|one| one.validity().not_after.timestamp())
        .min()?;
    let then = u64::try_from(begin.midpoint(end)).unwrap_or_default();
    let then = UnixTime::since_unix_epoch(Duration::from_secs(then));
    match verify_server_cert_signed_by_trust_anchor(&parsed, roots, &sent[1..], then, algorithms) {
        Ok(()) => None,
        Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Some(unknown_issuer(leaf, certificates))
        }
        Err(TlsError::InvalidCertificate(CertificateError::BadSignature)) => {
            Some(ChainFault::BadSignature)
        }
        // A certificate authority used as its own server certificate.
        Err(_) if leaf.subject() == leaf.issuer() => Some(ChainFault::SelfSigned),
        Err(error) => Some(ChainFault::Unusable(error.to_string())),
    }
}

/// Four mistakes have the same name in TLS libraries; where the chain ends tells them apart.
fn unknown_issuer(leaf: &X509Certificate<'_>, certificates: &[X509Certificate<'_>]) -> ChainFault {
    if leaf.subject() == leaf.issuer() {
        return ChainFault::SelfSigned;
    }
    let mut top = leaf;
    // At most as many steps as there are certificates: a chain may lead back into itself.
    for _ in certificates {
        let Some(next) = certificates
            .iter()
            .find(|one| one.subject() == top.issuer())
        else {
            break;
        };
        if next.subject() == next.issuer() {
            return ChainFault::UnknownIssuer {
                issuer: short(next.subject()),
            };
        }
        top = next;
    }
    let issuer = short(top.issuer());
    if names_its_issuers_address(top) {
        ChainFault::MissingIntermediate { issuer }
    } else {
        ChainFault::UnknownIssuer { issuer }
    }
}

/// Public authorities write into each certificate where that of its issuer can be had, except into those of their roots.
fn names_its_issuers_address(certificate: &X509Certificate<'_>) -> bool {
    certificate
        .extensions()
        .iter()
        .any(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => access
                .accessdescs
                .iter()
                .any(|one| one.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2"),
            _ => false,
        })
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
