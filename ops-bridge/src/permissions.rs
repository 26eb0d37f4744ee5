//! Who else on the host may read the bridge's files: its configuration and registration hold tokens and passwords.

use std::path::Path;

use ops_common::check::{Check, State};
use ops_common::host::{Command, Host};

/// The name of the check.
const CHECK: &str = "bridge.permissions";

/// Prints of each file that is there its mode, the modes of the folders above it, and after a tab its path.
const SCRIPT: &str = r#"for file; do
    [ -e "$file" ] || continue
    file=$(readlink -f -- "$file")
    folder=$file modes=$(stat -c %a -- "$file") || exit
    while [ "$folder" != / ]; do
        folder=$(dirname -- "$folder")
        modes="$modes $(stat -c %a -- "$folder")" || exit
    done
    printf '%s\t%s\n' "$modes" "$file"
done"#;

/// Looks at a configuration and at the registration that the bridge writes beside it.
pub(crate) fn look(host: &Host, configuration: &str) -> Vec<Check> {
    let registration = Path::new(configuration).with_file_name("registration.yaml");
    let files = [configuration, &registration.to_string_lossy()];
    let unknown = |reason: String| vec![Check::unknown(CHECK, configuration, reason)];
    match host.run(&Command::script(SCRIPT, &files)) {
        Ok(ended) if ended.success() => {
            let told = String::from_utf8_lossy(&ended.stdout);
            let checks: Option<Vec<_>> = told.lines().map(judge).collect();
            match checks {
                Some(checks) if !checks.is_empty() => checks,
                _ => unknown("the host does not tell its mode".to_owned()),
            }
        }
        Ok(ended) => unknown(ended.complaint()),
        Err(error) => unknown(ops_common::exit::describe(&error)),
    }
}

/// Judges `640 750 755<tab>/path`: what others may do with the file, if every folder above lets them through.
fn judge(told: &str) -> Option<Check> {
    let (modes, path) = told.split_once('\t')?;
    let modes: Result<Vec<_>, _> = modes
        .split(' ')
        .map(|mode| u32::from_str_radix(mode, 8))
        .collect();
    let modes = modes.ok()?;
    let (file, folders) = modes.split_first()?;
    let is_reached = folders.iter().all(|mode| mode & 0o001 != 0);
    let (status, what) = match file & 0o006 {
        0o004 if is_reached => (State::Warn, "read"),
        others if others != 0 && is_reached => (State::Fail, "change"),
        _ => {
            return Some(Check::ok(
                CHECK,
                path,
                "only its owner and group may read it",
            ));
        }
    };
    let message = format!("everybody on the host may {what} it (mode {file:o}): it holds tokens");
    Some(Check::new(status, CHECK, path, message).fix("chmod o= FILE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_reach_is_judged_by_what_they_may_do() {
        let of = |modes: &str| {
            judge(&format!("{modes}\t/var/lib/x/config.yaml")).map(|check| check.status)
        };
        for (modes, status) in [
            ("640 755 755 755", State::Ok),
            ("600 755 755 755", State::Ok),
            ("644 750 755 755", State::Ok),
            ("666 755 700 755", State::Ok),
            ("644 755 755 755", State::Warn),
            ("644 1777 755", State::Warn),
            ("646 755 755 755", State::Fail),
            ("642 755 755 755", State::Fail),
        ] {
            assert_eq!(of(modes), Some(status), "{modes}");
        }
        for junk in ["", "\t", "8\t/x", "x y\t/x", "no tab"] {
            assert!(judge(junk).is_none(), "{junk}");
        }
    }
}
