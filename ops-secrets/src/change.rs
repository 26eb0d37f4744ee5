//! Changes of a plain document at one path, in its source text: the lines of that value change, and nothing else.

use zeroize::Zeroizing;

use crate::format::{Format, Indent};
use crate::patch::{self, Edit};
use crate::path::{Path, Step, wrap};
use crate::tree::{Data, Item, List, Map, Node, Pair, Scalar, Syntax, Tree, Value};
use crate::{dotenv, ini, json, yaml};

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

/// How far a path leads.
enum Reached<'t> {
    /// To a value, held by a pair or an element.
    Value { node: &'t Node, holder: Holder<'t> },
    /// To a mapping or sequence that has no such member.
    Gap {
        node: &'t Node,
        rest: &'t [Step],
        depth: usize,
    },
}

enum Holder<'t> {
    Root,
    Pair {
        map: &'t Map,
        pair: &'t Pair,
        number: usize,
    },
    Element {
        list: &'t List,
        number: usize,
    },
}

impl Change<'_> {
    fn shape(&self) -> Fault {
        Fault::Shape(self.path.to_string())
    }

    fn reach<'t>(&'t self, root: &'t Node) -> Reached<'t> {
        let (mut node, mut holder) = (root, Holder::Root);
        for (depth, step) in self.path.0.iter().enumerate() {
            let next = match (node, step) {
                (Node::Map(map), Step::Key(key)) => {
                    let found = map.pairs().enumerate().find(|(_, pair)| pair.key == *key);
                    found.map(|(number, pair)| (&pair.node, Holder::Pair { map, pair, number }))
                }
                (Node::List(list), Step::Index(index)) => {
                    let found = list.elements().nth(*index);
                    found.map(|(_, node)| {
                        (
                            node,
                            Holder::Element {
                                list,
                                number: *index,
                            },
                        )
                    })
                }
                // A leaf on the way is replaced.
                (Node::Scalar(_), _) => return Reached::Value { node, holder },
                _ => None,
            };
            match next {
                Some((inner, inner_holder)) => (node, holder) = (inner, inner_holder),
                None => {
                    return Reached::Gap {
                        node,
                        rest: &self.path.0[depth..],
                        depth,
                    };
                }
            }
        }
        Reached::Value { node, holder }
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

    /// How many steps of the path lead through what is there.
    fn depth_of(&self, root: &Node) -> usize {
        (1..=self.path.0.len())
            .take_while(|count| Path(self.path.0[..*count].to_vec()).find(root).is_some())
            .count()
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

    fn unset(&self, tree: &Tree) -> Result<Edit, Fault> {
        let root = Node::Map(tree.documents[0].root.clone());
        if self.depth_of(&root) < self.path.0.len() {
            return Err(Fault::Missing(self.path.to_string()));
        }
        let Reached::Value { node, holder } = self.reach(&root) else {
            return Err(Fault::Missing(self.path.to_string()));
        };
        if matches!(node, Node::Scalar(scalar) if scalar.place.alias) {
            return Err(Fault::Alias(self.path.to_string()));
        }
        let inline = self.format == Format::Json;
        match holder {
            Holder::Pair { map, number, .. } if inline || map.flow => {
                Ok(Edit::new(json::pair_region(self.source, map, number), ""))
            }
            Holder::Element { list, number } if inline || list.flow => Ok(Edit::new(
                json::element_region(self.source, list, number),
                "",
            )),
            Holder::Pair { map, pair, number } => self.cut_pair(&root, map, pair, number),
            Holder::Element { list, number } => {
                let (region, _) = list.elements().nth(number).ok_or_else(|| self.shape())?;
                if list.elements().count() == 1 {
                    return self.empty_parent(&root, &Data::List(Vec::new()));
                }
                let next = list
                    .elements()
                    .nth(number + 1)
                    .map(|(region, _)| region.start);
                Ok(self.cut(region, next))
            }
            Holder::Root => Err(self.shape()),
        }
    }

    /// Cuts a region of lines; one that begins inside a line ends where the next begins.
    fn cut(&self, region: &std::ops::Range<usize>, next: Option<usize>) -> Edit {
        let at_line = region.start == 0 || self.source[..region.start].ends_with('\n');
        let end = if at_line {
            region.end
        } else {
            next.map_or(region.end, |next| self.content_from(next))
        };
        Edit::new(region.start..end, "")
    }

    fn content_from(&self, at: usize) -> usize {
        at + self.source[at..].len() - self.source[at..].trim_start_matches(' ').len()
    }

    fn cut_pair(&self, root: &Node, map: &Map, pair: &Pair, number: usize) -> Result<Edit, Fault> {
        let top = self.path.0.len() == 1 || !matches!(self.format, Format::Yaml);
        if map.pairs().count() == 1 && !top {
            return self.empty_parent(root, &Data::Map(Vec::new()));
        }
        Ok(self.cut(
            &pair.region,
            map.pairs().nth(number + 1).map(|pair| pair.region.start),
        ))
    }

    /// What held the last member becomes empty.
    fn empty_parent(&self, root: &Node, empty: &Data) -> Result<Edit, Fault> {
        let parent = Path(self.path.0[..self.path.0.len() - 1].to_vec());
        let change = Change {
            format: self.format,
            source: self.source,
            path: &parent,
            step: self.step,
            unit: self.unit.clone(),
        };
        match change.reach(root) {
            Reached::Value { node, holder } => change.replace(node, &holder, parent.0.len(), empty),
            Reached::Gap { .. } => Err(self.shape()),
        }
    }

    fn flat_set(&self, tree: &Tree, value: Data) -> Result<Edit, Fault> {
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
