//! Making a layer: boot a host on what is below, run a script in it, keep what that changed on its disk.

use std::path::Path;

use crate::host::Lab;
use crate::options::Kind;
use crate::program::{Error, Result, read, run};
use crate::tree::source;

/// What a boot writes that belongs to one host alone.
const OF_ONE_HOST: [&str; 8] = [
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "etc/ssh",
    "root/.ssh",
    "var/log",
    "tmp",
    "run",
];

/// Makes the layer `name` in the folder `out`.
pub fn make(name: &str, out: &Path) -> Result<()> {
    let lab = Lab::get().ok_or_else(|| Error::new("layers are made inside a lab"))?;
    let below = match name {
        "system" | "postgres" => Kind::Plain,
        "platform" => Kind::Postgres,
        _ => return Err(Error::new(format!("there is no layer '{name}'"))),
    };
    let host = lab.host("layer", below);
    if name == "system" {
        run("cp", ["-r".into(), source("nixos"), host.path("/root/")])?;
    }
    host.sh_with(&read(&source(&format!("layers/{name}.sh")))?, b"")
        .expect(0);
    host.power_off();
    run(
        "cp",
        [
            "-a",
            &host.upper().display().to_string(),
            &out.display().to_string(),
        ],
    )?;
    let leftovers = OF_ONE_HOST
        .iter()
        .map(|path| out.join(path).display().to_string());
    run("rm", std::iter::once("-rf".to_owned()).chain(leftovers))
}
