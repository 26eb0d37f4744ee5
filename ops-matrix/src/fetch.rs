//! Fetching a well-known as a peer does, but from each address by itself: redirects are followed, loops are not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ops_common::check::State;
use ops_common::hosts::fan_out;
use url::Url;

use crate::base::Base;
use crate::cache;
use crate::chain::{self, ChainFault};
use crate::discovery::Answer;
use crate::error::Error;
use crate::http::{HttpError, Reply};
use crate::probe::{self, Phases, ProbeFailure};
use crate::trust::Trust;
use crate::versions::now_s;
use crate::view::View;

/// The most redirects that are followed.
const MOST_REDIRECTS: usize = 10;

const AT_A_TIME: usize = 16;

/// What one address answered.
#[derive(Debug)]
pub struct Fetched {
    /// The address that was dialled first.
    pub address: SocketAddr,
    /// Every redirect on the way, and where it ended.
    pub hops: Vec<Hop>,
    /// The last reply, of whatever status, or why there is none.
    pub reply: Result<Reply, FetchFault>,
    /// The times of the last hop.
    pub phases: Phases,
}

/// One reply on the way.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Hop {
    /// What was asked.
    pub url: String,
    /// The status of the reply.
    pub status: u16,
    /// Its `Access-Control-Allow-Origin` headers: browsers want exactly one.
    pub cors: Vec<String>,
}

/// Why there is no last reply.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    /// No reply at all.
    #[error(transparent)]
    Probe(#[from] ProbeFailure),
    /// A certificate that peers do not accept.
    #[error(transparent)]
    Chain(#[from] ChainFault),
    /// A redirect to what was asked before.
    #[error("redirect loop: '{0}' leads back to itself")]
    Loop(String),
    /// More redirects than anybody follows.
    #[error("more than {MOST_REDIRECTS} redirects")]
    TooMany,
    /// A redirect to nowhere.
    #[error("redirected to '{0}', which is no URL")]
    NoUrl(String),
    /// A redirect to a host without address.
    #[error("redirected to '{host}', {reason}")]
    NoAddress {
        /// Where to.
        host: String,
        /// Why that leads nowhere.
        reason: String,
    },
}

impl FetchFault {
    /// One word for machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Probe(failure) => failure.word(),
            Self::Chain(fault) => fault.word(),
            Self::Loop(_) => "redirect_loop",
            Self::TooMany => "too_many_redirects",
            Self::NoUrl(_) | Self::NoAddress { .. } => "bad_redirect",
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::Probe(failure) => failure.state(),
            _ => State::Fail,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> Option<&'static str> {
        match self {
            Self::Probe(failure) => failure.fix(),
            Self::Chain(fault) => Some(fault.fix()),
            Self::Loop(_) | Self::TooMany => {
                Some("serve the file itself at this URL, without a redirect")
            }
            Self::NoUrl(_) | Self::NoAddress { .. } => Some("correct the target of the redirect"),
        }
    }

    /// Whether nobody serves anything there, which a name may well do: peers then go on to the next step.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self.word(), "refused" | "unreachable" | "connect_timeout")
    }
}

impl Fetched {
    /// How long peers may keep the answer.
    #[must_use]
    pub fn lifetime(&self) -> Option<Duration> {
        self.reply.as_ref().ok().map(lifetime)
    }
}

fn lifetime(reply: &Reply) -> Duration {
    let date = reply.header("date").and_then(http_date);
    // What is no date is in the past, "0" above all (RFC 9111, 5.3).
    let expires_in = reply.header("expires").map(|expires| {
        http_date(expires).map_or(0, |expires| expires - date.unwrap_or_else(now_s))
    });
    let keep = if reply.status == 200 {
        cache::lifetime
    } else {
        cache::error_lifetime
    };
    // Several headers are one list.
    let control: Vec<_> = reply.headers("cache-control").collect();
    keep(Some(&control.join(",")), expires_in)
}

/// Seconds since 1970 of a date as HTTP writes it.
#[must_use]
pub fn http_date(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(parsed.timestamp().as_second())
}

/// Fetches a URL from every address of its host.
pub fn from_each_address(
    view: &View<'_>,
    trust: &Trust,
    url: &Url,
) -> Result<Answer<Vec<Fetched>>, Error> {
    let base = Base::of(url);
    let endpoints = match view.endpoints(&base.host, base.port) {
        Answer::Found(endpoints) => endpoints,
        Answer::Absent => return Ok(Answer::Absent),
        Answer::Failed(reason) => return Ok(Answer::Failed(reason)),
    };
    let fetched = fan_out(&endpoints, AT_A_TIME, |address| {
        from(view, trust, url, *address)
    });
    Ok(Answer::Found(
        fetched.into_iter().collect::<Result<_, _>>()?,
    ))
}

