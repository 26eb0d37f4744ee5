//! As much of nginx's configuration language as finding upstreams takes.

/// Whether a text is a configuration of nginx, or a part of one.
#[must_use]
pub fn looks_like(text: &str) -> bool {
    [
        "proxy_pass",
        "upstream",
        "fastcgi_pass",
        "grpc_pass",
        "uwsgi_pass",
        "scgi_pass",
        "server_name",
    ]
    .iter()
    .any(|word| text.contains(word))
        && text.contains('{')
}

/// Lists hosts and ports of all upstreams that are names or addresses: no sockets, and no variables, which nginx resolves at
/// run time.
#[must_use]
pub fn upstreams(text: &str) -> Vec<(String, Option<u16>)> {
    let mut found = Vec::new();
    let mut groups = Vec::new();
    let mut blocks: Vec<bool> = Vec::new();
    for statement in statements(text) {
        let mut words = statement.words.iter().map(String::as_str);
        let name = words.next().unwrap_or("");
        let argument = words.next().unwrap_or("");
        if statement.end == '}' {
            blocks.pop();
        }
        if statement.end == '{' {
            if name == "upstream" {
                groups.push(argument.to_owned());
            }
            blocks.push(name == "upstream");
        }
        let passes = name.ends_with("_pass") && name != "auth_pass";
        let serves = name == "server" && blocks.last() == Some(&true) && statement.end == ';';
        if passes || serves {
            found.extend(place(argument));
        }
    }
    found.retain(|(host, _)| !groups.contains(host));
    found
}

fn place(argument: &str) -> Option<(String, Option<u16>)> {
    let (scheme, rest) = argument.split_once("://").unwrap_or(("", argument));
    if rest.starts_with("unix:") || rest.contains('$') {
        return None;
    }
    let authority = rest.split('/').next().unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let default = match scheme {
        "http" | "grpc" => Some(80),
        "https" | "grpcs" => Some(443),
        _ => None,
    };
    Some((host.to_owned(), port.or(default)))
}

/// A directive with what ends it: `;`, `{` or `}`.
struct Statement {
    words: Vec<String>,
    end: char,
}

fn statements(text: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (_, '\\') => word.extend(letters.next()),
            (None, '"' | '\'') if word.is_empty() => quote = Some(c),
            (None, '#') if word.is_empty() => {
                // To the end of the line.
                letters.by_ref().find(|c| *c == '\n');
            }
            // `${name}` is part of a word.
            (None, '{') if word.ends_with('$') => quote = Some('}'),
            (None, ';' | '{' | '}') => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                statements.push(Statement {
                    words: std::mem::take(&mut words),
                    end: c,
                });
            }
            (None, c) if c.is_whitespace() => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            }
            (_, c) => word.push(c),
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, Option<u16>)> {
        upstreams(text)
    }

    fn one(host: &str, port: u16) -> Vec<(String, Option<u16>)> {
        vec![(host.to_owned(), Some(port))]
    }

    #[test]
    fn every_kind_of_upstream_is_found() {
        assert_eq!(
            found("location / { proxy_pass http://localhost:6167; }"),
            one("localhost", 6167)
        );
        assert_eq!(
            found("location / { proxy_pass 'http://localhost'; }"),
            one("localhost", 80)
        );
        assert_eq!(
            found("location / { fastcgi_pass localhost:9000; }"),
            one("localhost", 9000)
        );
        assert_eq!(
            found(
                "upstream a { server localhost:3000 max_fails=2; } location / { proxy_pass http://a; }"
            ),
            one("localhost", 3000)
        );
        assert_eq!(
            found("location / { proxy_pass http://[::1]:80/x; }"),
            one("[::1]", 80)
        );
    }

    #[test]
    fn sockets_variables_comments_and_servers_are_none() {
        for text in [
            "location / { proxy_pass http://unix:/run/x.sock:/; }",
            "location / { proxy_pass http://$backend:80; }",
            "location / { proxy_pass http://${backend}:80; }",
            "# proxy_pass http://localhost:1;\n",
            "server { server_name localhost; listen 80; }",
            "location / { return 200 'proxy_pass http://localhost:1;'; }",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
