//! A path to a value in a document, as sops writes it: `["databases"][0]["password"]`.

use crate::json;
use crate::tree::{Data, Node, Value};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the member of that key.
    Key(String),
    /// To the element of that number.
    Index(usize),
}

/// The way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl std::str::FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let wrong = || format!("a path is written like '[\"key\"][0]', not '{text}'");
            let inner = rest.strip_prefix('[').ok_or_else(wrong)?.trim_start();
            let (step, after) = step(inner).ok_or_else(wrong)?;
            steps.push(step);
            rest = after.trim_start().strip_prefix(']').ok_or_else(wrong)?;
        }
        if steps.is_empty() {
            Err("the path is empty".to_owned())
        } else {
            Ok(Self(steps))
        }
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    match text.chars().next()? {
        '"' => {
            let end = quoted_end(text)?;
            match json::value(&text[..end]).ok()? {
                Data::Scalar(Value::Text(key)) => Some((Step::Key(key.to_string()), &text[end..])),
                _ => None,
            }
        }
        '\'' => {
            let length = text[1..].find('\'')?;
            Some((Step::Key(text[1..=length].to_owned()), &text[length + 2..]))
        }
        _ => {
            let end = text.find(|c: char| !c.is_ascii_digit())?;
            Some((Step::Index(text[..end].parse().ok()?), &text[end..]))
        }
    }
}

fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Key(key) => write!(f, "[{}]", json::quote(key)),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

impl Path {
    /// The value at the path.
    #[must_use]
    pub fn find<'n>(&self, root: &'n Node) -> Option<&'n Node> {
        self.0
            .iter()
            .try_fold(root, |node, step| match (node, step) {
                (Node::Map(map), Step::Key(key)) => map.pair(key).map(|pair| &pair.node),
                (Node::List(list), Step::Index(index)) => {
                    list.elements().nth(*index).map(|(_, node)| node)
                }
                _ => None,
            })
    }
}

/// Data that holds only a value at the end of some steps.
#[must_use]
pub fn wrap(steps: &[Step], value: Data) -> Data {
    steps.iter().rev().fold(value, |value, step| match step {
        Step::Key(key) => Data::Map(vec![(key.clone(), value)]),
        Step::Index(_) => Data::List(vec![value]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_hold_anything() {
        let path: Path = r#"["a[0]"]["quote \" here"][12]['b']"#.parse().unwrap();
        assert_eq!(path.0[0], Step::Key("a[0]".to_owned()));
        assert_eq!(path.0[1], Step::Key("quote \" here".to_owned()));
        assert_eq!(path.0[2], Step::Index(12));
        assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in ["", "a", "[a]", "[\"a\"", "[\"a]", "[1", "[-1]", "[\"a\"]x"] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
