//! A host, a flake with systems for it, and an operator who deploys them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ops_tests::nixos;
use ops_tests::{Kind, Lab, LabHost, Options, Ran, Tool, tool};
use serde_json::Value;

/// A system to build: one of the lab's, with places where a test can make it fail.
#[derive(Debug, Clone)]
pub(crate) struct System {
    version: String,
    units: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    hooks: BTreeMap<&'static str, String>,
    extra: String,
}

/// Goes around the system's own `switch-to-configuration`.
const WRAPPER: &str = r#"
case $1 in
test)
    before || exit
    @out@/bin/switch "$@"; status=$?
    settled || status=$?
    exit $status ;;
boot) boot || exit ;;
esac
exec @out@/bin/switch "$@"
"#;

impl System {
    /// A healthy system with one service that runs.
    pub(crate) fn new(version: &str) -> Self {
        let hooks = ["before", "activate", "settled", "boot"].map(|hook| (hook, "true".to_owned()));
        let system = Self {
            version: version.to_owned(),
            units: BTreeMap::new(),
            files: BTreeMap::new(),
            hooks: hooks.into(),
            extra: String::new(),
        };
        system.service("app", &format!("exec sleep 100000 # {version}"))
    }

    /// With a service that runs a line of shell.
    pub(crate) fn service(self, name: &str, line: &str) -> Self {
        self.service_with(name, line, "")
    }

    /// With a service that has more settings, those of `[Service]` first.
    pub(crate) fn service_with(self, name: &str, line: &str, settings: &str) -> Self {
        let wanted = "[Install]\nWantedBy=multi-user.target\n";
        let text = format!("[Service]\nExecStart=/bin/bash -c '{line}'\n{settings}{wanted}");
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

    /// With shell code in a place of `switch-to-configuration`: `before` or after (`settled`) a `test`, in its `activate`
    /// script, or before `boot`.
    pub(crate) fn hook(mut self, place: &'static str, code: &str) -> Self {
        self.hooks.insert(place, code.to_owned());
        self
    }

    /// For a host that has no system yet, and so nothing that its own could be compared with.
    pub(crate) fn first(self) -> Self {
        self.hook(
            "before",
            "[ -e /run/current-system ] || ln -s @out@ /run/current-system",
        )
    }

    /// With shell code at the end of its build.
    pub(crate) fn extra(mut self, code: &str) -> Self {
        self.extra.push_str(code);
        self
    }

    fn described(&self, host: &str) -> nixos::System {
        let function = |name: &str| format!("{name}() {{\n{}\n}}\n", self.hooks[name]);
        let wrapper = ["before", "settled", "boot"].map(function).concat() + WRAPPER;
        let extra = format!(
            "/bin/mv $out/bin/switch-to-configuration $out/bin/switch\n\
             printf %s {} | /bin/sed \"s|@out@|$out|g\" >$out/bin/switch-to-configuration\n\
             /bin/chmod 755 $out/bin/switch-to-configuration\n\
             printf %s {} >>$out/activate\n{}\n",
            quote(&format!("#!/bin/bash\n{wrapper}")),
            quote(&format!("{}\n", self.hooks["activate"])),
            self.extra
        );
        let system = nixos::System::new(host)
            .version(&self.version)
            .extra(&extra);
        let system = self
            .units
            .iter()
            .fold(system, |system, (name, text)| system.unit(name, text));
        self.files
            .iter()
            .fold(system, |system, (path, text)| system.file(path, text))
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A flake with a path that refers to many.
const MANY: &str = r#"{ outputs = _: { all = derivation {
  name = "all-@paths@"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo $paths > $out" ];
  paths = builtins.genList (n: builtins.toFile "one-@paths@-${toString n}" "@paths@ ${toString n}") @paths@;
}; }; }"#;

/// Settings that make a deployment that goes well short.
pub(crate) const QUICK: &str = "health_window: 500ms, rollback_after: 12s, health: []";

/// The bed of a test.
#[derive(Debug)]
pub(crate) struct Bed {
    /// The folder with the flake and ops.yaml.
    pub(crate) folder: tempfile::TempDir,
    /// The settings of the `deploy` section.
    settings: RefCell<String>,
}

impl Bed {
    /// Makes the folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            folder,
            settings: RefCell::new(QUICK.to_owned()),
        }
    }

    /// With other settings of the `deploy` section.
    pub(crate) fn settings(self, settings: &str) -> Self {
        self.set(settings);
        self
    }

    /// Changes the settings of the `deploy` section, from the next description of systems on.
    pub(crate) fn set(&self, settings: &str) {
        settings.clone_into(&mut self.settings.borrow_mut());
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
        let all: Vec<_> = systems
            .iter()
            .map(|(host, system)| system.described(host))
            .collect();
        nixos::flake(self.folder.path(), &all);
        let hosts = systems
            .iter()
            .map(|(host, _)| format!("  {host}: {{flake: \".#{host}\", groups: [all]}}\n"))
            .collect::<Vec<_>>()
            .concat();
        self.write(
            "ops.yaml",
            &format!("hosts:\n{hosts}deploy: {{{}}}\n", self.settings.borrow()),
        );
    }

    /// The tool in the folder.
    pub(crate) fn ops(&self, args: &[&str]) -> Tool {
        tool("ops-deploy").args(args).dir(self.folder.path())
    }

    /// Builds the system of a host, and returns its path.
    pub(crate) fn build(&self, host: &str, system: &System) -> String {
        self.systems(&[(host, system)]);
        self.ops(&["build", host])
            .run()
            .expect(0)
            .out()
            .trim()
            .to_owned()
    }

    /// Builds a path that refers to so many others, new ones for each number.
    pub(crate) fn build_many(&self, host: &str, paths: usize) -> String {
        self.write(
            "many/flake.nix",
            &MANY.replace("@paths@", &paths.to_string()),
        );
        self.systems(&[(host, &System::new("many"))]);
        let built = ops_tests::command("nix")
            .args([
                "--extra-experimental-features",
                "nix-command flakes",
                "build",
            ])
            .args(["--no-link", "--json", "./many#all"])
            .dir(self.folder.path())
            .run()
            .expect(0);
        let built = &built.json()[0][0]["outputs"]["out"];
        built.as_str().expect("a path").to_owned()
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

    /// The same without a window worth the name, whatever the settings are.
    pub(crate) fn deployed_quickly(&self, host: &str, system: &System) -> String {
        let settings = self.settings.replace(QUICK.to_owned());
        let path = self.deployed(host, system);
        self.set(&settings);
        path
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
        let Ok(entries) = fs::read_dir(self.folder.path().join("docs/worklogs")) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
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
            left: ask(
                "systemctl list-units --all --plain --no-legend 'ops-deploy-*'; ls -d /run/ops-deploy /var/lib/ops-deploy/pending.json 2>/dev/null",
            ),
        }
    }

    /// A host on which this system runs and boots, and of a deployment nothing is left.
    pub(crate) fn settled(path: &str) -> Self {
        let path = path.to_owned();
        Self {
            current: path.clone(),
            profile: path.clone(),
            boots: path,
            left: String::new(),
        }
    }
}

/// Whether the long rows are to be run too.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no other way to be told"
)]
pub(crate) fn long_run() -> bool {
    std::env::var_os("OPS_TEST_LONG").is_some()
}