/// Fetches a URL from one address of its host, which redirects may leave for others.
pub fn from(
    view: &View<'_>,
    trust: &Trust,
    url: &Url,
    address: SocketAddr,
) -> Result<Fetched, Error> {
    let mut fetched = Fetched {
        address,
        hops: Vec::new(),
        reply: Err(FetchFault::TooMany),
        phases: Phases::default(),
    };
    let mut url = url.clone();
    let home = (Base::of(&url).host, address.port());
    let mut at = address;
    let started = Instant::now();
    for _ in 0..=MOST_REDIRECTS {
        if started.elapsed() > view.patience() {
            fetched.reply = Err(ProbeFailure::from(HttpError::Timeout).into());
            return Ok(fetched);
        }
        if fetched.hops.iter().any(|hop| hop.url == url.as_str()) {
            fetched.reply = Err(FetchFault::Loop(url.to_string()));
            return Ok(fetched);
        }
        let reply = match one(view, trust, &url, at, &mut fetched.phases)? {
            Ok(reply) => reply,
            Err(fault) => {
                fetched.reply = Err(fault);
                return Ok(fetched);
            }
        };
        let cors = reply
            .headers("access-control-allow-origin")
            .map(str::to_owned)
            .collect();
        fetched.hops.push(Hop {
            url: url.to_string(),
            status: reply.status,
            cors,
        });
        let Some(location) = redirect(&reply) else {
            fetched.reply = Ok(reply);
            return Ok(fetched);
        };
        match follow(view, &url, &location, &home, address) {
            Ok((next, next_at)) => (url, at) = (next, next_at),
            Err(fault) => {
                fetched.reply = Err(fault);
                return Ok(fetched);
            }
        }
    }
    Ok(fetched)
}

fn redirect(reply: &Reply) -> Option<String> {
    let location = reply.header("location")?.to_owned();
    matches!(reply.status, 301 | 302 | 303 | 307 | 308).then_some(location)
}

/// The next URL and the address to ask it from: the same one, as long as the host stays the same.
fn follow(
    view: &View<'_>,
    url: &Url,
    location: &str,
    home: &(String, u16),
    address: SocketAddr,
) -> Result<(Url, SocketAddr), FetchFault> {
    let next = url
        .join(location)
        .map_err(|_| FetchFault::NoUrl(location.to_owned()))?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err(FetchFault::NoUrl(location.to_owned()));
    }
    let base = Base::of(&next);
    if (base.host.clone(), base.port) == *home {
        return Ok((next, address));
    }
    let nowhere = |reason: String| FetchFault::NoAddress {
        host: base.host.clone(),
        reason,
    };
    match view.endpoints(&base.host, base.port) {
        Answer::Found(endpoints) if !endpoints.is_empty() => Ok((next, endpoints[0])),
        Answer::Failed(reason) => Err(nowhere(reason)),
        _ => Err(nowhere("which has no address".to_owned())),
    }
}

/// One request, with the certificate judged as peers do.
fn one(
    view: &View<'_>,
    trust: &Trust,
    url: &Url,
    address: SocketAddr,
    phases: &mut Phases,
) -> Result<Result<Reply, FetchFault>, Error> {
    let base = Base::of(url);
    let path = url.query().map_or_else(
        || url.path().to_owned(),
        |query| format!("{}?{query}", url.path()),
    );
    let endpoint = base.at(address);
    let mut opened = match probe::open(view, &endpoint) {
        Ok(opened) => opened,
        Err(failure) => return Ok(Err(failure.into())),
    };
    if let Some(facts) = &opened.tls {
        match chain::judge(&facts.chain, &base.host, &*trust.roots()?, now_s()) {
            Ok(report) => {
                if let Some(fault) = report.faults.into_iter().next() {
                    return Ok(Err(fault.into()));
                }
            }
            Err(fault) => return Ok(Err(fault.into())),
        }
    }
    let reply = opened.get(view, &endpoint, &path);
    *phases = opened.phases;
    Ok(reply.map_err(FetchFault::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(
            http_date("Mon, 23 Nov 2026 16:10:24 GMT"),
            Some(1_795_450_224)
        );
        assert_eq!(http_date("yesterday"), None);
        assert_eq!(http_date("0"), None);
    }

    #[test]
    fn the_headers_of_an_answer_tell_how_long_it_is_kept() {
        const DATE: (&str, &str) = ("date", "Mon, 23 Nov 2026 16:10:24 GMT");
        const LATER: (&str, &str) = ("expires", "Mon, 23 Nov 2026 18:10:24 GMT");
        let minutes = |headers: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let reply = Reply {
                status: 200,
                version: "HTTP/1.1".to_owned(),
                headers: headers.iter().map(own).collect(),
                body: Vec::new(),
                first_byte: Duration::ZERO,
                total: Duration::ZERO,
            };
            lifetime(&reply).as_secs() / 60
        };
        for (headers, expected) in [
            (&[][..], 24 * 60),
            (&[DATE, LATER], 120),
            (&[DATE, LATER, ("cache-control", "max-age=3600")], 60),
            (&[DATE, LATER, ("cache-control", "public")], 120),
            (
                &[
                    ("cache-control", "public"),
                    ("cache-control", "Max-Age = 3600"),
                ],
                60,
            ),
            (&[("cache-control", "max-age=, public")], 24 * 60),
            (&[DATE, ("expires", "0")], 5),
            (&[("expires", "-1")], 5),
            // Long past, whatever the server's own clock says.
            (&[("expires", "Wed, 30 Jan 2019 07:35:33 GMT")], 5),
        ] {
            assert_eq!(minutes(headers), expected, "{headers:?}");
        }
    }
}
