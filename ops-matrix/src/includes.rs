//! The files of a configuration on this machine: read from the disk, or taken from what `nginx -T` printed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::nginx::{self, Directive, NginxError};

/// What `nginx -T` prints before each file.
const HEADING: &str = "# configuration file ";

/// Reads a configuration with all that it includes. A text from stdin has no folder: it is all there is, unless it is what
/// `nginx -T` printed.
pub(crate) fn read(file: &str, text: &str) -> Result<Vec<Directive>, NginxError> {
    let dumped = dumped(text);
    let Some((main, text)) = dumped.first() else {
        let folder = (file != "-").then(|| folder(file));
        return nginx::read(file, text, &|pattern| match folder {
            Some(folder) => on_disk(&absolute(folder, pattern)),
            None => Vec::new(),
        });
    };
    nginx::read(main, text, &|pattern| {
        let pattern = absolute(folder(main), pattern);
        let named: BTreeMap<_, _> = dumped
            .iter()
            .filter(|(path, _)| matches(&pattern, path))
            .map(|(path, text)| (path.clone(), text.clone()))
            .collect();
        named.into_iter().collect()
    })
}

/// The files of `nginx -T`, the main one first; none if the text is something else.
fn dumped(text: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let heading = line.strip_prefix(HEADING);
        if let Some(path) = heading.and_then(|rest| rest.trim_end().strip_suffix(':')) {
            files.push((path.to_owned(), String::new()));
        } else if let Some((_, content)) = files.last_mut() {
            content.push_str(line);
            content.push('\n');
        }
    }
    files
}

fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

fn absolute(folder: &str, pattern: &str) -> String {
    if pattern.starts_with('/') {
        pattern.to_owned()
    } else {
        format!("{folder}/{pattern}")
    }
}

/// The files that a pattern names, in the order of their names, as glob(3) gives them. One that cannot be read leaves its
/// directives out.
fn on_disk(pattern: &str) -> Vec<(String, String)> {
    let mut found = vec![String::new()];
    for (number, part) in pattern.split('/').enumerate() {
        let start = |path: &str| match number {
            0 => part.to_owned(),
            _ => format!("{path}/{part}"),
        };
        found = if part.contains(['*', '?']) {
            let listed = found.iter().flat_map(|path| {
                let path = if number == 0 { "." } else { path.as_str() };
                names(path, part).map(move |name| format!("{path}/{name}"))
            });
            listed.collect()
        } else {
            found.iter().map(|path| start(path)).collect()
        };
    }
    found.sort();
    let text = |path: String| {
        let text = std::fs::read(&path).ok()?;
        Some((path, String::from_utf8_lossy(&text).into_owned()))
    };
    found.into_iter().filter_map(text).collect()
}

/// The names in a folder that fit; hidden ones only where the pattern begins with a dot.
fn names(folder: &str, pattern: &str) -> impl Iterator<Item = String> {
    let folder = if folder.is_empty() { "/" } else { folder };
    let entries = std::fs::read_dir(Path::new(folder)).into_iter().flatten();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(move |name| pattern.starts_with('.') || !name.starts_with('.'))
        .filter(move |name| matches(pattern, name))
}

/// Whether a name fits a pattern with `*` and `?`, of which neither is a slash.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let reach = name.find('/').unwrap_or(name.len());
            name.char_indices()
                .map(|(place, _)| place)
                .chain([name.len()])
                .take_while(|place| *place <= reach)
                .any(|place| matches(rest.as_str(), &name[place..]))
        }
        Some(one) => {
            let mut others = name.chars();
            let fits = others
                .next()
                .is_some_and(|other| one == other || (one == '?' && other != '/'));
            fits && matches(rest.as_str(), others.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(directives: &[Directive]) -> Vec<&str> {
        directives.iter().map(Directive::name).collect()
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, expected) in [
            ("/etc/*.conf", "/etc/a.conf", true),
            ("/etc/*.conf", "/etc/x/a.conf", false),
            ("/etc/*/a?", "/etc/x/ab", true),
            ("/etc/*/a?", "/etc/x/a", false),
            ("*", "", true),
            ("a*b*c", "axxbxbc", true),
            ("a*b*c", "axxbxb", false),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_nginx_prints_of_itself_has_its_files_where_they_are_included() {
        let text = "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok
# configuration file /etc/nginx/nginx.conf:
http { client_max_body_size 50M; include sites/*; include /etc/extra; }
# configuration file /etc/nginx/sites/b:
b;
# configuration file /etc/nginx/sites/a:
a; # configuration file of mine:
# configuration file /etc/extra:
extra;
";
        let found = read("-", text).expect("good");
        assert_eq!(names_of(&found), ["http"]);
        assert_eq!(
            names_of(&found[0].block),
            ["client_max_body_size", "a", "b", "extra"]
        );
        assert_eq!(found[0].block[1].place(), "/etc/nginx/sites/a:1");
    }

    #[test]
    fn files_on_the_disk_are_found_from_the_folder_of_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            let mut file = ops_common::atomic::AtomicFile::create(&path, 0o600).expect("a file");
            std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
            file.commit().expect("committed");
        };
        write("sites/b.conf", "b;");
        write("sites/a.conf", "a; include more/m;");
        write("sites/.hidden.conf", "hidden;");
        write("sites/other", "other;");
        write("more/m", "m;");
        let main = folder.path().join("nginx.conf").display().to_string();
        let found =
            read(&main, "x; include sites/*.conf; include */m; include none;").expect("good");
        assert_eq!(names_of(&found), ["x", "a", "m", "b", "m"]);
        // From stdin there is no folder.
        assert_eq!(
            names_of(&read("-", "x; include sites/*;").expect("good")),
            ["x"]
        );
    }
}
