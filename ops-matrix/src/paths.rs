//! `paths`: the ways to the homeserver, from the proxy's configuration to what a browser is told.

use ops_common::check::{Check, State};
use ops_common::host::{Command, Host};
use ops_common::hosts::fan_out;

use crate::base::{self, Base};
use crate::bridges;
use crate::discovery::Answer;
use crate::error::Error;
use crate::includes;
use crate::listens;
use crate::name::ServerName;
use crate::nginx::{self, Directive};
use crate::proxies::{self, Backend};
use crate::public;
use crate::reach::{self, Silent};
use crate::settings::Settings;
use crate::trust::Trust;
use crate::upstreams::{self, Dialled};
use crate::view::View;
use crate::wellknown::{self, Kind};

/// What each name on the way resolves to.
pub const URL: &str = "matrix.local_url";
/// Whether the proxy's configuration could be read.
pub const NGINX: &str = "matrix.nginx";

/// Prints a file, or each file of a pattern, under a heading; without the file, the one that nginx's unit names.
const READ: &str = r#"
name=$1
if [ "$2" = main ] && [ ! -e "$name" ]; then
  name=$(systemctl show --property=ExecStart --value nginx.service 2>/dev/null | sed -n "s/.* -c '\{0,1\}\([^ ';]*\).*/\1/p" | head -n 1)
  [ -n "$name" ] || exit 0
fi
IFS=
for file in $name; do
  [ -f "$file" ] || continue
  printf '::file %s\n' "$file"
  cat -- "$file" || exit 1
  printf '\n'
done
"#;

/// Everything about the ways to the homeserver of a host.
pub fn look(
    host: &Host,
    view: &View<'_>,
    trust: &Trust,
    settings: &Settings,
) -> Result<Vec<Check>, Error> {
    let url = base::parse_url(&settings.url)?;
    let base = Base::of(&url);
    let silent = Silent {
        state: State::Fail,
        fix: "'ops-matrix status' shows where the server really listens",
    };
    let mut checks = vec![reach::check(view, URL, url.as_str(), &url, silent)];
    let nginx = settings.nginx.to_string_lossy();
    if let Some(directives) = read_nginx(host, &nginx)? {
        checks.extend(configured(view, &directives, base.port));
    } else {
        let message = "no such file, and no unit of nginx names another";
        checks.push(Check::ok(NGINX, nginx, message));
    }
    checks.extend(bridges::look(host, view, &settings.bridges)?);
    if let Some(server) = &settings.server_name {
        let server: ServerName = server.parse().map_err(|source| Error::ServerName {
            text: server.clone(),
            source,
        })?;
        checks.extend(public::look(view, trust, &server, &base)?);
        for kind in [Kind::Server, Kind::Client] {
            let names = std::slice::from_ref(&server);
            checks.extend(wellknown::look(view, trust, kind, names)?);
        }
    }
    Ok(checks)
}

/// Judges a configuration by itself, with what it includes, without asking anybody.
pub fn lint(file: &str, text: &str) -> Result<Vec<Check>, Error> {
    let directives = includes::read(file, text).map_err(Error::ParseNginx)?;
    let all = proxies::proxies(&directives);
    let picked = upstreams::of_matrix(&all, None);
    let mut checks = Vec::new();
    for proxy in &picked {
        checks.extend(upstreams::unresolved(proxy));
        checks.extend(
            proxy
                .backends
                .iter()
                .map(|backend| upstreams::judge(proxy, backend, &None)),
        );
        checks.extend(upstreams::lint(proxy));
    }
    checks.extend(listens::checks(&picked));
    if checks.is_empty() {
        checks.push(Check::warn(
            NGINX,
            file,
            "nothing in it passes requests to a homeserver",
        ));
    }
    Ok(checks)
}

/// Reads the configuration of a host's nginx, with what it includes.
fn read_nginx(host: &Host, path: &str) -> Result<Option<Vec<Directive>>, Error> {
    let unreadable = |reason: String| Error::ReadNginx {
        path: path.to_owned(),
        reason,
    };
    let files = |pattern: &str, kind: &str| -> Result<Vec<(String, String)>, String> {
        let said = host
            .output(&Command::script(READ, &[pattern, kind]))
            .map_err(|error| error.to_string())?;
        Ok(split_files(&String::from_utf8_lossy(&said)))
    };
    let main = files(path, "main").map_err(unreadable)?;
    let Some((main, text)) = main.into_iter().next() else {
        return Ok(None);
    };
    let folder = main
        .rsplit_once('/')
        .map_or(".", |(folder, _)| folder)
        .to_owned();
    let include = |pattern: &str| {
        let absolute = if pattern.starts_with('/') {
            pattern.to_owned()
        } else {
            format!("{folder}/{pattern}")
        };
        // A file that cannot be read leaves its directives out, as a person who reads it would.
        files(&absolute, "included").unwrap_or_default()
    };
    nginx::read(&main, &text, &include)
        .map(Some)
        .map_err(Error::ParseNginx)
}

fn split_files(text: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("::file ") {
            files.push((path.to_owned(), String::new()));
        } else if let Some((_, content)) = files.last_mut() {
            content.push_str(line);
            content.push('\n');
        }
    }
    files
}

/// The proxies that serve Matrix, with every address of their backends dialled.
fn configured(view: &View<'_>, directives: &[Directive], port: u16) -> Vec<Check> {
    let all = proxies::proxies(directives);
    let picked = upstreams::of_matrix(&all, Some(port));
    let mut checks = Vec::new();
    for proxy in &picked {
        let judged = fan_out(&proxy.backends, 8, |backend| {
            upstreams::judge(proxy, backend, &dialled(view, backend))
        });
        checks.extend(judged);
        checks.extend(upstreams::unresolved(proxy));
        checks.extend(upstreams::lint(proxy));
    }
    checks.extend(listens::checks(&picked));
    if picked.is_empty() {
        checks.push(Check::warn(
            NGINX,
            "nginx",
            "nothing in its configuration passes requests to a homeserver",
        ));
    }
    checks
}

fn dialled(view: &View<'_>, backend: &Backend) -> Dialled {
    match view.endpoints(&backend.host, backend.port) {
        Answer::Found(endpoints) => Some(reach::dial_all(view, &endpoints)),
        Answer::Absent => Some(Vec::new()),
        Answer::Failed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_headings() {
        assert_eq!(
            split_files("::file /a\nx;\n\n::file /b\n"),
            [
                ("/a".to_owned(), "x;\n\n".to_owned()),
                ("/b".to_owned(), String::new())
            ]
        );
        assert_eq!(split_files(""), []);
    }

    #[test]
    fn a_configuration_is_judged_by_itself() {
        let text = "server { location /_matrix { proxy_pass http://localhost:8008/; } }";
        let found: Vec<_> = lint("n", text)
            .expect("good")
            .iter()
            .map(|check| (check.check.clone(), check.status))
            .collect();
        assert_eq!(
            found,
            [
                (upstreams::UPSTREAM.to_owned(), State::Warn),
                (upstreams::URI.to_owned(), State::Fail),
                (upstreams::BODY.to_owned(), State::Warn)
            ]
        );
        assert_eq!(lint("n", "events {}").expect("good")[0].status, State::Warn);
        assert!(lint("n", "server {").is_err());
    }
}
