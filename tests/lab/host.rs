//! The lab as a test sees it, and its hosts.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::address::{self, Address};
use crate::machine::Machine;
use crate::options::Options;
use crate::outer::{self, RUN};
use crate::program::{During, Result, lock_file, write};
use crate::ran::Ran;
use crate::tool::{Tool, bin_dir, command};
use crate::{cgroup, disk, ssh};

const TOOLS: [&str; 5] = [
    "ops-deploy",
    "ops-secrets",
    "ops-bridge",
    "ops-db",
    "ops-matrix",
];

/// The lab that this process runs in.
#[derive(Debug, Clone, Copy)]
pub struct Lab {
    id: u32,
}

impl Lab {
    /// The lab, where there is one: a test that finds none calls [`crate::skip()`].
    #[must_use]
    pub fn get() -> Option<Self> {
        outer::id().map(|id| Self { id })
    }

    /// Boots a fresh host and returns when its boot is complete. While a host of that name exists, in any test of
    /// any process of this lab, waits for its end.
    ///
    /// # Panics
    /// When the host cannot be made: without it the test has nothing to say.
    #[track_caller]
    pub fn host(self, name: &str, options: impl Into<Options>) -> LabHost {
        self.try_host(name, &options.into())
            .unwrap_or_else(|error| panic!("host '{name}': {error}"))
    }

    fn try_host(self, name: &str, options: &Options) -> Result<LabHost> {
        let path = Path::new(RUN).join("names").join(name);
        let claim = lock_file(&path)?;
        claim
            .lock()
            .during(|| format!("wait for the name '{name}'"))?;
        let folder = Path::new(RUN).join("hosts").join(name);
        disk::forget(name, &folder);
        let address = options.number.map_or_else(Address::any, Address::take)?;
        write(&folder.join("address"), address.number().to_string())?;
        disk::make(&folder, options)?;
        address::make_namespace(name, &address, options.second_network)?;
        let keys = disk::prepare(name, &folder, &address, options)?;
        let cgroups = cgroup::folders(self.id, name)?;
        let machine = Machine::new(name, &folder, cgroups.clone());
        let host = LabHost {
            name: name.to_owned(),
            folder,
            machine: Some(machine),
            cgroups,
            address,
            _claim: claim,
        };
        host.machine().start()?;
        let entry = ssh::Entry {
            name,
            aliases: &options.aliases,
            v4: &host.v4(),
            v6: &host.v6(),
            ports: &options.ports,
            keys: &keys,
        };
        entry.publish(&host.folder)?;
        Ok(host)
    }

    /// An address of this side of the network, for a server that the test runs itself.
    #[must_use]
    pub fn address(self) -> Address {
        Address::outside().unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A host, up from the moment it exists, destroyed when dropped.
#[derive(Debug)]
pub struct LabHost {
    name: String,
    folder: PathBuf,
    /// Taken at the end only.
    machine: Option<Machine>,
    cgroups: Vec<PathBuf>,
    address: Address,
    _claim: File,
}

impl LabHost {
    fn machine(&self) -> &Machine {
        self.machine
            .as_ref()
            .unwrap_or_else(|| unreachable!("only drop takes the machine"))
    }

    #[track_caller]
    fn must<T>(&self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("host '{}': {error}", self.name))
    }

    /// Its name: what `--host` and `ssh` take.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn v4(&self) -> String {
        self.address.v4()
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn v6(&self) -> String {
        self.address.v6()
    }

    /// The first process of the system on it, by its number here.
    #[must_use]
    pub fn leader(&self) -> i32 {
        self.must(self.machine().leader())
    }

    /// Runs a shell command line on it as root, without ssh.
    #[must_use = "a test that does not look at the end of a program proves nothing"]
    pub fn sh(&self, text: &str) -> Ran {
        self.sh_with(text, b"")
    }

    /// Runs a shell command line on it as root, without ssh, with this standard input.
    #[must_use = "a test that does not look at the end of a program proves nothing"]
    pub fn sh_with(&self, text: &str, stdin: &[u8]) -> Ran {
        self.tool("sh")
            .args(["-c", text])
            .stdin(stdin)
            .timeout(Duration::from_mins(5))
            .run()
    }

    /// Runs a command line on it over OpenSSH, as root.
    #[must_use = "a test that does not look at the end of a program proves nothing"]
    pub fn ssh(&self, text: &str) -> Ran {
        command("ssh").args([&self.name, text]).run()
    }

    /// Waits until the journal of `unit` has a line that matches the extended regular expression.
    #[track_caller]
    pub fn wait_for_log(&self, unit: &str, pattern: &str) {
        let follow =
            "timeout 120 grep -qEm1 -e \"$PATTERN\" <(journalctl -b -n all -o cat -fu \"$UNIT\")";
        let text = format!(
            "UNIT={unit} PATTERN={} exec bash -c '{follow}'",
            quote(pattern)
        );
        let ran = self.sh(&text);
        assert_eq!(
            ran.status, 0,
            "host '{}': no log line of '{unit}' matched {pattern:?}\n{ran}",
            self.name
        );
    }

    /// Where a file of its disk can be found from here, also while it is off. What it keeps in memory (/run, /tmp)
    /// is not on its disk.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join("root").join(path.trim_start_matches('/'))
    }

