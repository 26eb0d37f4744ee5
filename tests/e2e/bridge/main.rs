//! `ops-bridge` against the real mautrix-slack.

mod nobody;
