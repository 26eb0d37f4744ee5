//! The parsers, each as a function of bytes that says what came of them.

use std::fmt::Debug;
use std::path::Path;

use zeroize::Zeroizing;

use crate::cipher::{self, Cipher, DataKey};
use crate::creation::Configuration;
use crate::crypt::{Checks, Keep, Stash};
use crate::file::{self, Encrypted, Plan};
use crate::format::{Format, Indent};
use crate::keys::identity::Identities;
use crate::keys::recipient::Recipient;
use crate::keys::ssh;
use crate::manifest::Manifest;
use crate::metadata::Metadata;
use crate::rules::Rules;
use crate::tree::{Data, Node, Value};
use crate::{environment::Environment, json, path, sops_link};

/// A parser by name.
pub(super) type Target = (&'static str, fn(&[u8]) -> String);

/// All of them.
pub(super) const TARGETS: [Target; 13] = [
    ("yaml", |bytes| document(Format::Yaml, bytes)),
    ("json", |bytes| document(Format::Json, bytes)),
    ("dotenv", |bytes| document(Format::Dotenv, bytes)),
    ("ini", |bytes| document(Format::Ini, bytes)),
    ("binary", |bytes| encrypted(Format::Binary, bytes)),
    ("metadata", |bytes| encrypted(Format::Yaml, bytes)),
    ("value", value),
    ("wrapped", wrapped),
    ("recipient", |bytes| {
        shown(Recipient::parse(&text(bytes)).map(drop))
    }),
    ("ssh", ssh_key),
    ("rules", rules),
    ("manifest", |bytes| {
        shown(Manifest::parse(Path::new("m"), bytes, None).map(drop))
    }),
    ("words", words),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown<T, E: std::error::Error>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "fine".to_owned(),
        Err(error) => ops_common::exit::describe(&error),
    }
}

/// What was read, by its shape only.
fn shape(data: &Data) -> String {
    match data {
        Data::Scalar(value) => format!("{:?}", std::mem::discriminant(value)),
        Data::Map(pairs) => pairs.iter().map(|(_, data)| shape(data)).collect(),
        Data::List(items) => items.iter().map(shape).collect(),
    }
}

fn key() -> DataKey {
    DataKey::from_bytes(Zeroizing::new(vec![7; 32])).unwrap()
}

/// A plain document: what is taken comes back with the same values, from a file that sops would take too.
fn document(format: Format, bytes: &[u8]) -> String {
    let name = Path::new("fuzz");
    let rules = Rules::new(|_| None, false).unwrap();
    let mut plan = Plan {
        metadata: Metadata::new(&rules),
        key: key(),
        sealed: true,
        allow_plaintext: true,
        indent: Indent::default(),
    };
    let sealed = match file::encrypt(
        name,
        format,
        bytes.to_vec(),
        &mut plan,
        &mut Stash::default(),
    ) {
        Ok(sealed) => sealed,
        Err(error) => return ops_common::exit::describe(&error),
    };
    let mut read = Encrypted::parse(name.to_owned(), sealed.as_bytes().to_vec(), format)
        .unwrap_or_else(|error| {
            panic!(
                "it does not read its own: {}\n{}",
                ops_common::exit::describe(&error),
                &*sealed
            )
        });
    let opened = read
        .open(&key(), Checks::ALL, Keep::Nothing)
        .unwrap_or_else(|error| {
            panic!(
                "it does not open its own: {}\n{}",
                ops_common::exit::describe(&error),
                &*sealed
            )
        });
    let plain = text(&opened.text);
    let (before, after) = (values(format, &text(bytes)), values(format, &plain));
    let written = |values: &[Data]| {
        values
            .iter()
            .map(|data| json::write(data, None))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        written(&before),
        written(&after),
        "other values come back\n{plain}"
    );
    before.iter().map(shape).collect()
}

