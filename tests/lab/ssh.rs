//! Keys, and the files by which `ssh NAME` works: the folder of settings in the home of the user database is the
//! lab's own, since `ssh -G` does not ask HOME.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::outer::RUN;
use crate::program::{During, Error, Result, lock_file, read, run, write};

/// The part of /etc/hosts that is always there.
pub(crate) const HOSTS_HEAD: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n";
const CONFIG_HEAD: &str = "Host *
    IdentityFile ~/.ssh/id_ed25519
    IdentitiesOnly yes
    StrictHostKeyChecking yes
    UpdateHostKeys no
";

/// The settings folder of the user that this process runs as.
pub(crate) fn folder() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw().to_string();
    let database = read(Path::new("/etc/passwd"))?;
    database
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&user.as_str()))
        .and_then(|fields| fields.get(5).map(|home| Path::new(home).join(".ssh")))
        .ok_or_else(|| Error::new(format!("user {user} has no home in /etc/passwd")))
}

fn keygen(kind: &str, path: &Path) -> Result<()> {
    run(
        "ssh-keygen",
        [
            "-q",
            "-t",
            kind,
            "-N",
            "",
            "-C",
            "ops-lab",
            "-f",
            &path.display().to_string(),
        ],
    )
}

/// Makes the key that every account of every host accepts.
pub(crate) fn make_keys() -> Result<()> {
    keygen("ed25519", &folder()?.join("id_ed25519"))?;
    render()
}

/// The public half of that key.
pub(crate) fn public_key() -> Result<String> {
    read(&folder()?.join("id_ed25519.pub"))
}

/// Makes the host keys in the tree of a host and returns their public halves, a line each.
pub(crate) fn make_host_keys(root: &Path) -> Result<Vec<String>> {
    let mut public = Vec::new();
    for kind in ["ed25519", "ecdsa"] {
        let path = root.join(format!("etc/ssh/ssh_host_{kind}_key"));
        keygen(kind, &path)?;
        let line = read(&path.with_extension("pub"))?;
        let fields: Vec<_> = line.split_whitespace().take(2).collect();
        public.push(fields.join(" "));
    }
    Ok(public)
}

/// What a host adds to the files below, as it is written into the host's folder.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) aliases: &'a [String],
    pub(crate) v4: &'a str,
    pub(crate) v6: &'a str,
    pub(crate) ports: &'a [u16],
    pub(crate) keys: &'a [String],
}

impl Entry<'_> {
    /// Writes the host's part and brings the files up to date.
    pub(crate) fn publish(&self, folder: &Path) -> Result<()> {
        let port = self.ports.first().copied().unwrap_or(22);
        let config = format!(
            "Host {}\n    HostName {}\n    User root\n    Port {port}\n",
            self.name, self.v4
        );
        write(&folder.join("ssh_config"), config)?;
        write(&folder.join("known_hosts"), self.known_hosts())?;
        let names = [&[self.name.to_owned()], self.aliases].concat().join(" ");
        write(
            &folder.join("hosts"),
            format!("{} {names}\n{} {names}\n", self.v4, self.v6),
        )?;
        render()
    }

    fn known_hosts(&self) -> String {
        let names = [self.name, self.v4, self.v6]
            .into_iter()
            .chain(self.aliases.iter().map(String::as_str));
        let patterns: Vec<_> = names
            .flat_map(|name| self.ports.iter().map(move |port| (name, *port)))
            .map(|(name, port)| {
                if port == 22 {
                    name.to_owned()
                } else {
                    format!("[{name}]:{port}")
                }
            })
            .collect();
        let patterns = patterns.join(",");
        let lines: Vec<_> = self
            .keys
            .iter()
            .map(|key| format!("{patterns} {key}\n"))
            .collect();
        lines.concat()
    }
}

/// Puts the parts of all hosts together.
pub(crate) fn render() -> Result<()> {
    let lock = lock_file(&Path::new(RUN).join("render.lock"))?;
    lock.lock().during(|| "lock the ssh files".to_owned())?;
    let settings = folder()?;
    // ssh takes the first value that it finds, so what a test adds wins.
    // Its path is a whole one, since ssh asks HOME for the home of a short one.
    let include = format!("Include {}/config.d/*\n", settings.display());
    let config = include + &gather("ssh_config") + CONFIG_HEAD;
    replace(&settings.join("config"), &config)?;
    replace(&settings.join("known_hosts"), &gather("known_hosts"))?;
    overwrite(
        &Path::new(RUN).join("etc/hosts"),
        &(HOSTS_HEAD.to_owned() + &gather("hosts")),
    )
}

fn gather(part: &str) -> String {
    let hosts = fs::read_dir(Path::new(RUN).join("hosts"))
        .into_iter()
        .flatten()
        .flatten();
    let mut parts: Vec<_> = hosts.map(|host| host.path().join(part)).collect();
    parts.sort();
    parts
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect()
}

fn replace(path: &Path, content: &str) -> Result<()> {
    let new = path.with_extension("new");
    write(&new, content)?;
    fs::rename(&new, path).during(|| format!("replace '{}'", path.display()))
}

/// Changes a file that is mounted over another: it cannot be renamed, and must at no time look empty.
fn overwrite(path: &Path, content: &str) -> Result<()> {
    let attempt = || format!("write '{}'", path.display());
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .during(attempt)?;
    file.seek(SeekFrom::Start(0)).during(attempt)?;
    file.write_all(content.as_bytes()).during(attempt)?;
    file.set_len(content.len() as u64).during(attempt)
}
