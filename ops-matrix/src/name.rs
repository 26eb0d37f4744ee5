//! Server names: what stands behind the colon of a Matrix identifier.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The port of the federation where nothing else says one.
pub const FEDERATION_PORT: u16 = 8448;

/// The longest host name that DNS can carry.
const LONGEST_HOST: usize = 255;

/// A server name, as the specification's grammar has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    /// The part before the port.
    pub host: HostPart,
    /// The port, if the name carries one.
    pub port: Option<u16>,
    text: String,
}

/// The host of a server name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPart {
    /// An address: nothing is looked up for it.
    Literal(IpAddr),
    /// A name for DNS.
    Dns(String),
}

/// Why a text is no server name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or nothing before the port.
    #[error("no host in it")]
    NoHost,
    /// The text after the last colon is not 1 to 65535 in at most five digits.
    #[error("'{0}' is no port")]
    Port(String),
    /// A bracket without its address.
    #[error("'{0}' is no IPv6 address in brackets")]
    Bracket(String),
    /// A character that no host name has.
    #[error("a host name has no {0:?}{hint}", hint = if .0.is_ascii() { "" } else { ": write it as DNS has it, beginning with xn--" })]
    Character(char),
    /// Longer than DNS can carry.
    #[error("longer than {LONGEST_HOST} characters")]
    TooLong,
}

impl ServerName {
    /// The name as it was written: what `server_name` of a reply must equal.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name without its port, as certificates and SNI have it.
    #[must_use]
    pub fn host_text(&self) -> String {
        match &self.host {
            HostPart::Literal(address) => address.to_string(),
            HostPart::Dns(name) => name.clone(),
        }
    }
}

impl FromStr for ServerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (host, port) = split_port(text)?;
        let port = port.map(parse_port).transpose()?;
        let host = parse_host(host)?;
        Ok(Self {
            host,
            port,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Splits at the colon of the port, which in brackets is not one.
fn split_port(text: &str) -> Result<(&str, Option<&str>), NameError> {
    if text.starts_with('[') {
        let end = text
            .find(']')
            .ok_or_else(|| NameError::Bracket(text.to_owned()))?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(NameError::Bracket(text.to_owned())),
        };
    }
    Ok(match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

fn parse_port(text: &str) -> Result<u16, NameError> {
    let digits =
        !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(NameError::Port(text.to_owned())),
    }
}

fn parse_host(text: &str) -> Result<HostPart, NameError> {
    if text.is_empty() {
        return Err(NameError::NoHost);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.trim_end_matches(']');
        let address = inner
            .parse::<Ipv6Addr>()
            .map_err(|_| NameError::Bracket(text.to_owned()))?;
        return Ok(HostPart::Literal(IpAddr::V6(address)));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(HostPart::Literal(IpAddr::V4(address)));
    }
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-');
    if let Some(character) = text.chars().find(|&character| !allowed(character)) {
        return Err(NameError::Character(character));
    }
    if text.len() > LONGEST_HOST {
        return Err(NameError::TooLong);
    }
    Ok(HostPart::Dns(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ServerName {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_forms_of_the_grammar_are_accepted() {
        let dns = parsed("chat.example");
        assert_eq!(
            (dns.host, dns.port),
            (HostPart::Dns("chat.example".into()), None)
        );
        assert_eq!(parsed("chat.example:8448").port, Some(8448));
        assert_eq!(
            parsed("203.0.113.7").host,
            HostPart::Literal("203.0.113.7".parse().unwrap())
        );
        assert_eq!(parsed("203.0.113.7:80").port, Some(80));
        let v6 = parsed("[2001:db8::1]");
        assert_eq!(
            (v6.host, v6.port),
            (HostPart::Literal("2001:db8::1".parse().unwrap()), None)
        );
        assert_eq!(parsed("[2001:db8::1]:5").port, Some(5));
        // A dot at the end is part of the name: peers compare it as it is written.
        assert_eq!(parsed("chat.example.").as_str(), "chat.example.");
        assert_eq!(
            parsed("xn--bcher-kva.example").host,
            HostPart::Dns("xn--bcher-kva.example".into())
        );
        // Not an address, so a name, however odd.
        assert_eq!(parsed("1.2.3").host, HostPart::Dns("1.2.3".into()));
    }

    #[test]
    fn what_the_grammar_has_not_is_refused_by_its_reason() {
        let long = "a".repeat(256);
        for (text, expected) in [
            ("", NameError::NoHost),
            (":8448", NameError::NoHost),
            ("chat.example:", NameError::Port(String::new())),
            ("chat.example:0", NameError::Port("0".into())),
            ("chat.example:65536", NameError::Port("65536".into())),
            ("chat.example:008448", NameError::Port("008448".into())),
            ("chat.example:+1", NameError::Port("+1".into())),
            ("2001:db8::1", NameError::Port("db8::1".into())),
            ("[2001:db8::1", NameError::Bracket("[2001:db8::1".into())),
            ("[203.0.113.7]", NameError::Bracket("[203.0.113.7]".into())),
            (
                "[2001:db8::1]x",
                NameError::Bracket("[2001:db8::1]x".into()),
            ),
            // A zone says which interface of this machine is meant, which no peer can know.
            (
                "[fe80::1%eth0]",
                NameError::Bracket("[fe80::1%eth0]".into()),
            ),
            ("[2001:db8::1]:", NameError::Port(String::new())),
            ("[]", NameError::Bracket("[]".into())),
            (
                "chat.example:8448:8448",
                NameError::Port("8448:8448".into()),
            ),
            ("chat.example\n", NameError::Character('\n')),
            ("chat_x.example", NameError::Character('_')),
            ("b\u{fc}cher.example", NameError::Character('\u{fc}')),
            ("chat.example/x", NameError::Character('/')),
            (long.as_str(), NameError::TooLong),
        ] {
            assert_eq!(text.parse::<ServerName>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_text_stays_as_it_was_written() {
        for text in ["Chat.Example", "[2001:DB8::1]:8448", "chat.example:00443"] {
            assert_eq!(parsed(text).as_str(), text);
        }
        assert_eq!(parsed("[2001:DB8::1]:8448").host_text(), "2001:db8::1");
    }
}
