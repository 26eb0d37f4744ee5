//! YAML: reading with places, writing as sops does.

pub mod emit;
pub mod parse;
pub mod resolve;

use crate::json;
use crate::metadata::SEAL;
use crate::patch::Edit;
use crate::tree::{Data, Document, Map, Node, Tree};

/// The indentation step that a document uses; sops's own default where it shows none.
#[must_use]
pub fn step(tree: &Tree, default: usize) -> usize {
    tree.documents
        .iter()
        .find_map(|document| step_of_map(&document.root))
        .unwrap_or(default)
}

fn step_of_map(map: &Map) -> Option<usize> {
    map.pairs()
        .find_map(|pair| match &pair.node {
            Node::Map(inner) if !inner.flow && !inner.entries.is_empty() => {
                inner.column.checked_sub(map.column)
            }
            Node::List(list) if !list.flow && list.column > map.column => {
                list.column.checked_sub(map.column)
            }
            _ => None,
        })
        .filter(|step| (2..=9).contains(step))
}

/// Puts metadata into each document: in the place of the old, else at its end. A document in braces gets it there.
#[must_use]
pub fn embed(source: &str, tree: &Tree, fields: &[(String, Data)], step: usize) -> Vec<Edit> {
    let fields = [("sops".to_owned(), Data::Map(fields.to_vec()))];
    let mut edits = Vec::new();
    for document in &tree.documents {
        if document.root.flow {
            edits.push(embed_in_braces(document, &fields[0].1));
            continue;
        }
        let block = emit::map(&fields, document.root.column, step);
        let region = match document.root.pair("sops") {
            Some(pair) => pair.region.clone(),
            None => document.end..document.end,
        };
        let broken = region.start == 0 || source[..region.start].ends_with('\n');
        edits.push(Edit::new(
            region,
            if broken { block } else { format!("\n{block}") },
        ));
    }
    edits
}

/// JSON in one line is YAML in braces.
fn embed_in_braces(document: &Document, fields: &Data) -> Edit {
    let text = json::write(fields, None);
    if let Some(pair) = document.root.pair("sops") {
        return Edit::new(pair.node.span(), text);
    }
    let end = document.root.span.end - 1;
    match document.root.pairs().last() {
        None => Edit::new(end..end, format!("\"sops\": {text}")),
        Some(last) => {
            let end = last.node.span().end;
            Edit::new(end..end, format!(", \"sops\": {text}"))
        }
    }
}

/// Cuts the metadata out of each document.
#[must_use]
pub fn strip(source: &str, tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    for document in &tree.documents {
        let root = &document.root;
        if let Some(number) = root.pairs().position(|pair| pair.key == "sops") {
            let region = if root.flow {
                json::pair_region(source, root, number)
            } else {
                root.pairs()
                    .nth(number)
                    .map_or(0..0, |pair| pair.region.clone())
            };
            // What sops wrote of a document without content: it gives an empty mapping back.
            let alone = !root.flow && root.pairs().count() == 1;
            let sealed = matches!(root.pair("sops"), Some(pair) if matches!(&pair.node, Node::Map(map) if map.pair(SEAL).is_some()));
            edits.push(Edit::new(
                region,
                if alone && !sealed { "{}\n" } else { "" },
            ));
        }
    }
    edits
}
