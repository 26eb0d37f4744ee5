//! Where a path leads.

use super::Change;
use crate::path::{Path, Step};
use crate::tree::{List, Map, Node, Pair};

/// How far a path leads.
pub(super) enum Reached<'t> {
    /// To a value, held by a pair or an element.
    Value { node: &'t Node, holder: Holder<'t> },
    /// To a mapping or sequence that has no such member.
    Gap {
        node: &'t Node,
        rest: &'t [Step],
        depth: usize,
    },
}

pub(super) enum Holder<'t> {
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
    pub(super) fn reach<'t>(&'t self, root: &'t Node) -> Reached<'t> {
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

    /// How many steps of the path lead through what is there.
    pub(super) fn depth_of(&self, root: &Node) -> usize {
        (1..=self.path.0.len())
            .take_while(|count| Path(self.path.0[..*count].to_vec()).find(root).is_some())
            .count()
    }
}
