//! The argument of a `proxy_pass`: where it leads, whatever stands in its variables, and what is left of the URI.

use std::collections::HashMap;

use crate::nginx::Directive;

/// What a variable may hold, by its name without the dollar.
pub(crate) type Variables = HashMap<String, Vec<String>>;

/// The most ways that are followed where several variables stand in one target.
const MOST: usize = 32;

/// One way that a target may lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `http` or `https`.
    pub(crate) scheme: String,
    /// Host and port, the name of an upstream, or `unix:` and a path.
    pub(crate) authority: String,
    /// What comes behind: nothing where the URI passes as it came.
    pub(crate) path: String,
}

/// The variables of `map`, `geo` and `split_clients` anywhere below.
pub(crate) fn mapped(directives: &[Directive], variables: &mut Variables) {
    for directive in directives {
        let ("map" | "geo" | "split_clients", [.., name]) = (directive.name(), directive.args())
        else {
            mapped(&directive.block, variables);
            continue;
        };
        let held = variables.entry(bare(name).to_owned()).or_default();
        for entry in &directive.block {
            if let [value] = entry.args()
                && !matches!(entry.name(), "include" | "proxy" | "delete")
                && !held.contains(value)
            {
                held.push(value.clone());
            }
        }
    }
}

/// `set $name value;`
pub(crate) fn set(directive: &Directive, variables: &mut Variables) {
    if let ("set", [name, value]) = (directive.name(), directive.args()) {
        variables.insert(bare(name).to_owned(), vec![value.clone()]);
    }
}

fn bare(name: &str) -> &str {
    name.trim_start_matches('$')
        .trim_start_matches('{')
        .trim_end_matches('}')
}

/// Every way that a target leads. A variable that nothing is known about stays what it is.
pub(crate) fn targets(text: &str, variables: &Variables) -> Vec<Target> {
    let mut found = Vec::new();
    for filled in filled(text, variables, 4) {
        if let Some(target) = Target::parse(&filled)
            && !found.contains(&target)
        {
            found.push(target);
        }
    }
    found
}

/// The text with its variables replaced; a value may have variables too.
fn filled(text: &str, variables: &Variables, depth: usize) -> Vec<String> {
    let known = positions(text).find_map(|(start, end)| {
        let values = variables.get(bare(&text[start..end]))?;
        Some((start, end, values))
    });
    let (Some((start, end, values)), true) = (known, depth > 0) else {
        return vec![text.to_owned()];
    };
    let one = |value: &String| {
        let next = format!("{}{value}{}", &text[..start], &text[end..]);
        filled(&next, variables, depth - 1)
    };
    values.iter().flat_map(one).take(MOST).collect()
}

/// Where the variables of a text stand.
fn positions(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.match_indices('$')
        .map(move |(start, _)| (start, start + variable(&text[start..])))
}

/// How long the variable is with which a text starts.
fn variable(text: &str) -> usize {
    if text.starts_with("${") {
        return text.find('}').map_or(text.len(), |end| end + 1);
    }
    let name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text[1..]
        .find(|character| !name(character))
        .map_or(text.len(), |end| end + 1)
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = if let Some(socket) = rest.strip_prefix("unix:") {
            socket.find(':').map_or(rest.len(), |colon| colon + 5)
        } else {
            let host = if rest.starts_with('$') {
                variable(rest)
            } else {
                0
            };
            host + rest[host..]
                .find(['/', '$', '?'])
                .unwrap_or(rest.len() - host)
        };
        let (authority, path) = rest.split_at(end);
        let path = if authority.starts_with("unix:") {
            path.trim_start_matches(':')
        } else {
            path
        };
        Some(Self {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Whether the homeserver gets the URI as it came: decoded it is everywhere but in `$request_uri`.
    pub(crate) fn keeps_uri(&self) -> bool {
        self.path.is_empty() || self.path.starts_with("$request_uri")
    }

    /// The same without what changes the URI.
    pub(crate) fn without_path(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, String, bool)> {
        let variables: Variables = [
            ("up", &["localhost:8008"][..]),
            ("all", &["http://a:1", "http://b:2/x"][..]),
            ("inner", &["$up"][..]),
            ("loop", &["$loop"][..]),
        ]
        .map(|(name, values)| {
            (
                name.to_owned(),
                values.iter().map(ToString::to_string).collect(),
            )
        })
        .into();
        targets(text, &variables)
            .iter()
            .map(|target| {
                (
                    target.authority.clone(),
                    target.path.clone(),
                    target.keeps_uri(),
                )
            })
            .collect()
    }

    #[test]
    fn where_a_target_leads_and_what_it_does_to_the_uri() {
        for (text, authority, path, kept) in [
            ("http://h:1", "h:1", "", true),
            ("http://h:1/", "h:1", "/", false),
            ("http://h:1$request_uri", "h:1", "$request_uri", true),
            // Decoded, as the locations see it.
            ("http://h:1$uri", "h:1", "$uri", false),
            (
                "http://h:1$uri$is_args$args",
                "h:1",
                "$uri$is_args$args",
                false,
            ),
            ("http://h:1/$1", "h:1", "/$1", false),
            ("http://[2001:db8::1]:1", "[2001:db8::1]:1", "", true),
            ("http://unix:/run/hs.sock", "unix:/run/hs.sock", "", true),
            (
                "http://unix:/run/hs.sock:/",
                "unix:/run/hs.sock",
                "/",
                false,
            ),
            ("http://$up", "localhost:8008", "", true),
            (
                "http://${up}$request_uri",
                "localhost:8008",
                "$request_uri",
                true,
            ),
            ("http://$up/", "localhost:8008", "/", false),
            ("http://$inner", "localhost:8008", "", true),
            ("http://$unknown", "$unknown", "", true),
            ("http://${unknown}:8008/x", "${unknown}:8008", "/x", false),
            ("http://$loop", "$loop", "", true),
        ] {
            let expected = (authority.to_owned(), path.to_owned(), kept);
            assert_eq!(told(text), [expected], "{text}");
        }
        let both: Vec<_> = told("$all").into_iter().map(|(host, ..)| host).collect();
        assert_eq!(both, ["a:1", "b:2"]);
        assert_eq!(told("$unknown"), []);
    }
}
