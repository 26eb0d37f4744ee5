//! NixOS-like systems for a test to deploy: a flake of plain derivations that Nix builds without any nixpkgs, and whose
//! `switch-to-configuration` follows the contract of the real one.

use std::fmt::Write as _;
use std::path::Path;

use crate::program::{self, During, Result};
use crate::tree::source;

/// A system: what `nixosConfigurations.NAME.config.system.build.toplevel` is to be.
#[derive(Debug, Clone)]
pub struct System {
    name: String,
    version: String,
    kernel: String,
    extra: String,
    units: Vec<(String, String)>,
    files: Vec<(String, String)>,
}

impl System {
    /// A system without units of its own.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: "25.05.1".to_owned(),
            kernel: "6.12.1".to_owned(),
            extra: String::new(),
            units: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Its version, which is in the name of its store path.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Its kernel: another than the running one asks for a reboot.
    #[must_use]
    pub fn kernel(mut self, kernel: &str) -> Self {
        kernel.clone_into(&mut self.kernel);
        self
    }

    /// One more unit file; with an `[Install]` section it is started.
    #[must_use]
    pub fn unit(mut self, name: &str, content: &str) -> Self {
        self.units.push((name.to_owned(), content.to_owned()));
        self
    }

    /// A service that runs `command` in a shell, and is started.
    #[must_use]
    pub fn service(self, name: &str, command: &str) -> Self {
        let command = command.replace('\\', "\\\\").replace('"', "\\\"");
        let unit = format!(
            "[Service]\nExecStart=/bin/sh -c \"{command}\"\n[Install]\nWantedBy=multi-user.target\n"
        );
        self.unit(&format!("{name}.service"), &unit)
    }

    /// One more file under /etc.
    #[must_use]
    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.files.push((path.to_owned(), content.to_owned()));
        self
    }

    /// Shell text at the end of the build: `$out` is the system, programs go by absolute path.
    #[must_use]
    pub fn extra(mut self, text: &str) -> Self {
        self.extra += text;
        self
    }

    fn expression(&self) -> String {
        let Self {
            name,
            version,
            kernel,
            extra,
            units,
            files,
        } = self;
        let [name, version, kernel, extra] =
            [name, version, kernel, extra].map(|text| string(text));
        format!(
            "import ./system.nix {{ name = {name}; version = {version}; kernel = {kernel}; extra = {extra}; units = {}; files = {}; }}",
            set(units),
            set(files)
        )
    }
}

/// A text as a Nix string.
fn string(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace("${", "\\${")
    )
}

fn set(pairs: &[(String, String)]) -> String {
    let mut text = "{ ".to_owned();
    for (name, value) in pairs {
        write!(text, "{} = {}; ", string(name), string(value)).expect("a String takes all");
    }
    text + "}"
}

/// Writes a flake of these systems into `folder`; an earlier one there is replaced.
///
/// # Panics
/// When it cannot be written.
pub fn flake(folder: &Path, systems: &[System]) {
    write(folder, systems).unwrap_or_else(|error| panic!("{error}"));
}

fn write(folder: &Path, systems: &[System]) -> Result<()> {
    std::fs::create_dir_all(folder).during(|| format!("make '{}'", folder.display()))?;
    let parts = ["nixos/system.nix", "nixos/scripts"].map(|part| source(part).into_os_string());
    program::run(
        "cp",
        ["-r".into()]
            .into_iter()
            .chain(parts)
            .chain([folder.as_os_str().to_owned()]),
    )?;
    let mut text = "{\n  outputs = { self }: {\n".to_owned();
    for system in systems {
        let name = string(&system.name);
        writeln!(
            text,
            "    nixosConfigurations.{name}.config.system.build.toplevel = {};",
            system.expression()
        )
        .expect("a String takes all");
    }
    program::write(&folder.join("flake.nix"), text + "  };\n}\n")
}
