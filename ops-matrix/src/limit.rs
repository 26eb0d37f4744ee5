//! How long a phase of a probe may take: `--limit`.

use std::str::FromStr;

use ops_common::span::Span;

use crate::probe::Phases;

/// The longest that a phase may take: `total=500ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    phase: Phase,
    at_most: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resolve,
    Connect,
    Tls,
    FirstByte,
    Total,
}

const PHASES: [(&str, Phase); 5] = [
    ("resolve", Phase::Resolve),
    ("connect", Phase::Connect),
    ("tls", Phase::Tls),
    ("first_byte", Phase::FirstByte),
    ("total", Phase::Total),
];

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, span) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' is not PHASE=TIME"))?;
        let found = PHASES.iter().find(|(known, _)| *known == name);
        let names = PHASES.map(|(known, _)| known).join(", ");
        let (_, phase) = *found.ok_or_else(|| format!("'{name}' is none of the phases {names}"))?;
        Ok(Self {
            phase,
            at_most: span.parse().map_err(|error| format!("{error}"))?,
        })
    }
}

impl Limit {
    /// The seconds that everything together may take, if it is this that is limited.
    pub(crate) fn of_total(self) -> Option<f64> {
        (self.phase == Phase::Total).then(|| self.at_most.as_seconds())
    }

    /// What is wrong if a phase took longer.
    pub(crate) fn broken(self, phases: &Phases) -> Option<String> {
        let (name, _) = PHASES.iter().find(|(_, phase)| *phase == self.phase)?;
        let took = match self.phase {
            Phase::Resolve => phases.resolve_s,
            Phase::Connect => phases.connect_s,
            Phase::Tls => phases.tls_s,
            Phase::FirstByte => phases.first_byte_s,
            Phase::Total => phases.total_s,
        }?;
        (took >= self.at_most.as_seconds()).then(|| {
            format!(
                "{name} took {took:.3} s, at most {} is allowed",
                self.at_most
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_a_phase_and_a_time() {
        let limit: Limit = "total=500ms".parse().expect("a limit");
        let phases = Phases {
            total_s: Some(0.4),
            ..Phases::default()
        };
        assert_eq!(limit.broken(&phases), None);
        let slow = Phases {
            total_s: Some(0.75),
            ..Phases::default()
        };
        assert_eq!(
            limit.broken(&slow).as_deref(),
            Some("total took 0.750 s, at most 500ms is allowed")
        );
        // A phase that did not happen cannot be too slow.
        assert_eq!(
            "tls=1ms".parse::<Limit>().expect("a limit").broken(&slow),
            None
        );
        for text in ["total", "total=5", "all=5s"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }
}
