//! The homeserver, the database and Slack's Web API, as far as the bridge's log tells of them. When one of them is away messages
//! are lost while every state says connected.

use std::time::Duration;

use jiff::Timestamp;

use crate::connection::between;
use crate::event::{Event, Neighbour};

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
