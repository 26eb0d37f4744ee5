//! The certificate authorities that are believed: loaded when the first chain is to be judged, and not before.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::Error;

/// A trust store that loads itself when it is needed.
#[derive(Debug, Default)]
pub struct Trust {
    cafile: Option<PathBuf>,
    loaded: OnceLock<Result<Arc<RootCertStore>, String>>,
}

impl Trust {
    /// The machine's store, or only the certificates of `cafile`.
    #[must_use]
    pub fn new(cafile: Option<PathBuf>) -> Self {
        Self {
            cafile,
            loaded: OnceLock::new(),
        }
    }

    /// The roots.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, Error> {
        let loaded = self.loaded.get_or_init(|| match &self.cafile {
            Some(path) => of_file(path),
            None => of_machine(),
        });
        loaded.clone().map_err(|reason| match &self.cafile {
            Some(path) => Error::CaFile {
                path: path.clone(),
                reason,
            },
            None => Error::TrustStore(reason),
        })
    }
}

fn of_file(path: &PathBuf) -> Result<Arc<RootCertStore>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = certificates
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        Err("no certificate in it".to_owned())
    } else {
        Ok(Arc::new(roots))
    }
}

fn of_machine() -> Result<Arc<RootCertStore>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(if reasons.is_empty() {
            "it is empty".to_owned()
        } else {
            reasons.join(", ")
        });
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let refused = |path: &PathBuf| {
            Trust::new(Some(path.clone()))
                .roots()
                .expect_err("no roots")
                .to_string()
        };
        assert!(refused(&path).contains("ca.pem"), "{}", refused(&path));
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(Vec::new())
            .expect("no names")
            .self_signed(&key)
            .expect("signed");
        let write = |text: &str| {
            let mut file = ops_common::atomic::AtomicFile::create(&path, 0o600).expect("a file");
            std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
            file.commit().expect("committed");
        };
        write("nothing");
        assert!(
            refused(&path).ends_with("no certificate in it"),
            "{}",
            refused(&path)
        );
        write(&certificate.pem());
        assert_eq!(Trust::new(Some(path)).roots().expect("roots").len(), 1);
    }
}
