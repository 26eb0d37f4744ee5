//! `ops-db` against real servers, over ssh and on the host itself.

mod backup;
mod faults;
mod look;
mod reach;
