//! TLS over a connection that the host made for us. The trust store is this machine's, or the one that SSL_CERT_FILE names.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use ops_common::host::Stream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http::{Error, Wire};

/// A connection under TLS.
pub(crate) struct Secure(StreamOwned<ClientConnection, Stream>);

impl Secure {
    /// Speaks TLS with `name` over `stream`; the handshake happens with the first byte.
    pub(crate) fn over(stream: Stream, name: &str) -> Result<Self, Error> {
        let broken = |error: &dyn std::fmt::Display| Error::Broken(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder
            .map_err(|error| broken(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).map_err(|error| broken(&error))?;
        let session =
            ClientConnection::new(Arc::new(config), name).map_err(|error| broken(&error))?;
        Ok(Self(StreamOwned::new(session, stream)))
    }
}

impl Read for Secure {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Wire for Secure {
    fn limit(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.0.sock.set_timeout(time)
    }
}
