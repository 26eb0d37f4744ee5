//! Discovery in the real world: [`crate::discovery`] over DNS and well-knowns, each asked once and remembered.

use std::net::SocketAddr;
use std::sync::OnceLock;

use url::Url;

use crate::answer;
use crate::discovery::{self, Answer, Delegation, Lookups, Route, SrvRecord};
use crate::document;
use crate::error::Error;
use crate::fetch::{self, Fetched};
use crate::name::ServerName;
use crate::trust::Trust;
use crate::view::View;

/// What was found out about a server name.
pub struct Explored {
    /// The way to the server.
    pub route: Route,
    /// The well-known by each address of the name; none if discovery did not ask for it.
    pub well_known: Option<Answer<Vec<Fetched>>>,
}

/// Finds the way to a server.
pub fn explore(view: &View<'_>, trust: &Trust, server: &ServerName) -> Result<Explored, Error> {
    let explorer = Explorer {
        view,
        trust,
        well_known: OnceLock::new(),
    };
    let route = discovery::resolve(server, &explorer);
    let well_known = explorer.well_known.into_inner().transpose()?;
    Ok(Explored { route, well_known })
}

/// The URL of a server's well-known.
pub fn well_known_url(host: &str, kind: &str) -> Result<Url, Error> {
    let text = format!("https://{host}/.well-known/matrix/{kind}");
    Url::parse(&text).map_err(|error| Error::Url {
        text: text.clone(),
        reason: error.to_string(),
    })
}

struct Explorer<'a> {
    view: &'a View<'a>,
    trust: &'a Trust,
    well_known: OnceLock<Result<Answer<Vec<Fetched>>, Error>>,
}

impl Lookups for Explorer<'_> {
    fn endpoints(&self, host: &str, port: u16) -> Answer<Vec<SocketAddr>> {
        self.view.endpoints(host, port)
    }

    fn srv(&self, name: &str) -> Answer<Vec<SrvRecord>> {
        self.view.srv(name)
    }

    fn delegation(&self, host: &str) -> Result<Delegation, String> {
        let fetch = || {
            let url = well_known_url(host, "server")?;
            fetch::from_each_address(self.view, self.trust, &url)
        };
        match self.well_known.get_or_init(fetch) {
            Ok(Answer::Found(all)) => {
                let mut reasons = Vec::new();
                for fetched in all {
                    match delegation_of(fetched) {
                        Ok(delegation) => return Ok(delegation),
                        Err(reason) => reasons.push(format!("{}: {reason}", fetched.address)),
                    }
                }
                Err(reasons.join("; "))
            }
            Ok(Answer::Absent) => Err("the name has no address".to_owned()),
            Ok(Answer::Failed(reason)) => Err(format!("cannot tell: {reason}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The delegation in what one address answered, or why there is none.
pub fn delegation_of(fetched: &Fetched) -> Result<Delegation, String> {
    let reply = fetched.reply.as_ref().map_err(ToString::to_string)?;
    let body = answer::body(reply).map_err(|fault| fault.to_string())?;
    let name = document::delegation(body).map_err(|fault| fault.to_string())?;
    let kept = fetched.lifetime().unwrap_or_default();
    Ok(Delegation {
        name,
        kept_s: kept.as_secs(),
    })
}
