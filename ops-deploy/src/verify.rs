//! Is a host healthy as it is? The same questions as during a deployment, without a baseline.

use ops_common::check::Check;

use crate::settings::Settings;
use crate::state::State;
use crate::units::Unit;

/// Below this much free space the next deployment is in danger.
const LITTLE_SPACE: u64 = 1 << 30;
const LITTLE_BOOT_SPACE: u64 = 64 << 20;

/// Judges a state.
#[must_use]
pub fn checks(state: &State, settings: &Settings) -> Vec<Check> {
    let mut checks = units(state, settings);
    checks.push(system(state));
    checks.extend(space(
        "deploy.store_space",
        "/nix",
        state.store_free_bytes,
        LITTLE_SPACE,
    ));
    checks.extend(boot_space("deploy.boot_space", state));
    checks
}

/// Judges what is left of `/boot`, where that is a place of its own.
pub(crate) fn boot_space(name: &str, state: &State) -> Option<Check> {
    space(name, "/boot", state.boot_free_bytes, LITTLE_BOOT_SPACE)
}

fn units(state: &State, settings: &Settings) -> Vec<Check> {
    let sick = state
        .units
        .values()
        .filter(|unit| unit.is_sick() && !unit.is_ours());
    let mut checks: Vec<Check> = sick
        .map(|unit| {
            Check::fail("deploy.units", &unit.name, unit.told())
                .fix(format!("look at: journalctl -u {}", unit.name))
        })
        .collect();
    let all_well = checks.is_empty();
    let named = settings.units.iter().filter_map(|name| {
        let unit = state.units.get(name)?;
        (unit.load == "loaded" && !unit.is_sick()).then(|| named_unit(state, unit))
    });
    checks.extend(named);
    if all_well && checks.is_empty() {
        let active = state.units.values().filter(|unit| unit.is_active()).count();
        checks.push(Check::ok(
            "deploy.units",
            "",
            format!("{active} units are active, none is failed"),
        ));
    }
    checks
}

/// A unit that matters must run; one that is installed and not enabled was perhaps never meant to.
fn named_unit(state: &State, unit: &Unit) -> Check {
    let name = &unit.name;
    let check = if unit.is_active() {
        Check::ok("deploy.units", name, unit.told())
    } else if unit.enabled == "disabled" {
        Check::warn(
            "deploy.units",
            name,
            format!("is {}, and not enabled", unit.told()),
        )
    } else {
        Check::fail("deploy.units", name, format!("is {}", unit.told()))
            .fix(format!("start it: systemctl start {name}"))
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a restart counter is far below 2^52"
    )]
    let restarts = unit.restarts as f64;
    let data = serde_json::json!({"restarts": unit.restarts, "listens": listens(state, name)});
    check.value(restarts, "").data(data)
}

fn listens(state: &State, unit: &str) -> Vec<String> {
    let listeners = state
        .listeners
        .iter()
        .flatten()
        .filter(|listener| listener.unit == unit);
    listeners
        .map(|listener| std::net::SocketAddr::new(listener.address, listener.port).to_string())
        .collect()
}

fn system(state: &State) -> Check {
    let current = state.current.clone().unwrap_or_default();
    let data = serde_json::json!({
        "current": state.current, "profile": state.profile, "generation": state.generation, "boot": state.boot,
    });
    let check = if state.old().is_none() {
        Check::warn("deploy.system", "", "the host has no system yet")
    } else if state.pending.is_some() && state.lock.is_none() {
        Check::warn("deploy.system", &current, "a deployment was never finished")
            .fix("deploy again: it is cleaned up first")
    } else if state.current.is_some() && state.current != state.profile {
        let boots = state.profile.as_deref().unwrap_or("nothing");
        Check::warn(
            "deploy.system",
            &current,
            format!("runs, but '{boots}' would boot"),
        )
        .fix("deploy again, or reboot")
    } else if state.kernel_differs {
        Check::warn(
            "deploy.system",
            &current,
            "reboot needed: its kernel is not the one that runs",
        )
        .fix("reboot")
    } else {
        Check::ok(
            "deploy.system",
            state.old().unwrap_or(""),
            "runs, and would boot",
        )
    };
    check.data(data)
}

fn space(name: &str, place: &str, free: Option<u64>, limit: u64) -> Option<Check> {
    let free = free?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "sizes of disks are far below 2^52"
    )]
    let (free_f, limit_f) = (free as f64, limit as f64);
    let check = if free < limit {
        Check::warn(name, place, "nearly full").fix("nix-collect-garbage --delete-older-than 30d")
    } else {
        Check::ok(name, place, "space left")
    };
    Some(check.value(free_f, "B").limit(limit_f))
}

#[cfg(test)]
mod tests {
    use ops_common::check::State as Finding;

    use super::*;
    use crate::units;

    fn state(units: &str) -> State {
        let current = Some("/nix/store/a".to_owned());
        State {
            units: units::parse(units),
            current: current.clone(),
            profile: current,
            ..State::default()
        }
    }

    fn settings(units: &[&str]) -> Settings {
        Settings {
            units: units.iter().map(|unit| (*unit).to_owned()).collect(),
            ..Settings::default()
        }
    }

    fn told(state: &State, settings: &Settings) -> Vec<String> {
        let found = checks(state, settings);
        found
            .iter()
            .map(|check| format!("{} {} {}", check.status.word(), check.check, check.subject))
            .collect()
    }

    #[test]
    fn failed_units_fail_whether_named_or_not() {
        let state = state("Id=x.service\nLoadState=loaded\nActiveState=failed\n");
        let expected = [
            "fail deploy.units x.service",
            "ok deploy.system /nix/store/a",
        ];
        assert_eq!(told(&state, &settings(&[])), expected);
        assert_eq!(told(&state, &settings(&["x.service"])), expected);
    }

    #[test]
    fn a_named_unit_that_exists_must_run() {
        let state = state("Id=x.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\n");
        assert_eq!(
            told(&state, &settings(&["x.service", "other.service"]))[0],
            "fail deploy.units x.service"
        );
        assert_eq!(told(&state, &settings(&[]))[0], "ok deploy.units ");
    }

    #[test]
    fn the_system_is_what_runs_and_what_boots() {
        let mut state = state("");
        state.profile = Some("/nix/store/b".to_owned());
        assert_eq!(system(&state).status, Finding::Warn);
        state.profile.clone_from(&state.current);
        assert_eq!(system(&state).status, Finding::Ok);
        state.pending = Some("{}".to_owned());
        assert_eq!(system(&state).status, Finding::Warn);
        assert_eq!(system(&State::default()).status, Finding::Warn);
    }

    #[test]
    fn little_space_is_a_warning() {
        assert_eq!(space("n", "/", Some(10), 20).unwrap().status, Finding::Warn);
        assert_eq!(space("n", "/", Some(30), 20).unwrap().status, Finding::Ok);
        assert_eq!(space("n", "/", None, 20), None);
    }
}
