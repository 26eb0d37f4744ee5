//! `decrypt`: a sops file becomes a plain one, in its own format or another, whole or in part.

use zeroize::Zeroizing;

use crate::crypt::Opened;
use crate::error::Error;
use crate::file::Encrypted;
use crate::format::{self, Format};
use crate::json;
use crate::path::Path;
use crate::tree::{Data, Map, Node, Value};
use crate::yaml::emit;

/// The whole document, in the format asked for.
pub fn whole(
    file: &Encrypted,
    opened: Opened,
    output: Format,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if output == file.format {
        return Ok(opened.text);
    }
    let data = Data::from(&into_root(file.format, opened));
    let text = output.write(&data, &file.indent);
    let text = text.map_err(|key| Error::Convert {
        file: file.name.clone(),
        format: output.name(),
        key,
    })?;
    Ok(bytes(text))
}

fn bytes(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

/// The first document, as a node without metadata.
#[must_use]
pub fn without_metadata(format: Format, opened: &Opened) -> Node {
    if format == Format::Binary {
        return binary(opened.text.clone());
    }
    stripped(format, opened.tree.documents[0].root.clone())
}

/// The same of a document that is not needed any more: nothing is copied.
fn into_root(format: Format, mut opened: Opened) -> Node {
    if format == Format::Binary {
        return binary(opened.text);
    }
    stripped(format, std::mem::take(&mut opened.tree.documents[0].root))
}

fn binary(text: Zeroizing<Vec<u8>>) -> Node {
    let mut tree = format::binary_tree(text);
    Node::Map(std::mem::take(&mut tree.documents[0].root))
}

fn stripped(format: Format, mut root: Map) -> Node {
    root.entries.retain(|entry| match entry {
        crate::tree::Entry::Pair(pair) => match format {
            Format::Dotenv => !pair.key.starts_with("sops_"),
            Format::Ini => {
                pair.key != "sops"
                    && !(pair.key == "DEFAULT"
                        && matches!(&pair.node, Node::Map(map) if map.entries.is_empty()))
            }
            _ => pair.key != "sops",
        },
        crate::tree::Entry::Comment(_) => true,
    });
    Node::Map(root)
}

/// The value at a path: a text as it is, anything else in the format asked for.
pub fn extract(
    file: &Encrypted,
    opened: Opened,
    path: &Path,
    output: Format,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if file.format == Format::Binary {
        return Err(Error::NothingAt {
            file: file.name.clone(),
            path: path.to_string(),
        });
    }
    let root = into_root(file.format, opened);
    let node = path.find(&root).ok_or_else(|| Error::NothingAt {
        file: file.name.clone(),
        path: path.to_string(),
    })?;
    let data = Data::from(node);
    let text = match (&data, output) {
        (Data::Scalar(Value::Text(text)), _) => {
            return Ok(Zeroizing::new(text.as_bytes().to_vec()));
        }
        (Data::Scalar(Value::Bytes(bytes)), _) => return Ok(bytes.clone()),
        (Data::Scalar(Value::Comment(_)), _) => String::new(),
        (data, Format::Json | Format::Binary) => json::write(data, Some(&file.indent.json)),
        (Data::Scalar(value), _) => {
            emit::scalar(value, &crate::tree::Place::default(), file.indent.yaml).into_owned()
                + "\n"
        }
        (Data::Map(pairs), Format::Yaml) => emit::map(pairs, 0, file.indent.yaml),
        (Data::List(items), Format::Yaml) => items.iter().fold(String::new(), |text, item| {
            text + "-" + &emit::after_sign(item, 0, true, file.indent.yaml)
        }),
        (data, format) => {
            let written = format.write(data, &file.indent);
            return written.map(bytes).map_err(|key| Error::Convert {
                file: file.name.clone(),
                format: format.name(),
                key,
            });
        }
    };
    Ok(bytes(Zeroizing::new(text)))
}
