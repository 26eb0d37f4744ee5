//! The homeserver's client API, reached at the address that the bridge uses, from the bridge's host.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ops_common::host::Host;
use serde_json::{Value, json};

use crate::configuration::{Configuration, Secret};
use crate::error::Error;
use crate::http::{Request, Session, escape};

const TIMEOUT: Duration = Duration::from_mins(1);

/// A user's conversation with the homeserver about one room.
#[derive(Debug)]
pub(crate) struct MatrixApi {
    session: Session,
    token: Secret,
    room: String,
    since: String,
    number: u64,
}

impl MatrixApi {
    /// Connects from a host, and remembers what the room already holds; the newest of it is returned.
    pub(crate) fn connect(
        host: &Host,
        configuration: &Configuration,
        token: &Secret,
        room: &str,
    ) -> Result<(Self, Vec<Value>), Error> {
        let port = configuration.homeserver_port().unwrap_or(8008);
        let authority = configuration
            .homeserver
            .address
            .split("://")
            .nth(1)
            .unwrap_or_default();
        let name = authority
            .rsplit_once(':')
            .map_or(authority, |(name, _)| name)
            .trim_matches(['[', ']']);
        let address = name.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let session = Session::over(host.connect_tcp(address, port)?, authority, TIMEOUT);
        let mut api = Self {
            session,
            token: token.clone(),
            room: room.to_owned(),
            since: String::new(),
            number: 0,
        };
        let newest = api.news(Duration::ZERO)?;
        Ok((api, newest))
    }

    /// Sends an event and returns its id.
    pub(crate) fn send(&mut self, kind: &str, content: &Value) -> Result<String, Error> {
        let path = format!("send/{kind}/{}", self.transaction());
        self.put(&path, content)
    }

    /// Sends a file and returns the event's id.
    pub(crate) fn send_file(&mut self, name: &str, content: &[u8]) -> Result<String, Error> {
        let path = format!("/_matrix/media/v3/upload?filename={}", escape(name));
        let body = Some(("text/plain", content.to_vec()));
        let uploaded = self.ask(&Request {
            method: "POST",
            path: &path,
            body,
        })?;
        let size = content.len();
        let event = json!({"msgtype": "m.file", "body": name, "filename": name, "url": uploaded["content_uri"], "info": {"mimetype": "text/plain", "size": size}});
        self.send("m.room.message", &event)
    }

    /// Removes an event.
    pub(crate) fn redact(&mut self, event: &str) -> Result<String, Error> {
        let path = format!("redact/{}/{}", escape(event), self.transaction());
        self.put(&path, &json!({}))
    }

    /// The events of the room since the last call; waits up to `wait` for the first.
    pub(crate) fn news(&mut self, wait: Duration) -> Result<Vec<Value>, Error> {
        let filter = json!({"presence": {"types": []}, "account_data": {"types": []}, "room": {"rooms": [self.room], "timeline": {"limit": 50}}}).to_string();
        let since = if self.since.is_empty() {
            String::new()
        } else {
            format!("&since={}", escape(&self.since))
        };
        let path = format!(
            "/_matrix/client/v3/sync?timeout={}&filter={}{since}",
            wait.as_millis(),
            escape(&filter)
        );
        let mut answer = self.ask(&Request::get(&path))?;
        answer["next_batch"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut self.since);
        let events = answer["rooms"]["join"][&self.room]["timeline"]["events"].take();
        Ok(events.as_array().cloned().unwrap_or_default())
    }

    fn transaction(&mut self) -> String {
        self.number += 1;
        format!(
            "ops-bridge-{:x}-{}",
            jiff::Timestamp::now().as_microsecond(),
            self.number
        )
    }

    fn put(&self, path: &str, content: &Value) -> Result<String, Error> {
        let path = format!("/_matrix/client/v3/rooms/{}/{path}", escape(&self.room));
        let answer = self.ask(&Request::json("PUT", &path, content))?;
        Ok(answer["event_id"].as_str().unwrap_or_default().to_owned())
    }

    fn ask(&self, request: &Request<'_>) -> Result<Value, Error> {
        let whom = || "the homeserver".to_owned();
        let reply = self
            .session
            .ask(request, self.token.reveal())
            .map_err(|source| Error::Ask {
                whom: whom(),
                source,
            })?;
        let answer = reply.json();
        if reply.status == 200 {
            return Ok(answer);
        }
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let what = request
            .path
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        Err(Error::Refused {
            whom: whom(),
            what,
            reason: format!("{} {} {}", reply.status, text("errcode"), text("error"))
                .trim()
                .to_owned(),
        })
    }
}
