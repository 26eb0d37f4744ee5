//! `user@address:port`, as people write it for a host.

use super::Error;

/// Where a host is, before ssh's settings are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Address {
    /// Parses `[user@]host[:port]`. An IPv6 address with a port stands in brackets.
    pub(super) fn parse(text: &str) -> Result<Address, Error> {
        let fail = |reason| Error::Address {
            address: text.to_owned(),
            reason,
        };
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, text),
        };
        let (host, port) = match place
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (
                host,
                Some(
                    rest.strip_prefix(':')
                        .ok_or_else(|| fail("a port follows a colon"))?,
                ),
            ),
            // More than one colon is an IPv6 address without a port.
            None => match place.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (place, None),
            },
        };
        let port = port
            .map(str::parse)
            .transpose()
            .map_err(|_| fail("the port is no number from 1 to 65535"))?;
        let is_odd = |letter: char| {
            letter.is_whitespace() || letter.is_control() || "'\"`$\\;&<>|(){}/".contains(letter)
        };
        match (&user, host) {
            (Some(user), _)
                if user.is_empty() || user.starts_with('-') || user.contains(is_odd) =>
            {
                Err(fail("the user is no name"))
            }
            (_, host) if host.is_empty() || host.starts_with('-') || host.contains(is_odd) => {
                Err(fail("the host is no name"))
            }
            _ if port == Some(0) => Err(fail("the port is no number from 1 to 65535")),
            _ => Ok(Address {
                user,
                host: host.to_owned(),
                port,
            }),
        }
    }

    /// Options and host for a program with ssh's command line.
    pub(super) fn arguments(&self) -> Vec<String> {
        let user = self
            .user
            .iter()
            .flat_map(|user| ["-l".to_owned(), user.clone()]);
        let port = self
            .port
            .iter()
            .flat_map(|port| ["-p".to_owned(), port.to_string()]);
        user.chain(port)
            .chain(["--".to_owned(), self.host.clone()])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(user: Option<&str>, host: &str, port: Option<u16>) -> Address {
        Address {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn all_forms() {
        let parse = |text| Address::parse(text).unwrap();
        assert_eq!(parse("ops-jrz1"), address(None, "ops-jrz1", None));
        assert_eq!(
            parse("root@203.0.113.10"),
            address(Some("root"), "203.0.113.10", None)
        );
        assert_eq!(
            parse("root@203.0.113.10:2222"),
            address(Some("root"), "203.0.113.10", Some(2222))
        );
        assert_eq!(parse("2001:db8::1"), address(None, "2001:db8::1", None));
        assert_eq!(
            parse("[2001:db8::1]:22"),
            address(None, "2001:db8::1", Some(22))
        );
        assert_eq!(
            parse("me@[fe80::1%eth0]"),
            address(Some("me"), "fe80::1%eth0", None)
        );
    }

    #[test]
    fn what_is_no_host() {
        for text in [
            "",
            "@x",
            "x:0",
            "x:ssh",
            "x:70000",
            "-oProxyCommand=id",
            "-l@x",
            "a b",
            "[::1]22",
            "x;id",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
