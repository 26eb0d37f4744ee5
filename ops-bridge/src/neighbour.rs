//! The homeserver, the database and Slack's Web API, as far as the bridge's log tells of them. When one of them is away messages
//! are lost while every state says connected.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use crate::connection::between;
use crate::event::{Event, Neighbour};
use crate::line::{Level, Line};

/// The bridge tries the homeserver again after 4, 8, 16 and 32 s, and writes a line each time. Silence for longer than this says
/// that nobody has asked since, not that it is still away.
const FRESH: Duration = Duration::from_mins(2);

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    pub(crate) homeserver: Known,
    pub(crate) database: Known,
    pub(crate) web_api: Known,
    pub(crate) queue: Known,
}

/// What is known of one: the last time that it failed, and how, unless it has worked since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Option<(Timestamp, String)>);

impl Neighbours {
    /// Takes in an event.
    pub(crate) fn observe(&mut self, event: &Event<'_>, at: Timestamp) {
        match event {
            Event::Failing { neighbour, error } => {
                self.of(*neighbour).0 = Some((at, error.to_string()));
            }
            Event::Works(neighbour) => self.of(*neighbour).works(),
            // The login was found in the database.
            Event::Sending { .. } => self.database.works(),
            // The duplicate was found in the database, and Slack has taken what it is the echo of.
            Event::Echo { .. } => {
                self.database.works();
                self.web_api.works();
            }
            Event::Delivered { .. } => {
                self.homeserver.works();
                self.database.works();
            }
            _ => {}
        }
    }

    fn of(&mut self, neighbour: Neighbour) -> &mut Known {
        match neighbour {
            Neighbour::Homeserver => &mut self.homeserver,
            Neighbour::Database => &mut self.database,
            Neighbour::WebApi => &mut self.web_api,
            Neighbour::Queue => &mut self.queue,
        }
    }
}

impl Known {
    /// It was heard of, or asked by somebody else.
    pub(crate) fn works(&mut self) {
        self.0 = None;
    }

    /// How it failed, as long as that is news.
    pub(crate) fn failing(&self, now: Timestamp) -> Option<&str> {
        let (at, error) = self.0.as_ref()?;
        (between(*at, now) <= FRESH).then_some(error)
    }

    /// When it failed last, if nobody has heard of it since.
    pub(crate) fn failed_at(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|(at, _)| *at)
    }
}

/// What a line tells about the homeserver or the database.
pub(crate) fn of<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    match &*line.message {
        "Request completed"
        | "Starting handling of transaction"
        | "Received ping from homeserver" => {
            return Some(Event::Works(Neighbour::Homeserver));
        }
        "Event that took long finished handling"
        | "Event that took too long finally finished handling" => {
            return Some(Event::Works(Neighbour::Queue));
        }
        _ if line.level < Some(Level::Warn) => return None,
        "Event handling is taking long"
        | "Event handling is taking too long, continuing in background"
        | "Portal event channel is full, queue will block"
        | "Portal event channel is still full" => {
            let (neighbour, error) = (Neighbour::Queue, Cow::default());
            return Some(Event::Failing { neighbour, error });
        }
        _ => {}
    }
    let error = line.field("error")?;
    // The bot's default avatar lies on a server that a host without a way out never reaches.
    let is_foreign = || {
        line.field("url")
            .is_some_and(|url| url.contains("/media/download/"))
    };
    let neighbour = match &*line.message {
        "Request failed" | "Request failed, retrying" if is_foreign() => return None,
        "Request failed, retrying"
        | "Failed to connect to homeserver, retrying in 10 seconds..." => Neighbour::Homeserver,
        _ if is_of_database(&error) => Neighbour::Database,
        "Request failed" | "Failed to send message part to Matrix" if is_unreachable(&error) => {
            Neighbour::Homeserver
        }
        "Failed to handle Matrix message"
        | "Failed to handle Matrix edit"
        | "Failed to handle Matrix reaction"
        | "Failed to handle Matrix redaction" => Neighbour::WebApi,
        _ => return None,
    };
    Some(Event::Failing { neighbour, error })
}

/// How Go's driver of PostgreSQL words that the server is away. A socket of Unix is always the database's.
fn is_of_database(error: &str) -> bool {
    [
        "dial unix",
        ".s.PGSQL.",
        "pq: ",
        "driver: bad connection",
        "sql: ",
        ":5432: connect",
    ]
    .iter()
    .any(|part| error.contains(part))
}

/// How Go words that the other side cannot be reached, and a proxy that nobody is behind it.
fn is_unreachable(error: &str) -> bool {
    [
        "dial tcp",
        "connection refused",
        "connection reset",
        "EOF",
        "deadline exceeded",
        "Client.Timeout",
        "HTTP 502",
        "HTTP 503",
        "HTTP 504",
    ]
    .iter()
    .any(|part| error.contains(part))
}
