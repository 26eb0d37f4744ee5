//! Places in a text: how members are set out, what goes with one that is cut, where the metadata belongs.

use std::ops::Range;

use super::put;
use crate::patch::Edit;
use crate::tree::{Data, List, Map, Pair, Tree};

/// How the pairs of an object are set out: the text before each key, if each stands on a line of its own.
#[must_use]
pub fn line_before(source: &str, map: &Map) -> Option<String> {
    let first = map.pairs().next()?;
    let lead = &source[map.span.start + 1..first.at];
    lead.rfind('\n').map(|at| lead[at..].to_owned())
}

/// What to cut so that a pair, named by its number, goes together with its comma.
#[must_use]
pub fn pair_region(source: &str, map: &Map, number: usize) -> Range<usize> {
    let pairs: Vec<&Pair> = map.pairs().collect();
    let spans: Vec<Range<usize>> = pairs
        .iter()
        .map(|pair| pair.at..pair.node.span().end)
        .collect();
    region(source, &map.span, &spans, number)
}

/// What to cut so that an element goes together with its comma.
#[must_use]
pub fn element_region(source: &str, list: &List, number: usize) -> Range<usize> {
    let spans: Vec<Range<usize>> = list
        .elements()
        .map(|(region, node)| region.start..node.span().end)
        .collect();
    region(source, &list.span, &spans, number)
}

fn region(
    _source: &str,
    whole: &Range<usize>,
    spans: &[Range<usize>],
    number: usize,
) -> Range<usize> {
    match (number, spans.get(number + 1)) {
        (0, None) => whole.start + 1..whole.end - 1,
        (0, Some(next)) => spans[0].start..next.start,
        _ => spans[number - 1].end..spans[number].end,
    }
}

/// Puts metadata into the object: in the place of the old, else as the last member.
#[must_use]
pub fn embed(
    source: &str,
    tree: &Tree,
    fields: &[(String, Data)],
    default_unit: &str,
) -> Vec<Edit> {
    (tree.documents.iter())
        .map(|document| embed_one(source, &document.root, fields, default_unit))
        .collect()
}

fn embed_one(source: &str, root: &Map, fields: &[(String, Data)], default_unit: &str) -> Edit {
    let empty = root.pairs().next().is_none();
    let line = if empty {
        Some(format!("\n{default_unit}"))
    } else {
        line_before(source, root)
    };
    let data = Data::Map(fields.to_vec());
    let unit = line.as_deref().map(|line| &line[1..]);
    let mut text = String::new();
    put(&mut text, &data, unit, line.as_deref().unwrap_or("\n"));
    if let Some(pair) = root.pair("sops") {
        return Edit::new(pair.node.span(), text);
    }
    match root.pairs().last() {
        None => Edit::new(
            root.span.start + 1..root.span.end - 1,
            format!("{}\"sops\": {text}\n", line.unwrap_or_default()),
        ),
        Some(last) => {
            let end = last.node.span().end;
            Edit::new(
                end..end,
                format!(",{}\"sops\": {text}", line.as_deref().unwrap_or(" ")),
            )
        }
    }
}

/// Cuts the metadata out.
#[must_use]
pub fn strip(source: &str, tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    for document in &tree.documents {
        if let Some(number) = document.root.pairs().position(|pair| pair.key == "sops") {
            edits.push(Edit::new(pair_region(source, &document.root, number), ""));
        }
    }
    edits
}
