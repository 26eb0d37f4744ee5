//! Changes of a plain document at one path, in its source text: the lines of that value change, and nothing else.

mod cut;
mod flat;
mod reach;

use zeroize::Zeroizing;

use self::reach::{Holder, Reached};

use crate::format::{Format, Indent};
use crate::patch::{self, Edit};
use crate::path::{Path, Step, wrap};
use crate::tree::{Data, Item, List, Map, Node, Scalar, Syntax, Tree};
use crate::{json, yaml};

/// Why a document could not be changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The document is malformed.
    #[error("malformed")]
    Syntax(Syntax),
    /// There is nothing at the path.
    #[error("nothing is at {0}")]
    Missing(String),
    /// The format cannot hold the value there.
    #[error("the format cannot hold that value at {0}")]
    Shape(String),
    /// The value is reached through an alias.
    #[error("{0} is reached through an alias: change the anchor's value")]
    Alias(String),
}

/// Sets the value at a path; what is missing on the way is made.
pub fn set(
    format: Format,
    source: &str,
    path: &Path,
    value: Data,
    indent: &Indent,
) -> Result<Zeroizing<String>, Fault> {
    let tree = format.parse(source).map_err(Fault::Syntax)?;
    let change = Change {
        format,
        source,
        path,
        step: yaml::step(&tree, indent.yaml),
        unit: unit(format, source, &tree, indent),
    };
    let edit = match format {
        Format::Dotenv | Format::Ini | Format::Binary => change.flat_set(&tree, value)?,
        Format::Yaml | Format::Json => change.set(&tree, value)?,
    };
    Ok(patch::apply(source, [edit]))
}

/// Takes the value at a path away.
pub fn unset(
    format: Format,
    source: &str,
    path: &Path,
    indent: &Indent,
) -> Result<Zeroizing<String>, Fault> {
    let tree = format.parse(source).map_err(Fault::Syntax)?;
    let change = Change {
        format,
        source,
        path,
        step: yaml::step(&tree, indent.yaml),
        unit: unit(format, source, &tree, indent),
    };
    let edit = change.unset(&tree)?;
    Ok(patch::apply(source, [edit]))
}

/// The text of a level in JSON, if levels stand on lines of their own.
fn unit(format: Format, source: &str, tree: &Tree, indent: &Indent) -> Option<String> {
    let root = &tree.documents[0].root;
    match (format, root.pairs().next()) {
        (Format::Json, None) => Some(indent.json.clone()),
        (Format::Json, Some(_)) => json::line_before(source, root).map(|line| line[1..].to_owned()),
        _ => None,
    }
}

struct Change<'c> {
    format: Format,
    source: &'c str,
    path: &'c Path,
    step: usize,
    unit: Option<String>,
}

