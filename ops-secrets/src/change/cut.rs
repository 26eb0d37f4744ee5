//! Taking a value away.

use super::{Change, Fault, Holder, Reached};
use crate::format::Format;
use crate::json;
use crate::patch::Edit;
use crate::path::Path;
use crate::tree::{Data, Map, Node, Pair, Tree};

impl Change<'_> {
    pub(super) fn unset(&self, tree: &Tree) -> Result<Edit, Fault> {
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
}
