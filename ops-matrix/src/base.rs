//! The base URL of a client API.

use std::net::SocketAddr;

use url::{Host, Url};

use crate::error::Error;
use crate::probe::Endpoint;

/// Reads a base URL; a path in it stands before the paths of the API.
pub fn parse_url(text: &str) -> Result<Url, Error> {
    let wrong = |reason: String| Error::Url {
        text: text.to_owned(),
        reason,
    };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("its scheme is '{}'", url.scheme())));
    }
    Ok(url)
}

/// Host, port and path of a base URL.
#[derive(Debug, Clone)]
pub struct Base {
    /// The host: a name or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What stands before the paths of the API.
    pub prefix: String,
    tls: bool,
    host_header: String,
}

impl Base {
    /// Takes a URL apart.
    #[must_use]
    pub fn of(url: &Url) -> Self {
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            other => other.map_or_else(String::new, |host| host.to_string()),
        };
        let text = url.host_str().unwrap_or_default();
        let host_header = url
            .port()
            .map_or_else(|| text.to_owned(), |port| format!("{text}:{port}"));
        let port = url.port_or_known_default().unwrap_or(80);
        let prefix = url.path().trim_end_matches('/').to_owned();
        Self {
            host,
            port,
            prefix,
            tls: url.scheme() == "https",
            host_header,
        }
    }

    /// The endpoint at one address.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Endpoint {
        let tls_name = self.tls.then(|| self.host.clone());
        Endpoint {
            address,
            tls_name,
            host_header: self.host_header.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let base = Base::of(&parse_url("https://[2001:db8::1]:8448/hs/").expect("a url"));
        assert_eq!(
            (base.host.as_str(), base.port, base.prefix.as_str()),
            ("2001:db8::1", 8448, "/hs")
        );
        let endpoint = base.at("[2001:db8::1]:8448".parse().expect("an address"));
        assert_eq!(endpoint.host_header, "[2001:db8::1]:8448");
        assert_eq!(endpoint.tls_name.as_deref(), Some("2001:db8::1"));
        let plain = Base::of(&parse_url("http://localhost:8008").expect("a url"));
        assert_eq!(
            plain
                .at("127.0.0.1:8008".parse().expect("an address"))
                .tls_name,
            None
        );
        assert_eq!(plain.prefix, "");
        for text in ["localhost:8008", "chat.example", "ftp://chat.example", ""] {
            assert!(parse_url(text).is_err(), "{text}");
        }
    }
}
