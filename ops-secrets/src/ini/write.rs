//! Writing whole sections, and the one with the metadata.

use super::spell::{plain_text, scalar};
use crate::dotenv;
use crate::patch::Edit;
use crate::tree::{Data, Tree};

fn key_text(name: &str) -> String {
    if name.contains(['"', '=', ':']) {
        format!("`{name}`")
    } else if name.contains('`') {
        format!("\"\"\"{name}\"\"\"")
    } else {
        name.to_owned()
    }
}

/// Writes sections of leaves; gives the key of what INI cannot hold.
pub fn write(sections: &[(String, Data)]) -> Result<String, String> {
    let mut out = String::new();
    for (index, (name, data)) in sections.iter().enumerate() {
        let Data::Map(pairs) = data else {
            return Err(name.clone());
        };
        if index > 0 || name != "DEFAULT" {
            out.push_str(&format!("[{name}]\n"));
        } else if pairs.is_empty() {
            continue;
        }
        let width = pairs
            .iter()
            .map(|(key, _)| key_text(key).len())
            .max()
            .unwrap_or(0);
        for (key, value) in pairs {
            let Data::Scalar(value) = value else {
                return Err(key.clone());
            };
            let text = scalar(value).ok_or_else(|| key.clone())?;
            out.push_str(&format!("{:width$} = {text}\n", key_text(key)));
        }
        if index + 1 < sections.len() {
            out.push('\n');
        }
    }
    Ok(out)
}

/// Puts the metadata into a last section, in the place of the old.
#[must_use]
pub fn embed(source: &str, tree: &Tree, fields: &[(String, Data)]) -> Vec<Edit> {
    let mut flat = Vec::new();
    dotenv::flatten(&Data::Map(fields.to_vec()), "", &mut flat);
    let pairs = (flat.into_iter())
        .map(|(key, value)| (key, Data::text(plain_text(&value).replace('\n', "\\n"))))
        .collect();
    let text = write(&[("sops".to_owned(), Data::Map(pairs))]).unwrap_or_default();
    let region = tree.documents[0]
        .root
        .pair("sops")
        .map(|pair| pair.region.clone());
    let at = region.unwrap_or(source.len()..source.len());
    let before = &source[..at.start];
    let lead = match before {
        "" => "",
        _ if before.ends_with("\n\n") || (at.start < source.len() && before.ends_with('\n')) => "",
        _ if before.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    vec![Edit::new(at, format!("{lead}{text}"))]
}

/// Cuts the metadata out, with the empty line that sops puts before it.
#[must_use]
pub fn strip(source: &str, tree: &Tree) -> Vec<Edit> {
    let Some(pair) = tree.documents[0].root.pair("sops") else {
        return Vec::new();
    };
    let start = pair.region.start;
    let lead = usize::from(source[..start].ends_with("\n\n"));
    vec![Edit::new(start - lead..pair.region.end, "")]
}
