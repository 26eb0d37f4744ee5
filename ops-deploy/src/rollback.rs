//! Where to go back to: a generation, a path, or what the profile held before.

use crate::closure::is_store_path;
use crate::error::Error;
use crate::state::State;

/// Finds the system to go back to.
pub fn destination(state: &State, host: &str, to: Option<&str>) -> Result<String, Error> {
    let none = |what: &str| Error::NoGeneration {
        host: host.to_owned(),
        what: what.to_owned(),
    };
    match to {
        Some(path) if path.starts_with('/') => {
            if is_store_path(path) {
                Ok(path.to_owned())
            } else {
                Err(Error::NotAStorePath(path.to_owned()))
            }
        }
        Some(number) => {
            let wanted: u64 = number
                .parse()
                .map_err(|_| none(&format!("generation '{number}'")))?;
            let found = state
                .generations
                .iter()
                .find(|generation| generation.number == wanted);
            found
                .map(|generation| generation.path.clone())
                .ok_or_else(|| none(&format!("generation {wanted}")))
        }
        // The newest of the older generations that holds another system: the same one again would be no way back.
        None => {
            let older = state
                .generations
                .iter()
                .rev()
                .filter(|generation| Some(generation.number) < state.generation);
            let other = older
                .into_iter()
                .find(|generation| Some(generation.path.as_str()) != state.old());
            other
                .map(|generation| generation.path.clone())
                .ok_or_else(|| none("older generation"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Generation;

    fn state(generations: &[(u64, &str)], now: u64) -> State {
        let generation = |(number, path): &(u64, &str)| Generation {
            number: *number,
            path: (*path).to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let current = generations
            .iter()
            .find(|(number, _)| *number == now)
            .map(|(_, path)| (*path).to_owned());
        State {
            current: current.clone(),
            profile: current,
            generation: Some(now),
            generations: generations.iter().map(generation).collect(),
            ..State::default()
        }
    }

    #[test]
    fn the_way_back_is_the_newest_older_generation_with_another_system() {
        let host = state(&[(1, "a"), (2, "b"), (3, "c"), (4, "c"), (7, "d")], 4);
        assert_eq!(destination(&host, "h", None).unwrap(), "b");
        assert_eq!(destination(&host, "h", Some("7")).unwrap(), "d");
        assert!(destination(&host, "h", Some("5")).is_err());
        assert!(destination(&host, "h", Some("x")).is_err());
        assert!(destination(&host, "h", Some("/etc")).is_err());
        assert!(destination(&state(&[(1, "a")], 1), "h", None).is_err());
    }
}
