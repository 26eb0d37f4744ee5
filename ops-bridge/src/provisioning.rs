//! The bridge's provisioning API, over one forwarded connection to the port where the bridge listens.

use std::time::Duration;

use jiff::Timestamp;
use ops_common::host::Host;
use serde_json::Value;

use crate::configuration::{Configuration, Secret};
use crate::error::Error;
use crate::http::{Reply, Request, Session, escape};

/// The bridge answers from memory; more than this is no answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A conversation with the API.
#[derive(Debug)]
pub(crate) struct Provisioning {
    session: Session,
    secret: Secret,
    whom: String,
}

/// What the API says of a login: the newest state, in memory only.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) error: String,
    pub(crate) message: String,
    pub(crate) since: Option<Timestamp>,
}

impl Provisioning {
    /// Connects to where the configuration says that the bridge listens.
    pub(crate) fn connect(host: &Host, configuration: &Configuration) -> Result<Self, Error> {
        let secret = configuration.provisioning_secret();
        let secret = secret.map_err(|reason| Error::NoProvisioning {
            host: host.name().to_owned(),
            reason: reason.to_owned(),
        })?;
        let (address, port) = configuration.listener();
        let stream = host.connect_tcp(address, port)?;
        let whom = format!("the bridge on '{}'", host.name());
        Ok(Self {
            session: Session::over(stream, &format!("{address}:{port}"), TIMEOUT),
            secret: secret.clone(),
            whom,
        })
    }

    /// Whether the bridge has finished its start.
    pub(crate) fn is_ready(&self) -> Result<bool, Error> {
        self.ask(&Request::get("/_matrix/mau/ready"), "")
            .map(|reply| reply.status == 200)
    }

    /// The logins of a Matrix user that the database knows. An unknown user would get a row there by being asked for.
    pub(crate) fn logins_of(&self, user: &str) -> Result<Vec<Known>, Error> {
        let path = format!("/_matrix/provision/v3/whoami?user_id={}", escape(user));
        let answer = self.call("GET", &path, None)?;
        let logins = answer["logins"].as_array().cloned().unwrap_or_default();
        Ok(logins.iter().map(Known::read).collect())
    }

    /// Calls the API and returns its answer.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let request = match body {
            Some(body) => Request::json(method, path, body),
            None => Request {
                method,
                path,
                body: None,
            },
        };
        let reply = self.ask(&request, self.secret.reveal())?;
        let answer = reply.json();
        if reply.status == 200 {
            return Ok(answer);
        }
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let reason = format!("{} {} {}", reply.status, text("errcode"), text("error"));
        let what = path.split('?').next().unwrap_or_default().to_owned();
        Err(Error::Refused {
            whom: self.whom.clone(),
            what,
            reason: reason.trim().to_owned(),
        })
    }

    fn ask(&self, request: &Request<'_>, bearer: &str) -> Result<Reply, Error> {
        self.session
            .ask(request, bearer)
            .map_err(|source| Error::Ask {
                whom: self.whom.clone(),
                source,
            })
    }
}

impl Known {
    fn read(login: &Value) -> Self {
        let state = &login["state"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let seconds = state["timestamp"]
            .as_f64()
            .or(login["state_ts"].as_f64())
            .filter(|seconds| *seconds > 0.0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds since 1970 fit"
        )]
        let since =
            seconds.and_then(|seconds| Timestamp::from_millisecond((seconds * 1000.0) as i64).ok());
        let name = if state["state_event"].is_string() {
            &state["state_event"]
        } else {
            &login["state_event"]
        };
        Self {
            id: text(&login["id"]),
            state: text(name),
            error: text(&state["error"]),
            message: text(&state["message"]),
            since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_login_of_whoami() {
        let known = Known::read(
            &json!({"state": {"state_event": "CONNECTED", "timestamp": 1_787_130_001, "info": {}}, "id": "T1-U1"}),
        );
        assert_eq!(
            (&*known.id, &*known.state, known.since.unwrap().as_second()),
            ("T1-U1", "CONNECTED", 1_787_130_001)
        );
        let before_the_first = Known::read(&json!({"state": {}, "state_event": "", "id": "T1-U1"}));
        assert_eq!(
            (&*before_the_first.state, before_the_first.since),
            ("", None)
        );
    }
}
