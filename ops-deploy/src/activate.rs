//! What is done with the system on the host: it is tried, and later made the one that boots.

use std::time::{Duration, Instant};

use ops_common::exit::describe;

use crate::deployment::{Deployment, Sick, TOO_LATE, host_script};
use crate::line::{Outcome as Ended, Work};
use crate::stc::{self, Ending, Meaning};

/// How far the timer of the host and our own clock may be apart.
const TIMER_SLACK: Duration = Duration::from_secs(1);

/// How long making the system the default for booting may take.
const COMMIT_LIMIT: Duration = Duration::from_mins(5);

impl Deployment<'_> {
    /// Trying the system, with all the time that is left for it.
    pub(crate) fn activation(&self) -> Work<'_> {
        Work {
            id: &self.record.id,
            unit: "ops-deploy-activate",
            argv: vec![
                format!("{}/bin/switch-to-configuration", self.order.new),
                "test".to_owned(),
            ],
            limit: self.armed_until.saturating_duration_since(Instant::now()),
            patience: self.armed_until,
            sum_up: None,
        }
    }

    /// Judges how the activation ended, which was started with the deployment.
    pub(crate) fn judge_activation(&mut self) -> Result<(), Sick> {
        let Some(ended) = self.activated.take() else {
            return Ok(());
        };
        let Ended {
            mut ending, said, ..
        } = ended
            .map_err(|error| Sick::because(format!("activation lost: {}", describe(&error))))?;
        if let Ending::Exited(status) = ending {
            self.record.activation = Some(status);
        } else if Instant::now() + TIMER_SLACK >= self.armed_until {
            // The timer ended it, or its unit did just before.
            ending = Ending::TooLong;
        }
        let told = with_last_words(&stc::explain(ending, &said), &said);
        match stc::meaning(ending, &said) {
            Meaning::Live => Ok(()),
            Meaning::LiveWithSickUnits => {
                self.line
                    .report
                    .note(format_args!("{told}; the units will tell"));
                Ok(())
            }
            Meaning::RebootNeeded | Meaning::Refused => Err(Sick {
                reason: told,
                untouched: true,
            }),
            Meaning::Broken => Err(Sick::because(told)),
        }
    }

    /// Sets the profile and installs the boot loader.
    pub(crate) fn make_default(&mut self) -> Result<(), Sick> {
        let started = Instant::now();
        let left = self.armed_until.saturating_duration_since(started);
        let args = [self.record.id.clone(), self.order.new.to_owned()];
        let since = self.before.cursor.clone().unwrap_or_default();
        let ended = self.line.work(&Work {
            id: &self.record.id,
            unit: "ops-deploy-commit",
            argv: host_script("commit", &args),
            limit: COMMIT_LIMIT.min(left),
            patience: self.armed_until,
            sum_up: Some(&since),
        });
        self.record.step("commit", started);
        match ended {
            Ok(Ended {
                ending: Ending::Exited(0),
                summary,
                ..
            }) => {
                self.summary = Some(summary);
                Ok(())
            }
            Ok(Ended { ending, said, .. }) => {
                let what = match ending {
                    Ending::Exited(1) => "the system profile could not be set".to_owned(),
                    Ending::Exited(3) | Ending::Over => TOO_LATE.to_owned(),
                    Ending::Exited(2) => "the boot loader could not be installed".to_owned(),
                    other => format!("making it the default for booting {other}"),
                };
                Err(Sick::because(with_last_words(&what, &said)))
            }
            Err(error) => Err(Sick::because(format!(
                "lost while making it the default for booting: {}",
                describe(&error)
            ))),
        }
    }
}

/// Adds the last thing that a program said to what became of it.
fn with_last_words(told: &str, said: &[String]) -> String {
    match said
        .iter()
        .rev()
        .map(|line| line.trim())
        .find(|line| !line.is_empty())
    {
        Some(words) => format!("{told}: {}", words.chars().take(200).collect::<String>()),
        None => told.to_owned(),
    }
}
