//! Dotenv and INI: no levels, or one.

use super::{Change, Fault};
use crate::format::Format;
use crate::patch::Edit;
use crate::path::Step;
use crate::tree::{Data, Map, Node, Pair, Tree, Value};
use crate::{dotenv, ini};

impl Change<'_> {
    pub(super) fn flat_set(&self, tree: &Tree, value: Data) -> Result<Edit, Fault> {
        let Data::Scalar(value) = value else {
            return Err(self.shape());
        };
        let root = &tree.documents[0].root;
        match (self.format, self.path.0.as_slice()) {
            (Format::Dotenv, [Step::Key(key)]) => Ok(match root.pair(key) {
                Some(pair) => Edit::new(pair.node.span(), dotenv::scalar(&value)),
                None => self.new_line(
                    self.source.len(),
                    &format!("{key}={}\n", dotenv::scalar(&value)),
                ),
            }),
            (Format::Ini, [Step::Key(section), Step::Key(key)]) => {
                self.ini_set(root, section, key, &value)
            }
            _ => Err(self.shape()),
        }
    }

    fn ini_set(&self, root: &Map, section: &str, key: &str, value: &Value) -> Result<Edit, Fault> {
        let text = ini::scalar(value).ok_or_else(|| self.shape())?;
        let line = format!("{key} = {text}\n");
        if let Some(Pair {
            node: Node::Map(map),
            region,
            ..
        }) = root.pair(section)
        {
            Ok(match map.pair(key) {
                Some(Pair {
                    node: Node::Scalar(scalar),
                    ..
                }) => {
                    let text = ini::respell(value, &scalar.place).ok_or_else(|| self.shape())?;
                    Edit::new(scalar.place.span.clone(), text)
                }
                _ => self.new_line(region.end, &line),
            })
        } else {
            let gap = if self.source.is_empty() { "" } else { "\n" };
            Ok(self.new_line(self.source.len(), &format!("{gap}[{section}]\n{line}")))
        }
    }
}
