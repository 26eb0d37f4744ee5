//! A host, a flake with systems for it, and an operator who deploys them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ops_tests::{Kind, Lab, LabHost, Options, Ran, Tool, tool};
use serde_json::{Value, json};

const FLAKE: [(&str, &str); 3] = [
    ("flake.nix", include_str!("flake/flake.nix")),
    ("build.sh", include_str!("flake/build.sh")),
    ("switch-to-configuration.sh", include_str!("flake/switch-to-configuration.sh")),
];

/// A system to build.
#[derive(Debug, Clone)]
pub(crate) struct System {
    version: String,
    units: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    packages: Vec<String>,
    hooks: BTreeMap<&'static str, String>,
}

impl System {
    /// A healthy system with one service that runs.
    pub(crate) fn new(version: &str) -> Self {
        let hooks = ["check", "activate", "settled", "boot"].map(|hook| (hook, "true".to_owned()));
        let system = Self {
            version: version.to_owned(),
            units: BTreeMap::new(),
            files: BTreeMap::new(),
            packages: vec![format!("app-{version}"), "base-1".to_owned()],
            hooks: hooks.into(),
        };
        system.service("app", &format!("exec sleep 100000 # {version}"))
    }

    /// With a service that runs a line of shell.
    pub(crate) fn service(self, name: &str, line: &str) -> Self {
        self.service_with(name, line, "")
    }

    /// With a service that has more settings.
    pub(crate) fn service_with(self, name: &str, line: &str, settings: &str) -> Self {
        let text = format!("[Service]\nExecStart=/bin/bash -c '{line}'\nX-Toy=yes\n{settings}");
        self.unit(&format!("{name}.service"), &text)
    }

    /// With a unit of any kind.
    pub(crate) fn unit(mut self, name: &str, text: &str) -> Self {
        self.units.insert(name.to_owned(), text.to_owned());
        self
    }

    /// With a file below /etc.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// With shell code in one of the places of `switch-to-configuration`.
    pub(crate) fn hook(mut self, place: &'static str, code: &str) -> Self {
        self.hooks.insert(place, code.to_owned());
        self
    }

    fn json(&self) -> Value {
        let hooks: String = self.hooks.iter().map(|(name, code)| format!("{name}() {{\n{code}\n}}\n")).collect();
        json!({
            "version": self.version, "units": self.units, "files": self.files, "packages": self.packages, "hooks": hooks,
            "platform": format!("{}-linux", std::env::consts::ARCH),
        })
    }
}

/// The bed of a test.
#[derive(Debug)]
pub(crate) struct Bed {
    /// The folder with the flake and ops.yaml.
    pub(crate) folder: tempfile::TempDir,
    /// The settings of the `deploy` section.
    settings: String,
}

impl Bed {
    /// Makes the folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bed = Self { folder, settings: "health_window: 1s, rollback_after: 12s, health: []".to_owned() };
        for (name, text) in FLAKE {
            bed.write(name, text);
        }
        bed
    }

    /// With other settings of the `deploy` section.
    pub(crate) fn settings(mut self, settings: &str) -> Self {
        settings.clone_into(&mut self.settings);
        self
    }

    /// Writes a file of the folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        #[expect(clippy::disallowed_methods, reason = "a test may leave half a file")]
        fs::write(path, text).expect("a file");
    }

    /// Describes the systems of the hosts.
    pub(crate) fn systems(&self, systems: &[(&str, &System)]) {
        let all: serde_json::Map<String, Value> =
            systems.iter().map(|(host, system)| ((*host).to_owned(), system.json())).collect();
        self.write("systems.json", &Value::Object(all).to_string());
        let hosts: String =
            systems.iter().map(|(host, _)| format!("  {host}: {{flake: \".#{host}\", groups: [all]}}\n")).collect();
        self.write("ops.yaml", &format!("hosts:\n{hosts}deploy: {{{}}}\n", self.settings));
    }

    /// The tool in the folder.
    pub(crate) fn ops(&self, args: &[&str]) -> Tool {
        tool("ops-deploy").args(args).dir(self.folder.path())
    }

    /// Builds the system of a host, and returns its path.
    pub(crate) fn build(&self, host: &str, system: &System) -> String {
        self.systems(&[(host, system)]);
        self.ops(&["build", host]).run().expect(0).out().trim().to_owned()
    }

    /// Deploys a system to a host.
    pub(crate) fn switch(&self, host: &str, system: &System) -> Ran {
        self.systems(&[(host, system)]);
        self.ops(&["switch", host]).run()
    }

    /// Deploys a system that must be kept, and returns its path.
    pub(crate) fn deployed(&self, host: &str, system: &System) -> String {
        self.switch(host, system).expect(0).out().trim().to_owned()
    }

    /// The newest record of a host.
    pub(crate) fn record(&self, host: &str) -> Value {
        self.records(host).into_iter().next().unwrap_or(Value::Null)
    }

    /// All records of a host, newest first.
    pub(crate) fn records(&self, host: &str) -> Vec<Value> {
        self.ops(&["log", host, "--json"]).run().expect(0).json()
    }

    /// The names of the worklog entries.
    pub(crate) fn worklogs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("docs/worklogs")) else { return Vec::new() };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Boots a host of a name that no other test has.
pub(crate) fn host(lab: Lab, name: &str) -> LabHost {
    lab.host(name, Options::from(Kind::Plain))
}

/// What a host is after a deployment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct After {
    /// The system that runs.
    pub(crate) current: String,
    /// The system of the profile.
    pub(crate) profile: String,
    /// The system that would boot.
    pub(crate) boots: String,
    /// The units of a deployment that are left, and its folder.
    pub(crate) left: String,
}

impl After {
    /// Looks at a host.
    pub(crate) fn of(host: &LabHost) -> Self {
        let ask = |line: &str| host.sh(line).out().trim().to_owned();
        Self {
            current: ask("readlink -e /run/current-system"),
            profile: ask("readlink -e /nix/var/nix/profiles/system"),
            boots: ask("cat /boot/default"),
            left: ask("systemctl list-units --all --plain --no-legend 'ops-deploy-*'; ls -d /run/ops-deploy /var/lib/ops-deploy/pending.json 2>/dev/null"),
        }
    }

    /// A host on which this system runs and boots, and of a deployment nothing is left.
    pub(crate) fn settled(path: &str) -> Self {
        let path = path.to_owned();
        Self { current: path.clone(), profile: path.clone(), boots: path, left: String::new() }
    }
}
