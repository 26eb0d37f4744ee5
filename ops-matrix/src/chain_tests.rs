//! Chains as they come in the wild, made on the spot.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// 2026-06-01, in the middle of what the test certificates are valid for.
const NOW: i64 = 1_780_272_000;

struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) =
            (date_time_ymd(2025, 1, 1), date_time_ymd(2028, 1, 1));
        Self {
            params,
            key: KeyPair::generate().expect("a key"),
        }
    }

    fn self_signed(&self) -> CertificateDer<'static> {
        self.params
            .self_signed(&self.key)
            .expect("a certificate")
            .der()
            .clone()
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> CertificateDer<'static> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params
            .signed_by(key, &issuer)
            .expect("a certificate")
            .der()
            .clone()
    }
}

/// An authority access extension with an address of the issuer's certificate.
fn issuers_address() -> CustomExtension {
    let url = b"http://ca.example/i.der";
    let der = |tag: u8, content: &[u8]| {
        [&[tag, u8::try_from(content.len()).expect("short")], content].concat()
    };
    let method = der(0x06, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02]);
    let access = der(0x30, &der(0x30, &[method, der(0x86, url)].concat()));
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access)
}

fn leaf_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2026, 5, 1), date_time_ymd(2026, 7, 1));
    params
}

fn trusting(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.self_signed()).expect("a root");
    roots
}

fn words(
    sent: &[CertificateDer<'_>],
    name: &str,
    roots: &RootCertStore,
    now_s: i64,
) -> Vec<&'static str> {
    judge(sent, name, roots, now_s)
        .expect("a readable chain")
        .faults
        .iter()
        .map(ChainFault::word)
        .collect()
}

#[test]
fn a_good_chain_has_no_fault() {
    let (root, middle) = (Authority::new("root"), Authority::new("middle"));
    let key = KeyPair::generate().expect("a key");
    let sent = [
        middle.sign(&leaf_params("chat.example"), &key),
        root.sign(&middle.params, &middle.key),
    ];
    let report = judge(&sent, "chat.example", &trusting(&root), NOW).expect("readable");
    assert_eq!(report.faults, []);
    assert_eq!(
        (report.subject.as_str(), report.issuer.as_str()),
        ("chat.example", "middle")
    );
    assert_eq!(
        (report.days_left, report.sent, report.names),
        (30, 2, vec!["chat.example".to_owned()])
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_mistake_has_its_own_name() {
    let (root, middle, other) = (
        Authority::new("root"),
        Authority::new("middle"),
        Authority::new("other"),
    );
    let key = KeyPair::generate().expect("a key");
    let roots = trusting(&root);
    let mut with_access = leaf_params("chat.example");
    with_access.custom_extensions.push(issuers_address());
    let leaf = root.sign(&leaf_params("chat.example"), &key);
    let own = leaf_params("chat.example")
        .self_signed(&key)
        .expect("a certificate")
        .der()
        .clone();
    let year = 365 * 86400;
    for (what, sent, name, now, expected) in [
        (
            "expired",
            vec![leaf.clone()],
            "chat.example",
            NOW + year,
            vec!["expired"],
        ),
        (
            "early",
            vec![leaf.clone()],
            "chat.example",
            NOW - year,
            vec!["not_yet_valid"],
        ),
        (
            "another name",
            vec![leaf.clone()],
            "other.example",
            NOW,
            vec!["wrong_name"],
        ),
        (
            "an address",
            vec![leaf.clone()],
            "203.0.113.1",
            NOW,
            vec!["wrong_name"],
        ),
        (
            "both",
            vec![leaf],
            "other.example",
            NOW + year,
            vec!["expired", "wrong_name"],
        ),
        (
            "self-signed",
            vec![own],
            "chat.example",
            NOW,
            vec!["self_signed"],
        ),
        (
            "an authority as leaf",
            vec![root.self_signed()],
            "root",
            NOW,
            vec!["wrong_name", "self_signed"],
        ),
        (
            "no intermediate",
            vec![middle.sign(&with_access, &key)],
            "chat.example",
            NOW,
            vec!["missing_intermediate"],
        ),
        (
            "private",
            vec![other.sign(&leaf_params("chat.example"), &key)],
            "chat.example",
            NOW,
            vec!["unknown_issuer"],
        ),
        (
            "private, root sent",
            vec![
                other.sign(&leaf_params("chat.example"), &key),
                other.self_signed(),
            ],
            "chat.example",
            NOW,
            vec!["unknown_issuer"],
        ),
    ] {
        assert_eq!(words(&sent, name, &roots, now), expected, "{what}");
    }
}

#[test]
fn an_expired_intermediate_is_found_behind_a_good_leaf() {
    let (root, mut middle) = (Authority::new("root"), Authority::new("middle"));
    middle.params.not_after = date_time_ymd(2026, 5, 15);
    let key = KeyPair::generate().expect("a key");
    let sent = [
        middle.sign(&leaf_params("chat.example"), &key),
        root.sign(&middle.params, &middle.key),
    ];
    let report = judge(&sent, "chat.example", &trusting(&root), NOW).expect("readable");
    assert_eq!(
        report.faults,
        [ChainFault::Expired {
            subject: "middle".into(),
            days: 17
        }]
    );
}

#[test]
fn a_forged_signature_is_no_unknown_issuer() {
    let (root, forger) = (Authority::new("root"), Authority::new("root"));
    let key = KeyPair::generate().expect("a key");
    let sent = [forger.sign(&leaf_params("chat.example"), &key)];
    assert_eq!(
        words(&sent, "chat.example", &trusting(&root), NOW),
        ["bad_signature"]
    );
}

#[test]
fn what_cannot_be_read_is_said() {
    let roots = RootCertStore::empty();
    assert!(matches!(
        judge(&[], "x", &roots, NOW),
        Err(ChainFault::Unusable(_))
    ));
    assert!(matches!(
        judge(&[CertificateDer::from(vec![1, 2])], "x", &roots, NOW),
        Err(ChainFault::Unusable(_))
    ));
}
