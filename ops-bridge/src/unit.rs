//! The bridge's systemd unit, from `systemctl show`.

use jiff::Timestamp;

use crate::exit_code;

/// The properties that tell how the unit fares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    pub(crate) load_state: String,
    pub(crate) active_state: String,
    pub(crate) sub_state: String,
    pub(crate) result: String,
    pub(crate) exit_code: Option<u8>,
    pub(crate) signal: Option<u8>,
    pub(crate) restarts: u64,
    pub(crate) invocation: String,
    pub(crate) active_since: Option<Timestamp>,
    pub(crate) changed_at: Option<Timestamp>,
    pub(crate) memory_bytes: Option<u64>,
}

impl Unit {
    /// Reads `KEY=VALUE` lines; times as `--timestamp=unix` writes them.
    pub(crate) fn read(text: &str) -> Self {
        let mut unit = Self::default();
        let (mut code, mut status) = ("0", None);
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "LoadState" => value.clone_into(&mut unit.load_state),
                "ActiveState" => value.clone_into(&mut unit.active_state),
                "SubState" => value.clone_into(&mut unit.sub_state),
                "Result" => value.clone_into(&mut unit.result),
                "ExecMainCode" => code = value,
                "ExecMainStatus" => status = value.parse().ok(),
                "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
                "InvocationID" => value.clone_into(&mut unit.invocation),
                "ActiveEnterTimestamp" => unit.active_since = instant(value),
                "StateChangeTimestamp" => unit.changed_at = instant(value),
                "MemoryCurrent" => unit.memory_bytes = value.parse().ok(),
                _ => {}
            }
        }
        // CLD_EXITED is 1; CLD_KILLED and CLD_DUMPED are 2 and 3.
        match code {
            "1" => unit.exit_code = status,
            "2" | "3" => unit.signal = status,
            _ => {}
        }
        unit
    }

    /// Whether the process runs.
    pub(crate) fn is_active(&self) -> bool {
        self.active_state == "active"
    }

    /// The state in words, with what the last process ended with where none runs.
    pub(crate) fn words(&self) -> String {
        if self.is_active() {
            let restarts = if self.restarts > 0 {
                format!(", {} restarts", self.restarts)
            } else {
                String::new()
            };
            return format!("{} ({}){restarts}", self.active_state, self.sub_state);
        }
        let ended = match (self.exit_code, self.signal) {
            (Some(code), _) => format!(": {}", exit_code::words(code)),
            (None, Some(signal)) => format!(": killed by signal {signal}"),
            (None, None) => String::new(),
        };
        format!("{} ({}){ended}", self.active_state, self.sub_state)
    }
}

fn instant(value: &str) -> Option<Timestamp> {
    let seconds: i64 = value.strip_prefix('@')?.parse().ok()?;
    Timestamp::from_second(seconds)
        .ok()
        .filter(|at| at.as_second() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_is_refused_again_and_again() {
        let unit = Unit::read(
            "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainCode=1\nExecMainStatus=11\nNRestarts=7\nActiveEnterTimestamp=@1787130001\n",
        );
        assert_eq!(
            (unit.exit_code, unit.restarts, unit.is_active()),
            (Some(11), 7, false)
        );
        assert!(
            unit.words()
                .starts_with("activating (auto-restart): exit 11: configuration error"),
            "{}",
            unit.words()
        );
        let killed =
            Unit::read("ActiveState=failed\nSubState=failed\nExecMainCode=2\nExecMainStatus=9\n");
        assert_eq!(killed.words(), "failed (failed): killed by signal 9");
    }
}