fn values(format: Format, source: &str) -> Vec<Data> {
    let tree = format
        .parse(source)
        .unwrap_or_else(|fault| panic!("it was taken before: {}", fault.message));
    let of =
        |document: &crate::tree::Document| numbers(Data::from(&Node::Map(document.root.clone())));
    tree.documents.iter().map(of).collect()
}

/// A number is a number: sops writes a float without a fraction as an integer, and so do we.
#[expect(clippy::cast_precision_loss, reason = "both sides lose it alike")]
fn numbers(data: Data) -> Data {
    match data {
        Data::Scalar(Value::Int(number)) => {
            Data::text(format!("number {}", crate::dotenv::float(number as f64)))
        }
        Data::Scalar(Value::Float(number)) => {
            Data::text(format!("number {}", crate::dotenv::float(number)))
        }
        Data::Scalar(value) => Data::Scalar(value),
        Data::Map(pairs) => Data::Map(
            pairs
                .into_iter()
                .map(|(key, data)| (key, numbers(data)))
                .collect(),
        ),
        Data::List(items) => Data::List(items.into_iter().map(numbers).collect()),
    }
}

/// An encrypted file: nothing but an error, or a text.
fn encrypted(format: Format, bytes: &[u8]) -> String {
    let mut file = match Encrypted::parse("fuzz".into(), bytes.to_vec(), format) {
        Ok(file) => file,
        Err(error) => return ops_common::exit::describe(&error),
    };
    let said = [
        shown(file.groups()),
        shown(file.metadata.rules(format)),
        shown(file.metadata.last_modified()),
    ];
    let opened = file.open(&key(), Checks::NONE, Keep::Nothing);
    format!(
        "{} {} {}",
        file.metadata.threshold(2),
        said.join(" "),
        shown(opened)
    )
}

fn value(bytes: &[u8]) -> String {
    let text = text(bytes);
    format!(
        "{} {}",
        cipher::is_sealed(&text),
        shown(Cipher::new(&key()).open(&text, "a:"))
    )
}

/// A wrapped data key: an armored age file.
fn wrapped(bytes: &[u8]) -> String {
    let mut identities = Identities::new(Environment {
        age_key: Some(Zeroizing::new(
            "AGE-SECRET-KEY-1X47G8PJ09QEUKSN69MCUQZSP8N7L7FMGMXQVPGA9YRCQDYZDAY8SH3M5PD".to_owned(),
        )),
        ..Environment::default()
    });
    let opened = identities.unwrap("age1", &text(bytes));
    opened.map_or_else(
        || identities.account(&[]),
        |bytes| format!("{} bytes", bytes.len()),
    )
}

fn ssh_key(bytes: &[u8]) -> String {
    let text = text(bytes);
    format!(
        "{} {} {} {}",
        shown(ssh::converted_recipient(&text)),
        ssh::converted_identity(&text).is_some(),
        ssh::public_line(&text).is_some(),
        ssh::is_encrypted(&text)
    )
}

fn rules(bytes: &[u8]) -> String {
    match Configuration::parse(Path::new("/c/.sops.yaml"), text(bytes)) {
        Ok(found) => {
            let faults: Vec<String> = found.check().iter().map(ToString::to_string).collect();
            let counts: (usize, usize) = (found.names().len(), found.indent().yaml);
            format!(
                "{counts:?} {} {}",
                shown(found.rule_for(Path::new("/c/a.yaml"))),
                faults.join(" ")
            )
        }
        Err(fault) => ops_common::exit::describe(&fault),
    }
}

/// A path, and a command line of sops.
fn words(bytes: &[u8]) -> String {
    let text = text(bytes);
    let debug = |result: &dyn Debug| format!("{result:?}");
    let line: Vec<std::ffi::OsString> = text.split_whitespace().map(Into::into).collect();
    format!(
        "{} {}",
        debug(&text.parse::<path::Path>()),
        debug(&sops_link::translate(&line).map(|line| line.words.len()))
    )
}
