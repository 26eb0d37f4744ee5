//! The proof that a text that was just written reads as what went into it: every leaf stands in its place, and every
//! ciphertext is whole and under the path that it is bound to. What could not be read back does not leave.

use super::{Fault, text_of};
use crate::cipher;
use crate::format::Format;
use crate::rules::Rules;
use crate::tree::{Comment, Scalar, Tree, Value};
use crate::walk::{Spot, Visitor, walk};

/// What reading must meet, leaf by leaf: a digest of each.
#[derive(Default, PartialEq, Eq)]
pub struct Leaves {
    /// Whether nothing has to be proved.
    evident: bool,
    values: Vec<u64>,
    /// Comments of sequences, which read as elements. The order of these does not matter.
    comments: Vec<u64>,
}

impl Leaves {
    /// For a plain text that is to be encrypted: with so many ciphertexts, at least.
    pub(super) fn of(format: Format, source: &str, tree: &Tree, count: usize) -> Self {
        let evident = format == Format::Yaml && is_evident(source, tree);
        Self {
            evident,
            values: Vec::with_capacity(if evident { 0 } else { count }),
            comments: Vec::new(),
        }
    }

    fn push(&mut self, parts: &[&[u8]]) {
        if !self.evident {
            self.values.push(digest(parts));
        }
    }

    /// A ciphertext.
    pub(super) fn closed(&mut self, path: &str, sealed: &str) {
        let bytes = sealed.as_bytes();
        // A block has a line break at its end.
        let length = bytes.iter().rposition(|c| *c == b']').unwrap_or(0);
        // The end has its tag, which is that of no other.
        let end = &bytes[length.saturating_sub(48)..length];
        let leaf = [b"closed", path.as_bytes(), &length.to_le_bytes(), end];
        if end.ends_with(COMMENT) {
            self.comments.push(digest(&leaf));
        } else {
            self.push(&leaf);
        }
    }

    /// A value that stays as it is.
    pub(super) fn plain(&mut self, path: &str, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            value => cipher::kind(value),
        };
        let bytes = cipher::encode(value);
        self.push(&[b"plain", kind.as_bytes(), path.as_bytes(), &bytes]);
    }

    /// What stands elsewhere, and is reached through an alias.
    pub(super) fn shared(&mut self, path: &str) {
        self.push(&[b"shared", path.as_bytes()]);
    }
}

/// Whether a plain text has no sign but those of plain values in block style, in one document to its end. There a
/// ciphertext in the place of a value reads as that value, and metadata at the end as the last pair.
fn is_evident(source: &str, tree: &Tree) -> bool {
    let odd = |c: u8| {
        !(c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'\n' | b' ' | b':' | b'-' | b'_' | b'.' | b'/' | b'+' | b'=' | b','
            ))
    };
    // Looked at without a way out: so the compiler makes it fast.
    let [document] = tree.documents.as_slice() else {
        return false;
    };
    document.root.column == 0
        && document.end == source.len()
        && !source.bytes().fold(false, |found, c| found | odd(c))
}

/// A digest that tells faults of this program apart, not the work of enemies: it has to be fast.
fn digest(parts: &[&[u8]]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = ODD;
    let mut mix = |word: u64| sum = (sum.rotate_left(23) ^ word).wrapping_mul(ODD);
    for part in parts {
        mix(part.len() as u64);
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(u64::from_le_bytes(word));
        }
    }
    sum
}

/// How the ciphertext of a comment ends.
const COMMENT: &[u8] = b",type:comment";

/// Parses a written text, and goes through it as decrypting would.
pub(super) fn prove(
    format: Format,
    text: &str,
    rules: &Rules,
    mut leaves: Leaves,
) -> Result<(), Fault> {
    if leaves.evident {
        return Ok(());
    }
    let mut tree = format.parse_encrypted(text).map_err(|_| Fault::Changed)?;
    let mut reader = Reader {
        source: text,
        leaves: Leaves {
            values: Vec::with_capacity(leaves.values.len()),
            ..Leaves::default()
        },
    };
    walk(&mut tree, rules, format == Format::Dotenv, &mut reader)?;
    leaves.comments.sort_unstable();
    reader.leaves.comments.sort_unstable();
    if reader.leaves == leaves {
        Ok(())
    } else {
        Err(Fault::Changed)
    }
}

struct Reader<'r> {
    source: &'r str,
    leaves: Leaves,
}