    /// Reads a file of its disk.
    #[must_use]
    pub fn read(&self, path: &str) -> Vec<u8> {
        self.must(fs::read(self.path(path)).during(|| format!("read '{path}'")))
    }

    /// Writes a file of its disk, with mode 0644, and the folders above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        self.must(write(&self.path(path), content));
    }

    /// Changes the mode of a file of its disk.
    pub fn chmod(&self, path: &str, mode: u32) {
        self.must(
            fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode))
                .during(|| format!("chmod '{path}'")),
        );
    }

    /// Puts the five tools into its /usr/local/bin.
    pub fn install_tools(&self) {
        for tool in TOOLS {
            let to = self.path("/usr/local/bin").join(tool);
            self.must(fs::copy(bin_dir().join(tool), to).during(|| format!("install '{tool}'")));
        }
    }

    /// One of the tools, to be run on the host itself, as root.
    #[must_use]
    pub fn tool(&self, name: &str) -> Tool {
        let leader = self.leader();
        command("nsenter")
            .args([
                "--target",
                &leader.to_string(),
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                "--pid",
                "--",
            ])
            .args([
                "/usr/bin/env",
                "-i",
                "-C",
                "/root",
                "HOME=/root",
                "LANG=C.UTF-8",
            ])
            .args([
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                name,
            ])
    }

    /// What it has written to its disk.
    pub(crate) fn upper(&self) -> PathBuf {
        self.folder.join("disk/upper")
    }

    /// Pulls its cable: what is sent to it and by it is lost without a word.
    #[track_caller]
    pub fn unplug(&self) {
        self.must(self.address.set_cable("down"));
    }

    /// Puts its cable back.
    #[track_caller]
    pub fn plug(&self) {
        self.must(self.address.set_cable("up"));
    }

    /// Cuts the power: everything on it dies at once, and its disk stays as it is.
    #[track_caller]
    pub fn kill(&self) {
        self.must(self.machine().kill());
    }

    /// Switches it on again, and returns when its boot is complete.
    #[track_caller]
    pub fn start(&self) {
        self.must(self.machine().start());
    }

    /// Shuts it down properly.
    #[track_caller]
    pub fn power_off(&self) {
        // The shell that says so may go down before it can return.
        drop(self.sh("systemctl poweroff"));
        self.must(self.machine().wait_off());
    }

    /// Reboots it, and returns when the new boot is complete.
    #[track_caller]
    pub fn reboot(&self) {
        let before = self.machine().boots();
        drop(self.sh("systemctl reboot"));
        self.must(self.machine().wait_boot(before));
    }

    /// How often it was booted: something that reboots it counts one up.
    #[must_use]
    pub fn boots(&self) -> u32 {
        self.machine().boots()
    }

    /// Waits until it is up after more than `before` boots, for a reboot that someone else asks for.
    #[track_caller]
    pub fn wait_boot(&self, before: u32) {
        self.must(self.machine().wait_boot(before));
    }
}

impl Drop for LabHost {
    fn drop(&mut self) {
        drop(self.machine.take());
        self.cgroups
            .iter()
            .for_each(|folder| cgroup::remove(folder));
        // The address is given back once, when all else is gone: twice could take it from the host that has it next.
        fs::remove_file(self.folder.join("address")).ok();
        disk::forget(&self.name, &self.folder);
        ssh::render().ok();
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
