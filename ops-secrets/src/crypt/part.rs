//! Decrypting a part of a document. The rest of it is vouched for by the seal, which was made together with the MAC.

use super::open::{ciphertext, failed};
use super::{Fault, Reading};
use crate::cipher::Cipher;
use crate::format::Format;
use crate::path::{Path, Step};
use crate::tree::{Comment, Scalar, Tree};
use crate::walk::{Spot, Visitor, walk};

/// Decrypts what stands at a path, and all of the sequence that it is in. All else stays ciphertext.
pub fn open_at(reading: Reading<'_>, mut tree: Tree, path: &Path) -> Result<Tree, Fault> {
    let rules = reading.metadata.rules(reading.format)?;
    // Which element of a sequence has which number is known when its comments are decrypted.
    let keys = path.0.iter().map_while(|step| match step {
        Step::Key(key) => Some([key, ":"].concat()),
        Step::Index(_) => None,
    });
    let prefix = keys.collect();
    let mut opener = Opener {
        source: reading.source,
        cipher: Cipher::new(reading.key),
        prefix,
    };
    let flat = reading.format == Format::Dotenv;
    walk(&mut tree, &rules, flat, &mut opener)?;
    Ok(tree)
}

struct Opener<'o> {
    source: &'o str,
    cipher: Cipher,
    /// What the paths of the wanted values begin with.
    prefix: String,
}

impl Visitor for Opener<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        if !spot.path.starts_with(&self.prefix) {
            return Ok(());
        }
        if let Some(text) = ciphertext(self.source, scalar, spot)? {
            let value = self.cipher.open(text, spot.path);
            scalar.value = value.map_err(|source| failed(source, spot.path))?;
            scalar.place.lent = false;
        }
        scalar.own(self.source);
        Ok(())
    }

    fn comment(&mut self, _: &mut Comment, _: &Spot<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path as File, PathBuf};

    use zeroize::Zeroizing;

    use super::super::{Stash, check_seal};
    use super::*;
    use crate::cipher::DataKey;
    use crate::file::{self, Encrypted, Plan};
    use crate::format::Indent;
    use crate::metadata::{MasterKey, Metadata};
    use crate::rules::Rules;
    use crate::tree::{Data, Node, Value};

    fn key() -> DataKey {
        DataKey::from_bytes(Zeroizing::new(vec![7; 32])).unwrap()
    }

    fn encrypted(plain: &str) -> String {
        let mut metadata = Metadata::new(&Rules::new(|_| None, false).unwrap());
        let age = MasterKey::Age {
            recipient: "age1".to_owned(),
            wrapped: "wrapped".to_owned(),
        };
        metadata.set_groups(&[vec![age]], 1);
        let mut plan = Plan {
            metadata,
            key: key(),
            sealed: true,
            allow_plaintext: false,
            indent: Indent::default(),
        };
        let plain = plain.as_bytes().to_vec();
        let mut stash = Stash::default();
        let text = file::encrypt(File::new("t"), Format::Yaml, plain, &mut plan, &mut stash);
        text.unwrap().to_string()
    }

    /// Whether the seal fits, and what is at a path.
    fn part(text: &str, path: &str) -> (bool, Result<Option<Data>, Fault>) {
        let bytes = text.as_bytes().to_vec();
        let mut file = Encrypted::parse(PathBuf::from("t"), bytes, Format::Yaml).unwrap();
        let (tree, path): (_, Path) = (file.tree().unwrap(), path.parse().unwrap());
        let reading = Reading {
            format: Format::Yaml,
            source: &file.text,
            metadata: &file.metadata,
            key: &key(),
            indent: &file.indent,
        };
        let found = open_at(reading, tree, &path).map(|mut tree| {
            let root = Node::Map(std::mem::take(&mut tree.documents[0].root));
            path.find(&root).map(Data::from)
        });
        (check_seal(reading).is_ok(), found)
    }

    #[test]
    fn only_what_is_wanted_is_decrypted() {
        let plain =
            "a: 1\nb:\n  c: x\n  d_unencrypted: y\n  l:\n    # n\n    - 1\n    - k: 2\nbad: z\n";
        let text = encrypted(plain);
        let damaged = text.replacen(
            "bad: ENC[AES256_GCM,data:",
            "bad: ENC[AES256_GCM,data:AAAA",
            1,
        );
        for (text, whole) in [(&text, true), (&damaged, false)] {
            let of = |path: &str| {
                let (fits, found) = part(text, path);
                assert_eq!(fits, whole, "{path}");
                found.unwrap()
            };
            assert_eq!(of("['a']"), Some(Data::Scalar(Value::Int(1))));
            assert_eq!(of("['b']['c']"), Some(Data::text("x")));
            assert_eq!(of("['b']['d_unencrypted']"), Some(Data::text("y")));
            assert_eq!(of("['b']['l'][0]"), Some(Data::Scalar(Value::Int(1))));
            assert_eq!(of("['b']['l'][1]['k']"), Some(Data::Scalar(Value::Int(2))));
            assert_eq!(of("['b']['l'][2]"), None);
            assert!(matches!(of("['b']"), Some(Data::Map(pairs)) if pairs.len() == 3));
        }
        assert!(part(&damaged, "['bad']").1.is_err());
    }
}
