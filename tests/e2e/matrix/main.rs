//! ops-matrix against real homeservers, and against a server that does everything wrong.

mod certificates;
mod fake;
mod faults;
mod federating;
mod federation;
mod homeserver;
mod names;
mod platform;