impl Change<'_> {
    fn shape(&self) -> Fault {
        Fault::Shape(self.path.to_string())
    }

    fn set(&self, tree: &Tree, value: Data) -> Result<Edit, Fault> {
        let root = Node::Map(tree.documents[0].root.clone());
        match self.reach(&root) {
            Reached::Value { node, holder } => {
                let depth = self.depth_of(&root);
                let value = wrap(&self.path.0[depth..], value);
                self.replace(node, &holder, depth, &value)
            }
            Reached::Gap { node, rest, depth } => {
                let value = wrap(&rest[1..], value);
                match (node, &rest[0]) {
                    (Node::Map(map), Step::Key(key)) => {
                        Ok(self.add_pair(tree, map, key, &value, depth))
                    }
                    (Node::List(list), Step::Index(_)) => Ok(self.add_element(list, &value, depth)),
                    _ => Err(self.shape()),
                }
            }
        }
    }

    fn replace(
        &self,
        node: &Node,
        holder: &Holder<'_>,
        depth: usize,
        value: &Data,
    ) -> Result<Edit, Fault> {
        let span = node.span();
        if matches!(node, Node::Scalar(scalar) if scalar.place.alias) {
            return Err(Fault::Alias(self.path.to_string()));
        }
        let flow = self.format == Format::Json
            || match holder {
                Holder::Pair { map, .. } => map.flow,
                Holder::Element { list, .. } => list.flow,
                Holder::Root => return Err(self.shape()),
            };
        if flow {
            let blank = if span.is_empty() { " " } else { "" };
            return Ok(Edit::new(
                span,
                format!("{blank}{}", self.inline(value, depth)),
            ));
        }
        if let (Node::Scalar(Scalar { place, .. }), Data::Scalar(new)) = (node, value) {
            let blank = if span.is_empty() { " " } else { "" };
            return Ok(Edit::new(
                span,
                format!(
                    "{blank}{}",
                    yaml::emit::respell(new, place, self.source, self.step)
                ),
            ));
        }
        let (sign, end, column, element) = match holder {
            Holder::Pair { map, pair, .. } => (pair.sign, pair.region.end, map.column, false),
            Holder::Element { list, number } => {
                let (region, _) = list.elements().nth(*number).ok_or_else(|| self.shape())?;
                let dash = region.start + self.source[region.clone()].find('-').unwrap_or(0);
                (dash + 1, region.end, list.column, true)
            }
            Holder::Root => return Err(self.shape()),
        };
        Ok(Edit::new(
            sign..end,
            yaml::emit::after_sign(value, column, element, self.step),
        ))
    }

    /// A value in one place of braces and brackets.
    fn inline(&self, value: &Data, depth: usize) -> String {
        let mut text = String::new();
        let line = format!("\n{}", self.unit.as_deref().unwrap_or("").repeat(depth));
        json::put(&mut text, value, self.unit.as_deref(), &line);
        text
    }

    fn add_pair(&self, tree: &Tree, map: &Map, key: &str, value: &Data, depth: usize) -> Edit {
        let last = map.pairs().last();
        if self.format == Format::Json || (map.flow && !map.span.is_empty()) {
            return self.add_inline(
                &map.span,
                last.map(|pair| pair.node.span().end),
                &format!("{}: ", json::quote(key)),
                value,
                depth,
            );
        }
        let mut text = " ".repeat(map.column);
        yaml::emit::pair(&mut text, key, value, map.column, self.step);
        let at = last.map_or(tree.documents[0].end, |pair| pair.region.end);
        self.new_line(at, &text)
    }

    fn add_element(&self, list: &List, value: &Data, depth: usize) -> Edit {
        let last = list.elements().last();
        if self.format == Format::Json || list.flow {
            return self.add_inline(
                &list.span,
                last.map(|(_, node)| node.span().end),
                "",
                value,
                depth,
            );
        }
        let comments = list.items.iter().rev().find_map(|item| match item {
            Item::Element { region, .. } => Some(region.end),
            Item::Comment(_) => None,
        });
        let text = format!(
            "{}-{}",
            " ".repeat(list.column),
            yaml::emit::after_sign(value, list.column, true, self.step)
        );
        self.new_line(comments.unwrap_or(list.span.end), &text)
    }

    fn new_line(&self, at: usize, text: &str) -> Edit {
        let broken = at == 0 || self.source[..at].ends_with('\n');
        Edit::new(
            at..at,
            if broken {
                text.to_owned()
            } else {
                format!("\n{text}")
            },
        )
    }

    /// Adds a member before the closing sign of braces or brackets.
    fn add_inline(
        &self,
        span: &std::ops::Range<usize>,
        last: Option<usize>,
        key: &str,
        value: &Data,
        depth: usize,
    ) -> Edit {
        let lines = self.unit.as_ref().map(|unit| {
            (
                format!("\n{}", unit.repeat(depth + 1)),
                format!("\n{}", unit.repeat(depth)),
            )
        });
        let text = self.inline(value, depth + 1);
        match (last, lines) {
            (Some(end), Some((line, _))) => Edit::new(end..end, format!(",{line}{key}{text}")),
            (Some(end), None) => Edit::new(end..end, format!(", {key}{text}")),
            (None, Some((line, close))) => Edit::new(
                span.start + 1..span.end - 1,
                format!("{line}{key}{text}{close}"),
            ),
            (None, None) => Edit::new(span.start + 1..span.end - 1, format!("{key}{text}")),
        }
    }
}
