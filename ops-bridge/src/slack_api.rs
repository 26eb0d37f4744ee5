//! Slack's Web API, reached from the host, so that its resolver, its routes and its firewall are those of the bridge.

use std::net::IpAddr;
use std::time::Duration;

use ops_common::host::{Command, Host};
use serde_json::Value;

use crate::configuration::Secret;
use crate::error::Error;
use crate::http::{self, Reply, Request, Session, escape};
use crate::tls::Secure;

const NAME: &str = "slack.com";
const TIMEOUT: Duration = Duration::from_secs(30);

/// A conversation with Slack.
#[derive(Debug)]
pub(crate) struct SlackApi {
    session: Session,
    host: Host,
}

impl SlackApi {
    /// Connects from a host.
    pub(crate) fn connect(host: &Host) -> Result<Self, Error> {
        let session = open(host, NAME, 443, true)?;
        Ok(Self {
            session,
            host: host.clone(),
        })
    }

    /// Calls a method. `Err` inside is Slack's code.
    pub(crate) fn call(
        &self,
        method: &str,
        token: &Secret,
        fields: &[(&str, &str)],
    ) -> Result<Result<Value, String>, Error> {
        Ok(answer(&self.post(method, token, fields)?))
    }

    /// The scopes of a token, if Slack tells them. `Err` inside is Slack's code.
    pub(crate) fn scopes(&self, token: &Secret) -> Result<Result<Option<String>, String>, Error> {
        let reply = self.post("auth.test", token, &[])?;
        let scopes = reply.header("x-oauth-scopes").map(str::to_owned);
        Ok(answer(&reply).map(|_| scopes))
    }

    fn post(&self, method: &str, token: &Secret, fields: &[(&str, &str)]) -> Result<Reply, Error> {
        let form: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escape(value)))
            .collect();
        let path = format!("/api/{method}");
        let body = Some((
            "application/x-www-form-urlencoded",
            form.join("&").into_bytes(),
        ));
        let request = Request {
            method: "POST",
            path: &path,
            body,
        };
        self.session.ask(&request, token.reveal()).map_err(asking)
    }

    /// Puts a file where Slack said that it wants it.
    pub(crate) fn upload(&self, url: &str, content: &[u8]) -> Result<(), Error> {
        let parsed: ureq::http::Uri = url
            .parse()
            .map_err(|_| refused("an upload", "its address is none"))?;
        let is_secure = parsed.scheme_str() == Some("https");
        let port = parsed
            .port_u16()
            .unwrap_or(if is_secure { 443 } else { 80 });
        let session = open(&self.host, parsed.host().unwrap_or(NAME), port, is_secure)?;
        let path = parsed.path_and_query().map_or("/", |path| path.as_str());
        let body = Some(("application/octet-stream", content.to_vec()));
        let reply = session
            .ask(
                &Request {
                    method: "POST",
                    path,
                    body,
                },
                "",
            )
            .map_err(asking)?;
        if reply.status == 200 {
            Ok(())
        } else {
            Err(refused(
                "an upload",
                &format!("HTTP status {}", reply.status),
            ))
        }
    }
}

/// What Slack says, or its code.
fn answer(reply: &Reply) -> Result<Value, String> {
    let answer = reply.json();
    if answer["ok"] == true {
        return Ok(answer);
    }
    Err(answer["error"]
        .as_str()
        .map_or_else(|| format!("HTTP status {}", reply.status), str::to_owned))
}

fn open(host: &Host, name: &str, port: u16, is_secure: bool) -> Result<Session, Error> {
    let stream = host.connect_tcp(resolve(host, name)?, port)?;
    if is_secure {
        return Ok(Session::over(
            Secure::over(stream, name).map_err(asking)?,
            name,
            TIMEOUT,
        ));
    }
    Ok(Session::over(stream, &format!("{name}:{port}"), TIMEOUT))
}

/// The first address that the host itself would take.
fn resolve(host: &Host, name: &str) -> Result<IpAddr, Error> {
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    let said = host.run(&Command::new("getent").args(["ahosts", name]))?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let address = text
        .split_whitespace()
        .next()
        .and_then(|address| address.parse().ok());
    address.ok_or_else(|| refused("a connection", &format!("the host cannot resolve '{name}'")))
}

fn asking(source: http::Error) -> Error {
    Error::Ask {
        whom: "Slack".to_owned(),
        source,
    }
}

fn refused(what: &str, reason: &str) -> Error {
    Error::Refused {
        whom: "Slack".to_owned(),
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}
