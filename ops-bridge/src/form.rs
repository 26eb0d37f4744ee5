//! Files that hold a journal in a form that is not read here, known by how they begin.

/// Such a form, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is.
    pub name: &'static str,
    /// The command that makes lines of it.
    pub command: &'static str,
}

#[rustfmt::skip]
const FORMS: [(&[u8], Form); 7] = [
    (b"\x1f\x8b", Form { name: "compressed (gzip)", command: "zcat FILE | ops-bridge ... -" }),
    (b"\x28\xb5\x2f\xfd", Form { name: "compressed (zstd)", command: "zstdcat FILE | ops-bridge ... -" }),
    (b"\xfd7zXZ\0", Form { name: "compressed (xz)", command: "xzcat FILE | ops-bridge ... -" }),
    (b"BZh", Form { name: "compressed (bzip2)", command: "bzcat FILE | ops-bridge ... -" }),
    (b"LPKSHHRH", Form { name: "a journal as systemd keeps it", command: "journalctl --file FILE -o json --all | ops-bridge ... -" }),
    (b"\xff\xfe", Form { name: "UTF-16", command: "iconv -f UTF-16 FILE | ops-bridge ... -" }),
    (b"\xfe\xff", Form { name: "UTF-16", command: "iconv -f UTF-16 FILE | ops-bridge ... -" }),
];

/// The form of what begins so, where it is one of those.
pub(crate) fn of(start: &[u8]) -> Option<Form> {
    let found = FORMS.iter().find(|(begin, _)| start.starts_with(begin));
    found.map(|(_, form)| *form)
}
