//! The argument of a `proxy_pass`: where it leads, whatever stands in its variables, and what is left of the URI.

use std::collections::HashMap;

use crate::nginx::Directive;

/// What a variable may hold, by its name without the dollar.
pub(crate) type Variables = HashMap<String, Vec<String>>;

/// The most ways that are followed where several variables stand in one target.
const MOST: usize = 32;

/// What holds the URI or a part of it.
const URI_VARIABLES: [&str; 5] = ["request_uri", "uri", "document_uri", "is_args", "args"];

/// One way that a target may lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `http` or `https`; empty where even that stands in a variable.
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

/// Where host and port end, of which each may be a variable.
fn authority_end(rest: &str) -> usize {
    let mut end = 0;
    loop {
        end += rest[end..]
            .find(['/', '$', '?'])
            .unwrap_or(rest.len() - end);
        let length = match &rest[end..] {
            behind if behind.starts_with('$') => variable(behind),
            _ => return end,
        };
        if !is_of_host(&rest[..end], bare(&rest[end..end + length])) {
            return end;
        }
        end += length;
    }
}

/// Whether a variable behind `before` still belongs to host and port, and is not the URI.
fn is_of_host(before: &str, variable: &str) -> bool {
    let behind_address = before.rsplit(']').next().unwrap_or_default();
    match behind_address.rsplit_once(':') {
        Some((_, port)) => port.is_empty(),
        None if before.is_empty() => true,
        None => {
            let is_capture = variable.bytes().all(|byte| byte.is_ascii_digit());
            !is_capture && !URI_VARIABLES.contains(&variable)
        }
    }
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return text.starts_with('$').then(|| Self {
                scheme: String::new(),
                authority: text.to_owned(),
                path: String::new(),
            });
        };
        let end = if let Some(socket) = rest.strip_prefix("unix:") {
            socket.find(':').map_or(rest.len(), |colon| colon + 5)
        } else {
            authority_end(rest)
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
        if self.scheme.is_empty() {
            return self.authority.clone();
        }
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The variables that hide where it leads.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = &str> {
        positions(&self.authority).map(|(start, end)| &self.authority[start..end])
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
            ("$unknown", "$unknown", "", true),
            ("http://h:$port", "h:$port", "", true),
            ("http://[::1]:$port/x", "[::1]:$port", "/x", false),
            ("http://hs$zone:8008", "hs$zone:8008", "", true),
            ("http://${a}${b}$uri", "${a}${b}", "$uri", false),
            ("http://h$1", "h", "$1", false),
            ("http://h:1$rest", "h:1", "$rest", false),
        ] {
            let expected = (authority.to_owned(), path.to_owned(), kept);
            assert_eq!(told(text), [expected], "{text}");
        }
        let both: Vec<_> = told("$all").into_iter().map(|(host, ..)| host).collect();
        assert_eq!(both, ["a:1", "b:2"]);
        assert_eq!(told("unknown"), []);
    }
}
