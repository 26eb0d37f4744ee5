//! How much two versions of a unit file differ: not at all, by what a reload brings in, or by more.

use crate::unit_file::UnitFile;

/// How much two versions of a unit differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Difference {
    None,
    Reload(String),
    Restart(String),
}

/// Keys of `[Unit]` that say nothing about a running process.
pub(super) const IGNORED: [&str; 12] = [
    "Description",
    "Documentation",
    "OnFailure",
    "OnSuccess",
    "OnFailureJobMode",
    "IgnoreOnIsolate",
    "StopWhenUnneeded",
    "RefuseManualStart",
    "RefuseManualStop",
    "AllowIsolate",
    "CollectMode",
    "SourcePath",
];

/// Compares as `switch-to-configuration` does, section by section and key by key.
pub(super) fn compare(old: &UnitFile, new: &UnitFile) -> Difference {
    let (mut reload, mut restart) = (Vec::new(), Vec::new());
    for (section, key) in old.differing(new) {
        match (section, key) {
            ("Unit", key) if IGNORED.contains(&key) => {}
            // Whether triggers were added, changed or taken away: only an addition or change asks for a reload.
            ("Unit", "X-Reload-Triggers") => {
                if new.has("Unit", "X-Reload-Triggers") {
                    reload.push(key);
                }
            }
            // The running process is not touched by a reload command that it lost.
            ("Service", "ExecReload") => {
                if new.has("Service", "ExecReload") {
                    reload.push(key);
                }
            }
            ("Mount", "Options") if old.has(section, key) && new.has(section, key) => {
                reload.push(key);
            }
            _ => restart.push(key),
        }
    }
    if restart.is_empty() {
        restart = sections(old, new);
    }
    let told = |keys: &[&str]| format!("changed: {}", keys.join(", "));
    match (restart.as_slice(), reload.as_slice()) {
        ([], []) => Difference::None,
        ([], reload) => Difference::Reload(told(reload)),
        (restart, _) => Difference::Restart(told(restart)),
    }
}

/// Sections that only one of the two has: empty ones have no key that could tell.
fn sections<'a>(old: &'a UnitFile, new: &'a UnitFile) -> Vec<&'a str> {
    let only = |one: &'a UnitFile, other: &UnitFile| -> Vec<&'a str> {
        let sections = one.sections().filter(|section| !other.has_section(section));
        sections.collect()
    };
    let is_harmless = |section: &str, file: &UnitFile| {
        let only_reload = file.keys_of(section).eq(["ExecReload"]);
        section == "Unit" || (section == "Service" && only_reload)
    };
    let (gone, added) = (only(old, new), only(new, old));
    let several = added.len() > 1;
    let gone = gone
        .into_iter()
        .filter(|section| !is_harmless(section, old));
    let added = added
        .into_iter()
        .filter(|section| several || !is_harmless(section, new));
    gone.chain(added).collect()
}
