//! The host's own plan: what its `switch-to-configuration dry-activate` says.

use std::time::Duration;

use ops_common::host::Command;

use crate::error::Error;
use crate::line::Line;
use crate::preview;

/// What it says before the names of units, and our word for that.
const SAYINGS: [(&str, &str); 6] = [
    ("would stop the following units: ", "stop"),
    ("would NOT stop the following changed units: ", "keep"),
    ("would reload the following units: ", "reload"),
    ("would restart the following units: ", "restart"),
    ("would NOT restart the following changed units: ", "keep"),
    ("would start the following units: ", "start"),
];

/// Asks the host, which must have the system, what going to it would do to its units.
pub fn ask(line: &Line<'_>, new: &str) -> Result<Vec<preview::Line>, Error> {
    let program = format!("{new}/bin/switch-to-configuration");
    let question = Command::new(program)
        .arg("dry-activate")
        .deadline(Duration::from_mins(5));
    let answer = line.host().run(&question).map_err(Error::from)?;
    if !answer.success() {
        return Err(Error::Prepare {
            host: line.name(),
            reason: answer.complaint(),
            status: answer.status,
        });
    }
    Ok(read(&String::from_utf8_lossy(&answer.stderr)))
}

fn read(said: &str) -> Vec<preview::Line> {
    let told = |line: &str| -> Option<(&'static str, Vec<String>)> {
        let (saying, action) = SAYINGS
            .iter()
            .find(|(saying, _)| line.starts_with(saying))?;
        let names = line[saying.len()..].split(", ");
        Some((action, names.map(str::to_owned).collect()))
    };
    said.lines()
        .filter_map(told)
        .flat_map(|(action, names)| {
            names.into_iter().map(move |name| preview::Line {
                kind: "unit",
                action: action.to_owned(),
                name,
                old: String::new(),
                new: String::new(),
                delta_bytes: None,
                reason: "the host says so".to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_says_is_a_plan() {
        let said = "would stop the following units: a.service, b.service\nwould activate the configuration...\n\
would NOT restart the following changed units: c.service\nwould start the following units: d.service\n";
        let lines = read(said);
        let told: Vec<_> = lines
            .iter()
            .map(|line| format!("{} {}", line.action, line.name))
            .collect();
        assert_eq!(
            told,
            [
                "stop a.service",
                "stop b.service",
                "keep c.service",
                "start d.service"
            ]
        );
    }
}
