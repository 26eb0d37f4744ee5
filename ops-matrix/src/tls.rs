//! One TLS handshake that looks before it judges: the chain is recorded whatever it is, and [`crate::chain`] says what it is worth.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    StreamOwned,
};

use crate::socket::{Deadline, Socket, is_timeout};

/// What a handshake showed.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// The certificates that were sent, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// Not in time.
    #[error("the TLS handshake did not finish in time")]
    Timeout,
    /// The other side speaks something else.
    #[error("the port speaks no TLS")]
    NotTls,
    /// The other side hung up.
    #[error("the connection was closed during the TLS handshake")]
    Closed,
    /// The name has no certificate there.
    #[error("the server knows no '{0}' (unrecognized name)")]
    UnknownName(String),
    /// An address has no SNI, and without one the server has nothing to show.
    #[error(
        "the server shows no certificate to whoever sends no name, as peers of the address '{0}' do"
    )]
    NoCertificate(String),
    /// Only versions or ciphers that nobody should use any more.
    #[error("no TLS version or cipher in common: 1.2 or 1.3 is needed")]
    Incompatible,
    /// Any other refusal.
    #[error("the TLS handshake failed: {0}")]
    Refused(String),
    /// The name is none that a certificate could have.
    #[error("'{0}' can have no certificate")]
    Name(String),
}

/// An encrypted connection.
pub struct TlsSocket(StreamOwned<ClientConnection, Box<dyn Socket>>);

impl Read for TlsSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            // A peer that hangs up without saying goodbye: what it sent before is complete or not by HTTP's own rules.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            result => result,
        }
    }
}

impl Write for TlsSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Socket for TlsSocket {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.sock.set_timeout(timeout)
    }
}

/// Shakes hands as a client that wants `name`, which is sent as SNI unless it is an address.
pub fn handshake(
    mut socket: Box<dyn Socket>,
    name: &str,
    deadline: Deadline,
) -> Result<(TlsSocket, TlsFacts), TlsFailure> {
    let server =
        ServerName::try_from(name.to_owned()).map_err(|_| TlsFailure::Name(name.to_owned()))?;
    let recorder = Arc::new(Recorder {
        provider: ring::default_provider(),
        chain: Mutex::default(),
    });
    let refused = |error: rustls::Error| TlsFailure::Refused(error.to_string());
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut connection = ClientConnection::new(Arc::new(config), server).map_err(refused)?;
    while connection.is_handshaking() {
        let left = deadline.left().map_err(|_| TlsFailure::Timeout)?;
        socket
            .set_timeout(Some(left))
            .map_err(|error| classify(&error, name))?;
        connection
            .complete_io(&mut socket)
            .map_err(|error| classify(&error, name))?;
    }
    let facts = TlsFacts {
        version: connection
            .protocol_version()
            .map_or_else(String::new, |version| {
                format!("{version:?}").replace('_', ".")
            }),
        cipher: connection
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        chain: std::mem::take(
            &mut *recorder
                .chain
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        ),
    };
    Ok((TlsSocket(StreamOwned::new(connection, socket)), facts))
}

fn classify(error: &io::Error, name: &str) -> TlsFailure {
    if is_timeout(error) {
        return TlsFailure::Timeout;
    }
    if matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    ) {
        return TlsFailure::Closed;
    }
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::InvalidMessage(_)) => TlsFailure::NotTls,
        Some(rustls::Error::AlertReceived(
            AlertDescription::AccessDenied
            | AlertDescription::UnrecognisedName
            | AlertDescription::HandshakeFailure,
        )) if name.parse::<IpAddr>().is_ok() => TlsFailure::NoCertificate(name.to_owned()),
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => {
            TlsFailure::UnknownName(name.to_owned())
        }
        Some(
            rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity,
            )
            | rustls::Error::PeerIncompatible(_),
        ) => TlsFailure::Incompatible,
        Some(other) => TlsFailure::Refused(other.to_string()),
        None => TlsFailure::Refused(error.to_string()),
    }
}

/// Accepts every chain and remembers it. The signature of the handshake itself is checked: a server without the key of its
/// certificate gets no further.
#[derive(Debug)]
struct Recorder {
    provider: CryptoProvider,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let sent = std::iter::once(leaf)
            .chain(others)
            .map(|der| der.clone().into_owned())
            .collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = sent;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
