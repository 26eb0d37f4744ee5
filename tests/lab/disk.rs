//! The disk of a host: what it lies upon, and what is written on it before the first boot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::address::{self, Address};
use crate::options::{Kind, Options};
use crate::outer::RUN;
use crate::program::{During, Result, read, run, write};
use crate::ssh;
use crate::tree::Layers;

/// Takes away what a killed process has left of a host.
pub(crate) fn forget(name: &str, folder: &Path) {
    if !folder.exists() {
        return;
    }
    unmount(&folder.join("root"));
    unmount(&folder.join("disk"));
    address::end_namespace(name).ok();
    if let Ok(number) = fs::read_to_string(folder.join("address")) {
        fs::remove_file(Path::new(RUN).join("addresses").join(number)).ok();
    }
    fs::remove_dir_all(folder).ok();
}

fn unmount(path: &Path) {
    run("umount", ["--lazy", &path.display().to_string()]).ok();
}

/// The disk of a host: what it writes goes to memory, over folders that no host changes.
pub(crate) fn make(folder: &Path, options: &Options) -> Result<()> {
    let disk = folder.join("disk");
    for part in [&disk, &folder.join("root")] {
        fs::create_dir_all(part).during(|| format!("make '{}'", part.display()))?;
    }
    if let Some(size) = &options.disk {
        run(
            "mount",
            [
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "tmpfs",
                &disk.display().to_string(),
            ],
        )?;
    }
    for part in ["upper", "work"] {
        fs::create_dir(disk.join(part))
            .during(|| format!("make '{}'", disk.join(part).display()))?;
    }
    let layers = Layers::here()?;
    let lower: Vec<_> = layers
        .below(options.kind)
        .into_iter()
        .map(|path| path.display().to_string())
        .collect();
    let mount = format!(
        "lowerdir={},upperdir={disk}/upper,workdir={disk}/work",
        lower.join(":"),
        disk = disk.display()
    );
    run(
        "mount",
        [
            "-t",
            "overlay",
            "-o",
            &mount,
            "overlay",
            &folder.join("root").display().to_string(),
        ],
    )
}

/// Writes what makes a host this host, and returns the public halves of its keys.
pub(crate) fn prepare(
    name: &str,
    folder: &Path,
    address: &Address,
    options: &Options,
) -> Result<Vec<String>> {
    let root = folder.join("root");
    let mut names = [&[name.to_owned()], options.aliases.as_slice()]
        .concat()
        .join(" ");
    if options.kind == Kind::Platform {
        names += " chat.example";
    }
    // Its own name in there, or sudo waits for a resolver.
    write(
        &root.join("etc/hosts"),
        format!(
            "{}{} {names}\n{} {names}\n",
            ssh::HOSTS_HEAD,
            address.v4(),
            address.v6()
        ),
    )?;
    write(&root.join("etc/hostname"), format!("{name}\n"))?;
    write(
        &root.join("etc/resolv.conf"),
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    )?;
    fs::copy("/proc/sys/kernel/random/uuid", folder.join("uuid"))
        .during(|| "draw a machine number".to_owned())?;
    let uuid = read(&folder.join("uuid"))?;
    write(&root.join("etc/machine-id"), uuid.replace('-', ""))?;
    let ports: Vec<_> = options
        .ports
        .iter()
        .map(|port| format!("Port {port}\n"))
        .collect();
    write(
        &root.join("etc/ssh/sshd_config.d/ports.conf"),
        ports.concat(),
    )?;
    let key = ssh::public_key()?;
    for home in ["root", "home/op", "home/asker", "home/fisher", "home/guest"] {
        write(&root.join(home).join(".ssh/authorized_keys"), &key)?;
    }
    enable(&root, options)?;
    ssh::make_host_keys(&root)
}

/// Lets the units of the host's kind start with it, but for those that are to stay off.
fn enable(root: &Path, options: &Options) -> Result<()> {
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    for unit in options
        .kind
        .units()
        .iter()
        .filter(|unit| !options.off.iter().any(|off| off == *unit))
    {
        let link = wants.join(format!("{unit}.service"));
        fs::remove_file(&link).ok();
        let unit = format!("../{unit}.service");
        symlink(&unit, &link).during(|| format!("enable '{unit}'"))?;
    }
    Ok(())
}
