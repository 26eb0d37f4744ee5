//! The two ways between the bridge and its homeserver, each tried from the host that both are on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ops_common::check::Check;
use ops_common::exit;
use ops_common::host::Host;
use serde_json::json;

use crate::configuration::Configuration;
use crate::error::Error;
use crate::http::{Reply, Request, Session, escape};

const TIMEOUT: Duration = Duration::from_secs(10);

/// An address as it stands before a port.
pub(crate) fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Asks an address of the host.
pub(crate) fn request(
    host: &Host,
    address: IpAddr,
    port: u16,
    wanted: &Request<'_>,
    bearer: &str,
) -> Result<Reply, Error> {
    let stream = host.connect_tcp(address, port)?;
    let whom = format!("{}:{port}", shown(address));
    let session = Session::over(stream, &whom, TIMEOUT);
    session
        .ask(wanted, bearer)
        .map_err(|source| Error::Ask { whom, source })
}

/// The addresses that the bridge may take for its homeserver. `localhost` is two, and only one of them may be served. Nothing
/// where it is reached by another name, or under TLS: then it is not ours to dial.
fn addresses(configuration: &Configuration) -> Option<Vec<IpAddr>> {
    let authority = configuration.homeserver.address.strip_prefix("http://")?;
    let authority = authority.split('/').next()?;
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    match name.trim_matches(['[', ']']).parse() {
        Ok(address) => Some(vec![address]),
        Err(_) if name == "localhost" => Some(vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]),
        Err(_) => None,
    }
}

/// The bridge's way to the homeserver: does it answer there, and does it know the as_token. Nothing if it cannot be asked from
/// here.
pub(crate) fn to_homeserver(host: &Host, configuration: &Configuration) -> Option<Check> {
    const NAME: &str = "bridge.to_homeserver";
    let subject = configuration.homeserver.address.clone();
    let port = configuration.homeserver_port().unwrap_or(8008);
    let token = configuration.appservice.as_token.reveal();
    let (mut status, mut silent, mut why) = (None, Vec::new(), String::new());
    for address in addresses(configuration)? {
        let wanted = Request::get("/_matrix/client/v3/account/whoami");
        match request(host, address, port, &wanted, token) {
            Ok(reply) => status = status.or(Some(reply.status)),
            Err(error) => {
                silent.push(shown(address));
                why = exit::describe(&error);
            }
        }
    }
    let check = match status {
        None => Check::fail(NAME, subject, why).fix("ops-matrix status"),
        Some(401 | 403) => Check::fail(NAME, subject, "the homeserver does not know the as_token")
            .fix(UNREGISTERED),
        Some(status) if status >= 500 => {
            Check::fail(NAME, subject, format!("it answers {status}")).fix("ops-matrix status")
        }
        Some(_) if silent.is_empty() => Check::ok(
            NAME,
            subject,
            "the homeserver answers and knows the as_token",
        ),
        Some(_) => {
            let silent = silent.join(", ");
            let message = format!("the name has an address that does not answer: {silent}");
            Check::warn(NAME, subject, message)
                .fix("set homeserver.address to the address that answers, by number")
        }
    };
    Some(check)
}

const UNREGISTERED: &str =
    "register the bridge's registration.yaml with the homeserver and restart it";

/// The homeserver's way to the bridge, which it tries when asked to.
pub(crate) fn to_bridge(host: &Host, configuration: &Configuration) -> Check {
    const NAME: &str = "bridge.from_homeserver";
    let appservice = &configuration.appservice;
    let path = format!(
        "/_matrix/client/v1/appservice/{}/ping",
        escape(&appservice.id)
    );
    let body = json!({"transaction_id": "ops-bridge-doctor"});
    let port = configuration.homeserver_port().unwrap_or(8008);
    let mut answers = addresses(configuration).unwrap_or_default().into_iter();
    let reply = answers.find_map(|address| {
        request(
            host,
            address,
            port,
            &Request::json("POST", &path, &body),
            appservice.as_token.reveal(),
        )
        .ok()
    });
    let Some(reply) = reply else {
        return Check::unknown(NAME, &appservice.address, "the homeserver does not answer");
    };
    let answer = reply.json();
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    match (reply.status, answer["duration_ms"].as_f64()) {
        (200, duration) => Check::ok(
            NAME,
            &appservice.address,
            "the homeserver reaches the bridge",
        )
        .value(duration.unwrap_or(0.0) / 1000.0, "s"),
        (404, _) if text("errcode") == "M_UNRECOGNIZED" => {
            Check::unknown(NAME, &appservice.address, "the homeserver cannot ping")
        }
        _ => Check::fail(
            NAME,
            &appservice.address,
            format!("{} {}", text("errcode"), text("error"))
                .trim()
                .to_owned(),
        )
        .fix(
            "compare appservice.address and hs_token with the registration that the homeserver has",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_two_addresses_and_a_foreign_one_is_none() {
        let of = |address: &str| {
            let text = format!("/c.yaml\nhomeserver: {{address: '{address}'}}\n");
            addresses(&Configuration::read(&text).unwrap())
        };
        assert_eq!(of("http://localhost:8008").unwrap().len(), 2);
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert_eq!(of("http://[::1]:8008"), Some(vec![v6]));
        assert_eq!(of("http://[::1]"), Some(vec![v6]));
        assert_eq!(of("http://chat.example:8008"), None);
        assert_eq!(of("https://127.0.0.1"), None);
    }
}
