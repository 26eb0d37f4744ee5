//! A certificate authority of the tests' own, and every kind of wrong certificate.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const DAY_S: i64 = 86_400;

/// A certificate authority.
pub(crate) struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

/// What a leaf certificate is like.
#[derive(Clone, Copy)]
pub(crate) struct Leaf {
    /// The name or address it is for.
    pub(crate) name: &'static str,
    /// When it begins and ends, in days from today.
    pub(crate) days: (i64, i64),
    /// Whether it tells where its issuer's certificate can be had, as those of public authorities do.
    pub(crate) names_issuer: bool,
}

/// A certificate that is as it should be.
pub(crate) const GOOD: Leaf = Leaf {
    name: "chat.example",
    days: (-1, 90),
    names_issuer: false,
};

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::valid(name, (-1, 365))
    }

    pub(crate) fn valid(name: &str, days: (i64, i64)) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        limit(&mut params, days);
        Self {
            params,
            key: KeyPair::generate().unwrap(),
        }
    }

    /// The certificate that clients trust.
    pub(crate) fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// The certificate of another authority, signed by this one.
    pub(crate) fn certify(&self, other: &Authority) -> CertificateDer<'static> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        other
            .params
            .signed_by(&other.key, &issuer)
            .unwrap()
            .der()
            .clone()
    }

    /// A server that shows a leaf signed by this authority, and `more` behind it.
    pub(crate) fn server(&self, leaf: Leaf, more: &[CertificateDer<'static>]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let signed = leaf_params(leaf)
            .signed_by(&key, &issuer)
            .unwrap()
            .der()
            .clone();
        config(
            std::iter::once(signed)
                .chain(more.iter().cloned())
                .collect(),
            &key,
        )
    }
}

/// A server whose certificate nobody else has signed.
pub(crate) fn self_signed(leaf: Leaf) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = leaf_params(leaf).self_signed(&key).unwrap().der().clone();
    config(vec![certificate], &key)
}

fn leaf_params(leaf: Leaf) -> CertificateParams {
    let mut params = CertificateParams::new(vec![leaf.name.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, leaf.name);
    limit(&mut params, leaf.days);
    if leaf.names_issuer {
        let der = |tag: u8, content: &[u8]| {
            [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
        };
        let method = der(0x06, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02]);
        let access = der(
            0x30,
            &der(
                0x30,
                &[method, der(0x86, b"http://ca.example/i.der")].concat(),
            ),
        );
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(
                &[1, 3, 6, 1, 5, 5, 7, 1, 1],
                access,
            ));
    }
    params
}

fn limit(params: &mut CertificateParams, (begin, end): (i64, i64)) {
    let now = jiff::Timestamp::now().as_second();
    let at = |days: i64| {
        let date = jiff::Timestamp::from_second(now + days * DAY_S)
            .unwrap()
            .to_zoned_datetime(jiff::tz::TimeZone::UTC);
        let number = |part: i8| u8::try_from(part).unwrap();
        rcgen::date_time_ymd(date.year().into(), number(date.month()), number(date.day()))
    };
    // A day more at the end: dates are cut down to their beginning.
    (params.not_before, params.not_after) = (at(begin), at(end + 1));
}

fn config(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}
