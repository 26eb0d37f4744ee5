//! The programs that are measured beside each other, and what each needs to find.

use std::path::{Path, PathBuf};

use ops_tests::{Tool, command, tool};

use crate::{Outcome, run};

/// A program that brings a system to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Ours,
    Sequence,
    DeployRs,
    Nh,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [Self::Ours, Self::Sequence, Self::DeployRs, Self::Nh];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ops-deploy",
            Self::Sequence => "nixos-rebuild's commands",
            Self::DeployRs => "deploy-rs",
            Self::Nh => "nh",
        }
    }

    /// What brings the system of now to the host.
    pub(crate) fn tool(self, folder: &Path, link: &str) -> Outcome<Tool> {
        Ok(match self {
            Self::Ours => tool("ops-deploy").args(["switch", link]),
            Self::Sequence => command("bash").args(["-c", SEQUENCE, "sequence", link]),
            Self::DeployRs => {
                let program = peer("deploy").ok_or("it is not built")?;
                // It asks old Nix whether the system is built in a way that fails where it is not: so it is, before.
                let nix = [
                    "--extra-experimental-features",
                    "nix-command flakes",
                    "build",
                    "--no-link",
                ];
                let path = ".#deploy.nodes.bench.profiles.system.path";
                run(command("nix").args(nix).arg(path).dir(folder))?;
                let programs = format!("{}:/usr/bin:/bin", folder.join("programs").display());
                command(program)
                    .env("PATH", programs)
                    .args(["-s", "--hostname", link, ".#bench"])
            }
            Self::Nh => {
                let program = peer("nh").ok_or("it is not built")?;
                command(program)
                    .env("NH_NO_CHECKS", "1")
                    .args([
                        "os", "switch", ".", "-H", "bench", "--no-nom", "--diff", "never",
                    ])
                    .args([
                        "--elevation-strategy",
                        "none",
                        "--target-host",
                        &format!("root@{link}"),
                    ])
            }
        })
    }
}

/// What nixos-rebuild does with a target host, over one connection as it does.
const SEQUENCE: &str = r#"
set -e
sockets=$(mktemp -d)
options="-o ControlMaster=auto -o ControlPath=$sockets/%n -o ControlPersist=60"
export NIX_SSHOPTS=$options
new=$(nix --extra-experimental-features "nix-command flakes" build --json --no-link \
    '.#nixosConfigurations."bench".config.system.build.toplevel' | jq -r '.[0].outputs.out')
nix-copy-closure --to "$1" "$new"
ssh $options "$1" -- test -f "$new/nixos-version"
ssh $options "$1" -- nix-env -p /nix/var/nix/profiles/system --set "$new"
ssh $options "$1" -- test -d /run/systemd/system
ssh $options "$1" -- systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER --collect --no-ask-password --pipe --quiet \
    --service-type=exec --unit=nixos-rebuild-switch-to-configuration "$new/bin/switch-to-configuration" switch
ssh $options -O exit "$1"
"#;

/// Nix, with the flag that Nix 2.8 does not have and deploy-rs needs.
pub(crate) const NIX: &str = r#"#!/bin/bash
case " $* " in
*" --print-out-paths "*) ;;
*) exec /usr/bin/nix "$@" ;;
esac
words=()
for word; do [ "$word" = --print-out-paths ] || words+=("${word%^*}"); done
/usr/bin/nix "${words[@]}" --json | jq -r '.[].outputs.out'
"#;

/// The node of deploy-rs: a system with the two programs that it wants to find there.
pub(crate) fn node(activate: &str) -> String {
    format!(
        r#"deploy.nodes.bench = {{ hostname = "bench"; sshUser = "root"; profiles.system = {{ user = "root"; path = derivation {{
  name = "activatable"; system = "x86_64-linux"; builder = "/bin/sh";
  top = self.nixosConfigurations.bench.config.system.build.toplevel;
  args = [ "-c" ''
    /bin/mkdir $out; /bin/ln -s $top/* $out/; /bin/ln -s {activate} $out/activate-rs
    printf '#!/bin/sh\nexec %s/bin/switch-to-configuration switch\n' $top > $out/deploy-rs-activate
    /bin/chmod 755 $out/deploy-rs-activate
  '' ]; }}; }}; }};
"#
    )
}

/// A program that was built to be measured beside.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let path = Path::new("target/tools/bin").join(name);
    path.canonicalize().ok()
}
