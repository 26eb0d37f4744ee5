//! A URL that some program on the host uses: what its name resolves to, which of the addresses answer, and who is hit when
//! one of them is dead.

use std::net::SocketAddr;

use ops_common::check::{Check, State};
use ops_common::hosts::fan_out;
use serde_json::{Value, json};
use url::Url;

use crate::base::Base;
use crate::discovery::Answer;
use crate::view::View;

/// Addresses dialled at a time.
const AT_A_TIME: usize = 8;

/// What an address did when it was dialled.
pub type Dialled = (SocketAddr, Result<(), String>);

/// Dials each address once.
pub fn dial_all(view: &View<'_>, endpoints: &[SocketAddr]) -> Vec<Dialled> {
    fan_out(endpoints, AT_A_TIME, |address| {
        let answer = view
            .dial(*address)
            .map(drop)
            .map_err(|failure| failure.to_string());
        (*address, answer)
    })
}

/// What a first-address client, a Happy-Eyeballs client and nginx see of the same name.
#[must_use]
pub fn hit(dialled: &[Dialled]) -> Value {
    let some_alive = dialled.iter().any(|(_, answer)| answer.is_ok());
    let some_dead = dialled.iter().any(|(_, answer)| answer.is_err());
    json!({
        "first_address": dialled.first().is_some_and(|(_, answer)| answer.is_err()),
        "happy_eyeballs": !some_alive,
        "nginx": some_dead,
    })
}

/// The addresses that answered, or those that did not.
#[must_use]
pub fn listed(dialled: &[Dialled], alive: bool) -> Vec<String> {
    dialled
        .iter()
        .filter(|(_, answer)| answer.is_ok() == alive)
        .map(|(address, _)| address.to_string())
        .collect()
}

/// Judges a URL by each address of its host. `silent` is what it means if none of them answers.
pub fn check(view: &View<'_>, name: &str, subject: &str, url: &Url, silent: Silent) -> Check {
    let base = Base::of(url);
    match view.endpoints(&base.host, base.port) {
        Answer::Found(endpoints) => judge(
            name,
            subject,
            url,
            &base.host,
            &dial_all(view, &endpoints),
            silent,
        ),
        Answer::Absent => Check::fail(name, subject, format!("'{}' has no address", base.host)),
        Answer::Failed(reason) => Check::unknown(name, subject, reason),
    }
}

/// What it means that no address of a URL answers, and what is to be done about it.
#[derive(Debug, Clone, Copy)]
pub struct Silent {
    /// How bad it is.
    pub state: State,
    /// What to do.
    pub fix: &'static str,
}

fn judge(
    name: &str,
    subject: &str,
    url: &Url,
    host: &str,
    dialled: &[Dialled],
    silent: Silent,
) -> Check {
    let (alive, dead) = (listed(dialled, true), listed(dialled, false));
    let (living, others) = (alive.join(" and "), dead.join(" and "));
    let check = match (alive.first(), dead.is_empty()) {
        (Some(_), true) => Check::ok(name, subject, living),
        (Some(first), false) => Check::fail(
            name,
            subject,
            format!("'{host}' is also {others}, where nobody listens; {living} answers"),
        )
        .fix(format!(
            "name the address that answers: {}://{first}",
            url.scheme()
        )),
        (None, _) => Check::new(
            silent.state,
            name,
            subject,
            format!("nothing answers at {others}"),
        )
        .fix(silent.fix),
    };
    check.data(json!({"url": url.as_str(), "alive": alive, "dead": dead, "hit": hit(dialled)}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(dialled: &[(&str, bool)]) -> Check {
        let answer = |ok: bool| ok.then_some(()).ok_or_else(|| "refused".to_owned());
        let dialled: Vec<Dialled> = dialled
            .iter()
            .map(|(address, ok)| (address.parse().expect("an address"), answer(*ok)))
            .collect();
        let url = Url::parse("http://localhost:29335").expect("a URL");
        let silent = Silent {
            state: State::Warn,
            fix: "start it",
        };
        judge("c", "s", &url, "localhost", &dialled, silent)
    }

    #[test]
    fn the_trap_is_told_with_the_address_that_answers() {
        let check = judged(&[("[::1]:29335", false), ("127.0.0.1:29335", true)]);
        assert_eq!(
            (check.status, check.fix.as_deref()),
            (
                State::Fail,
                Some("name the address that answers: http://127.0.0.1:29335")
            )
        );
        assert_eq!(
            check.data["hit"],
            json!({"first_address": true, "happy_eyeballs": false, "nginx": true})
        );
    }

    #[test]
    fn all_alive_is_well_and_all_dead_is_what_the_caller_says() {
        assert_eq!(
            judged(&[("[::1]:29335", true), ("127.0.0.1:29335", true)]).status,
            State::Ok
        );
        let check = judged(&[("127.0.0.1:29335", false)]);
        assert_eq!(
            (check.status, check.message.as_str(), check.fix.as_deref()),
            (
                State::Warn,
                "nothing answers at 127.0.0.1:29335",
                Some("start it")
            )
        );
    }
}
