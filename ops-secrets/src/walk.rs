//! Goes through the leaves of a tree in the order of the file, and tells for each what sops knows about it: the path that
//! its ciphertext is bound to, and whether it is to be encrypted.

use std::ops::Range;

use crate::rules::Rules;
use crate::tree::{Comment, Entry, Item, List, Map, Node, Scalar, Tree, Value};

/// What is known about a leaf.
pub struct Spot<'w> {
    /// The path in sops's form: keys, each followed by a colon; no numbers of elements.
    pub path: &'w str,
    /// Whether the rules encrypt it.
    pub selected: bool,
    /// For what stands in a sequence: the column of its dashes, and whether it is in brackets.
    pub list: Option<(usize, bool)>,
    /// For an element: what to cut when it goes.
    pub region: Range<usize>,
    /// Other paths that a comment here may have been bound to: those of the containers around, and of the one before.
    pub around: Vec<&'w str>,
}

/// What is done to leaves.
pub trait Visitor {
    /// Why it can fail.
    type Error;

    /// A value.
    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Self::Error>;

    /// A comment.
    fn comment(&mut self, comment: &mut Comment, spot: &Spot<'_>) -> Result<(), Self::Error>;
}

/// Walks over all documents, metadata left out.
pub fn walk<V: Visitor>(
    tree: &mut Tree,
    rules: &Rules,
    flat_metadata: bool,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let mut walker = Walker {
        rules,
        visitor,
        path: String::new(),
        previous: String::new(),
        matched: false,
        comments: Vec::new(),
        starts: Vec::new(),
    };
    for document in &mut tree.documents {
        let is_metadata = |key: &str| {
            if flat_metadata {
                key.starts_with("sops_")
            } else {
                key == "sops"
            }
        };
        walker.map(&mut document.root, &is_metadata)?;
    }
    Ok(())
}

struct Walker<'w, V> {
    rules: &'w Rules,
    visitor: &'w mut V,
    path: String,
    /// The path of the container of the leaf before.
    previous: String,
    /// Whether a key of the path matched the selector.
    matched: bool,
    /// The comments above, a list for each level.
    comments: Vec<Vec<String>>,
    /// Where each key of the path begins.
    starts: Vec<usize>,
}

impl<V: Visitor> Walker<'_, V> {
    fn map(&mut self, map: &mut Map, is_metadata: &dyn Fn(&str) -> bool) -> Result<(), V::Error> {
        self.comments.push(Vec::new());
        for entry in &mut map.entries {
            match entry {
                Entry::Comment(comment) => self.comment(comment, None)?,
                Entry::Pair(pair) if is_metadata(&pair.key) => {}
                Entry::Pair(pair) => {
                    let (start, matched) = (self.path.len(), self.matched);
                    self.starts.push(start);
                    self.path.push_str(&pair.key);
                    self.path.push(':');
                    self.matched = matched || self.rules.key_matches(&pair.key);
                    self.node(&mut pair.node, None)?;
                    self.previous.clone_from(&self.path);
                    self.matched = matched;
                    self.path.truncate(start);
                    self.starts.pop();
                    self.forget_comments();
                }
            }
        }
        self.comments.pop();
        Ok(())
    }

    fn list(&mut self, list: &mut List) -> Result<(), V::Error> {
        self.comments.push(Vec::new());
        for item in &mut list.items {
            let place = Some((list.column, list.flow));
            match item {
                Item::Comment(comment) => self.comment(comment, place)?,
                Item::Element { region, node } => {
                    self.node(node, place.map(|place| (place, region.clone())))?;
                    if !matches!(
                        node,
                        Node::Scalar(Scalar {
                            value: Value::Comment(_),
                            ..
                        })
                    ) {
                        self.forget_comments();
                    }
                }
            }
        }
        self.comments.pop();
        Ok(())
    }

    fn forget_comments(&mut self) {
        if let Some(level) = self.comments.last_mut() {
            level.clear();
        }
    }

    fn node(
        &mut self,
        node: &mut Node,
        element: Option<((usize, bool), Range<usize>)>,
    ) -> Result<(), V::Error> {
        match node {
            Node::Map(map) => self.map(map, &|_| false),
            Node::List(list) => self.list(list),
            Node::Scalar(scalar) => {
                let selected = self.rules.selects(self.matched, &self.comments, false);
                let (list, region) =
                    element.map_or((None, 0..0), |(list, region)| (Some(list), region));
                let spot = Spot {
                    path: bound(&self.path),
                    selected,
                    list,
                    region,
                    around: Vec::new(),
                };
                self.visitor.value(scalar, &spot)
            }
        }
    }

    fn comment(
        &mut self,
        comment: &mut Comment,
        list: Option<(usize, bool)>,
    ) -> Result<(), V::Error> {
        if self.rules.by_comments()
            && let Some(level) = self.comments.last_mut()
        {
            level.push(comment.text.to_string());
        }
        let selected = self.rules.selects(self.matched, &self.comments, true);
        let mut around: Vec<&str> = self
            .starts
            .iter()
            .rev()
            .map(|start| bound(&self.path[..*start]))
            .collect();
        around.extend(
            self.previous
                .match_indices(':')
                .rev()
                .map(|(at, _)| &self.previous[..=at]),
        );
        let spot = Spot {
            path: bound(&self.path),
            selected,
            list,
            region: 0..0,
            around,
        };
        self.visitor.comment(comment, &spot)
    }
}

/// The root's path is a lone colon.
fn bound(path: &str) -> &str {
    if path.is_empty() { ":" } else { path }
}
