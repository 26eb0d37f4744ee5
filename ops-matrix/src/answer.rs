//! Whether an HTTP reply is the answer that was asked for, and what stands in the way when it is not.
//!
//! A rate limit, a firewall and a server with federation switched off are no faults of the same kind as a dead server.

use std::time::Duration;

use ops_common::check::State;

use crate::document::{self, DocumentError};
use crate::http::Reply;

/// Why a reply is not the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// Asked too often. Nothing is wrong with the server.
    #[error("rate limited{}", after(.0.as_deref()))]
    RateLimited(Option<String>),
    /// The server answers, but federation is switched off.
    #[error("federation is disabled")]
    FederationDisabled,
    /// Something in front of the server does not let us pass.
    #[error(
        "blocked with HTTP {0} by something in front of the server (the answer is not the server's JSON)"
    )]
    Blocked(u16),
    /// A proxy that does not reach its upstream.
    #[error("HTTP {0} from a proxy whose upstream does not answer")]
    Gateway(u16),
    /// A redirect where none is followed.
    #[error("HTTP {status}: redirected to '{location}'")]
    Redirect {
        /// Its status.
        status: u16,
        /// Where to.
        location: String,
    },
    /// Something in front of the server knows nobody of the name in `Host`.
    #[error("HTTP 421: nobody is served there under this Host")]
    Misdirected,
    /// Not found, with the server's own error code or without.
    #[error("HTTP 404{}", code(.0.as_deref()))]
    NotFound(Option<String>),
    /// Any other status.
    #[error("HTTP {status}{}", code(.errcode.as_deref()))]
    Status {
        /// Its status.
        status: u16,
        /// The standard error code in the body.
        errcode: Option<String>,
    },
    /// Compressed, though we said that we do not want that.
    #[error("the body is compressed ({0}) though nobody asked for that")]
    Compressed(String),
    /// Status 200, but not the document.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

fn after(seconds: Option<&str>) -> String {
    seconds.map_or_else(String::new, |seconds| format!(", retry after {seconds} s"))
}

/// The older way to say it, in the body, as whole seconds.
fn after_ms(reply: &Reply) -> Option<String> {
    let told = document::object(&reply.body).ok()?;
    let millis = told.get("retry_after_ms")?.as_u64()?;
    Some(millis.div_ceil(1000).to_string())
}

fn code(code: Option<&str>) -> String {
    code.map_or_else(String::new, |code| format!(" {code}"))
}

impl AnswerFault {
    /// One word for machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::RateLimited(_) => "rate_limited",
            Self::FederationDisabled => "federation_disabled",
            Self::Blocked(_) => "blocked",
            Self::Gateway(_) => "gateway",
            Self::Redirect { .. } => "redirect",
            Self::Misdirected => "misdirected",
            Self::NotFound(_) => "not_found",
            Self::Status { .. } => "status",
            Self::Compressed(_) => "compressed",
            Self::Document(DocumentError::Html) => "html",
            Self::Document(_) => "document",
        }
    }

    /// How long whoever asks too often shall wait; none where that is not told in seconds, or where nobody is limited.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(Some(seconds)) => {
                seconds.trim().parse().ok().map(Duration::from_secs)
            }
            _ => None,
        }
    }

    /// How bad it is: whoever is told to come back later has seen nothing.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::RateLimited(_) => State::Unknown,
            _ => State::Fail,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> Option<&'static str> {
        match self {
            Self::RateLimited(_) => {
                Some("ask again later: one answer is enough, and nothing here repeats itself")
            }
            Self::FederationDisabled => {
                Some("set allow_federation = true, if this server is meant to federate")
            }
            Self::Blocked(_) => Some(
                "let /_matrix/ and /.well-known/matrix/ pass the firewall or proxy for every user agent",
            ),
            Self::Gateway(_) => Some(
                "see with 'ops-matrix status' whether the homeserver listens where the proxy looks for it",
            ),
            Self::Misdirected => Some(
                "give the proxy a server block for the name that peers send as Host, port and all",
            ),
            Self::Compressed(_) => Some("send Content-Encoding only to clients that accept it"),
            Self::Document(DocumentError::Html) => Some(
                "the path is served by something else: route it to the homeserver or to its JSON file",
            ),
            _ => None,
        }
    }
}

/// The body of a reply that is the answer, by its status and encoding.
pub fn body(reply: &Reply) -> Result<&[u8], AnswerFault> {
    let json = document::object(&reply.body).is_ok();
    let errcode = || document::error_code(&reply.body);
    match reply.status {
        200 => (),
        429 => {
            let told = reply.header("retry-after").map(str::to_owned);
            return Err(AnswerFault::RateLimited(told.or_else(|| after_ms(reply))));
        }
        403 if document::federation_disabled(reply.status, &reply.body) => {
            return Err(AnswerFault::FederationDisabled);
        }
        status @ (401 | 403 | 406 | 451) if !json => return Err(AnswerFault::Blocked(status)),
        status @ (502..=504) if !json => return Err(AnswerFault::Gateway(status)),
        status @ 300..=399 => {
            let location = reply.header("location").unwrap_or_default().to_owned();
            return Err(AnswerFault::Redirect { status, location });
        }
        404 => return Err(AnswerFault::NotFound(errcode())),
        421 => return Err(AnswerFault::Misdirected),
        status => {
            return Err(AnswerFault::Status {
                status,
                errcode: errcode(),
            });
        }
    }
    match reply.header("content-encoding") {
        Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => {
            Err(AnswerFault::Compressed(encoding.to_owned()))
        }
        _ => Ok(&reply.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
        Reply {
            status,
            version: "HTTP/1.1".into(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.as_bytes().to_vec(),
            first_byte: Duration::ZERO,
            total: Duration::ZERO,
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn replies_are_told_apart() {
        let disabled = r#"{"errcode":"M_FORBIDDEN","error":"Federation is disabled."}"#;
        for (status, headers, text, expected) in [
            (
                429,
                &[("retry-after", "7")][..],
                "{}",
                "rate limited, retry after 7 s",
            ),
            (429, &[], "<html>", "rate limited"),
            (
                429,
                &[],
                r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}"#,
                "rate limited, retry after 2 s",
            ),
            (403, &[], disabled, "federation is disabled"),
            (
                403,
                &[],
                "<html>",
                "blocked with HTTP 403 by something in front of the server (the answer is not the server's JSON)",
            ),
            (
                403,
                &[],
                r#"{"errcode":"M_FORBIDDEN"}"#,
                "HTTP 403 M_FORBIDDEN",
            ),
            (
                502,
                &[],
                "<html>",
                "HTTP 502 from a proxy whose upstream does not answer",
            ),
            (
                301,
                &[("location", "/x")],
                "",
                "HTTP 301: redirected to '/x'",
            ),
            (
                404,
                &[],
                r#"{"errcode":"M_UNRECOGNIZED"}"#,
                "HTTP 404 M_UNRECOGNIZED",
            ),
            (404, &[], "", "HTTP 404"),
            (500, &[], "", "HTTP 500"),
            (
                200,
                &[("content-encoding", "gzip")],
                "{}",
                "the body is compressed (gzip) though nobody asked for that",
            ),
        ] {
            let reply = reply(status, headers, text);
            let found = body(&reply).map_err(|fault| fault.to_string());
            assert_eq!(found, Err(expected.to_owned()), "{status} {text}");
        }
        assert_eq!(
            body(&reply(200, &[("content-encoding", "identity")], "{}")),
            Ok(&b"{}"[..])
        );
    }
}