impl Visitor for Reader<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        let text = text_of(self.source, scalar).filter(|text| !text.is_empty());
        match text {
            // In a copy, comments were not met either.
            Some(text) if scalar.place.alias && text.contains(",type:comment]") => {}
            _ if scalar.place.alias => self.leaves.shared(spot.path),
            Some(text) if spot.selected => self.leaves.closed(spot.path, text),
            _ => {
                scalar.own(self.source);
                self.leaves.plain(spot.path, &scalar.value);
            }
        }
        Ok(())
    }

    fn comment(&mut self, _: &mut Comment, _: &Spot<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use zeroize::Zeroizing;

    use super::*;
    use crate::cipher::DataKey;
    use crate::crypt::{Checks, Keep, Stash};
    use crate::file::{self, Encrypted, Plan};
    use crate::format::Indent;
    use crate::metadata::Metadata;

    fn evident(source: &str) -> bool {
        let tree = Format::Yaml.parse(source).unwrap();
        Leaves::of(Format::Yaml, source, &tree, 0).evident
    }

    #[test]
    fn only_plain_values_in_block_style_are_evident() {
        assert!(evident("a: x y\nb:\n  - 1\n  -\n    c: a/b=\n"));
        for odd in [
            "a: 'x'\n",
            "a: \"x\"\n",
            "a: |\n  x\n",
            "a: [x]\n",
            "a: {}\n",
            "a: x # c\n",
            "# c\na: x\n",
            "a: &x y\nb: 1\n",
            "a: !!str y\n",
            "a: x\n---\nb: y\n",
            "a: x\n...\n",
            "  a: x\n",
            "a: x\r\n",
            "a: \u{e9}\n",
            "a: x\t\n",
        ] {
            assert!(!evident(odd), "{odd:?}");
        }
    }

    #[test]
    fn what_reads_otherwise_is_noticed() {
        let rules = Rules::new(|_| None, false).unwrap();
        let sealed = "ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]";
        let text = format!("a: {sealed}\nb_unencrypted: 'x'\n");
        let proved = |text: &str| {
            let mut leaves = Leaves::default();
            leaves.closed("a:", sealed);
            leaves.plain("b_unencrypted:", &Value::text("x"));
            prove(Format::Yaml, text, &rules, leaves).is_ok()
        };
        assert!(proved(&text));
        for (old, new) in [
            ("a:", "c:"),
            ("a:", "a_unencrypted:"),
            ("tag:AA", "tag:AB"),
            ("data:AA", "data:AAAA"),
            ("'x'", "y"),
            ("'x'", "5"),
            ("'x'\n", "'x'\nc: 1\n"),
            ("b_unencrypted: 'x'\n", ""),
            ("a: E", "a:\n  b: E"),
            ("\nb", " b"),
        ] {
            let changed = text.replacen(old, new, 1);
            assert_ne!(changed, text);
            assert!(!proved(&changed), "{changed}");
        }
    }

    /// Whether a text reads back, if it is evident and can be encrypted at all.
    fn reads_back(plain: &str, key: &DataKey) -> Option<bool> {
        let tree = Format::Yaml.parse(plain).ok()?;
        if !Leaves::of(Format::Yaml, plain, &tree, 0).evident {
            return None;
        }
        let mut plan = Plan {
            metadata: Metadata::new(&Rules::new(|_| None, false).unwrap()),
            key: key.clone(),
            sealed: true,
            allow_plaintext: true,
            indent: Indent::default(),
        };
        let (name, bytes) = (Path::new("t"), plain.as_bytes().to_vec());
        let mut stash = Stash::default();
        let written = file::encrypt(name, Format::Yaml, bytes, &mut plan, &mut stash).ok()?;
        let bytes = written.as_bytes().to_vec();
        let read = Encrypted::parse(PathBuf::from("t"), bytes, Format::Yaml)
            .and_then(|mut read| read.open(key, Checks::ALL, Keep::Nothing));
        Some(read.is_ok())
    }

    /// What is not proved when it is written can be read: random texts of the signs that are evident.
    #[test]
    fn what_is_evident_reads_as_it_was() {
        let (mut seed, mut taken) = (1_u64, 0);
        let mut random = |below: usize| {
            seed = (seed.wrapping_mul(6_364_136_223_846_793_005)).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap_or(0) % below
        };
        let words = "a|b|c_unencrypted|7|0x1|1.5|yes|2001-01-01|: |:|\n|\n  |\n    |- |-| |--|---|...|/|=|+|,|\n\n";
        let words: Vec<&str> = words.split('|').collect();
        let key = DataKey::from_bytes(Zeroizing::new(vec![7; 32])).unwrap();
        for _ in 0..10_000 {
            let count = 2 + random(14);
            let body: String = (0..count).map(|_| words[random(words.len())]).collect();
            let plain = format!("k: {body}\n");
            if let Some(fine) = reads_back(&plain, &key) {
                assert!(fine, "{plain:?}");
                taken += 1;
            }
        }
        assert!(taken > 500, "{taken} texts were taken");
    }
}
