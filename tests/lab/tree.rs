//! What hosts are made of: a Debian tree and two layers upon it, built once and kept under target/lab.
//!
//! Each thing is named by a hash of all that goes into it, so a change of a recipe builds it anew and nothing else
//! does. A layer is what booting a host and running a script in it has changed on its disk.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::options::Kind;
use crate::outer;
use crate::program::{During, Error, Result, lock_file, read, run};

/// A file of the lab's sources.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/lab")).join(path)
}

/// The folder where the lab keeps what it has built.
#[must_use]
pub fn cache() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/lab")).to_owned()
}

/// The folder of the lab's authority: `ca.pem`, `ca.key`, and `NAME.pem` with `NAME.key` for `chat.example` and
/// `slack.com`.
#[must_use]
pub fn authority() -> PathBuf {
    cache().join("authority")
}

/// The folders that hosts are made of, lowest first.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) tree: PathBuf,
    pub(crate) system: PathBuf,
    pub(crate) postgres: PathBuf,
    pub(crate) platform: PathBuf,
}

impl Display for Layers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.paths()
            .into_iter()
            .try_for_each(|path| writeln!(f, "{}", path.display()))
    }
}

impl Layers {
    /// Those of the lab that this process is in.
    pub(crate) fn here() -> Result<Self> {
        let text = read(Path::new(outer::LAYERS))?;
        let mut lines = text.lines().map(PathBuf::from);
        let mut next = || lines.next().unwrap_or_default();
        Ok(Self {
            tree: next(),
            system: next(),
            postgres: next(),
            platform: next(),
        })
    }

    fn paths(&self) -> [&PathBuf; 4] {
        [&self.tree, &self.system, &self.postgres, &self.platform]
    }

    /// Those that a host of this kind lies upon, highest first. While they are being made, the upper ones are absent.
    pub(crate) fn below(&self, kind: Kind) -> Vec<&PathBuf> {
        let count = match kind {
            Kind::Plain => 2,
            Kind::Postgres => 3,
            Kind::Platform => 4,
        };
        self.paths()
            .into_iter()
            .take(count)
            .filter(|path| !path.as_os_str().is_empty())
            .rev()
            .collect()
    }
}

/// Keeps what is built from being removed while a lab runs on it.
pub(crate) fn hold() -> Result<File> {
    let lock = cache_lock("in-use")?;
    lock.lock_shared()
        .during(|| "lock the lab's tree".to_owned())?;
    Ok(lock)
}

fn cache_lock(name: &str) -> Result<File> {
    fs::create_dir_all(cache()).during(|| format!("make '{}'", cache().display()))?;
    lock_file(&cache().join(name))
}

/// Builds what is not built yet.
pub fn make() -> Result<()> {
    build().map(drop)
}

/// Builds what is not built yet, and says where it is.
pub(crate) fn build() -> Result<Layers> {
    let lock = cache_lock("build.lock")?;
    lock.lock().during(|| "lock the lab's cache".to_owned())?;
    let authority = authority();
    if !authority.exists() {
        step("the private authority", || {
            run(&text(&source("ca.sh")), [&authority])
        })?;
    }
    let bridge = from_go("mautrix-slack", "bridge.sh")?;
    let sops = from_go("sops", "sops.sh")?;
    let bridge = bridge.unwrap_or_default();
    // By its name alone: a checkout elsewhere that shares this folder must come to the same.
    let bridge_name = bridge.file_name().unwrap_or_default().to_string_lossy();
    let below = format!("{bridge_name}\n{}", read(&authority.join("ca.pem"))?);
    let tree_hash = hash(&["tree"], &below)?;
    let tree = kept("tree", &tree_hash, "the Debian tree", |out| {
        run(&text(&source("tree/build.sh")), [out, &bridge, &authority])
    })?;
    let mut layers = Layers {
        tree,
        ..Layers::default()
    };
    let system_hash = hash(&["layers/system.sh", "nixos"], &tree_hash)?;
    layers.system = boot_layer("system", &system_hash, &layers)?;
    let postgres_hash = hash(&["layers/postgres.sh"], &system_hash)?;
    layers.postgres = boot_layer("postgres", &postgres_hash, &layers)?;
    let platform_hash = hash(&["layers/platform.sh"], &postgres_hash)?;
    layers.platform = boot_layer("platform", &platform_hash, &layers)?;
    forget_others(
        &[
            layers.paths().as_slice(),
            &[&bridge, &sops.unwrap_or_default()],
        ]
        .concat(),
    );
    Ok(layers)
}

/// Builds a program written in Go, where there is a Go that can.
fn from_go(name: &str, script: &str) -> Result<Option<PathBuf>> {
    if !go() {
        writeln!(
            io::stderr(),
            "lab: left out: {name}, since there is no Go 1.25 or newer"
        )
        .ok();
        return Ok(None);
    }
    let make = |out: &Path| run(&text(&source(script)), [out]);
    kept(
        name,
        &hash(&[script], "")?,
        &format!("{name}, from Go modules"),
        make,
    )
    .map(Some)
}

fn go() -> bool {
    let version = "PATH=$PATH:/usr/local/go/bin; go version | grep -qE 'go1\\.(2[5-9]|[3-9][0-9])'";
    run("sh", ["-c", version]).is_ok()
}

/// The real mautrix-slack, where it could be built: a test that needs it calls `skip("bridge")` otherwise.
#[must_use]
pub fn bridge() -> Option<PathBuf> {
    made("bridge.sh", "mautrix-slack")
}

/// The real sops, where it could be built: a test that needs it calls `skip("sops")` otherwise.
#[must_use]
pub fn sops() -> Option<PathBuf> {
    made("sops.sh", "sops")
}

fn made(script: &str, name: &str) -> Option<PathBuf> {
    let path = cache().join(format!("{name}-{}", hash(&[script], "").ok()?));
    path.exists().then_some(path)
}

fn boot_layer(name: &str, hash: &str, below: &Layers) -> Result<PathBuf> {
    kept(name, hash, &format!("the {name} layer"), |out| {
        let command = [
            outer::MYSELF.into(),
            "layer".into(),
            name.into(),
            out.into(),
        ];
        let status = outer::in_new_lab(&command, &below.to_string())?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::new(format!(
                "the {name} layer cannot be made: {status}"
            )))
        }
    })
}

/// Returns the path of a thing with this hash, after making it if it is not there.
fn kept(
    name: &str,
    hash: &str,
    title: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let path = cache().join(format!("{name}-{hash}"));
    if !path.exists() {
        let new = path.with_extension("new");
        remove(&new)?;
        step(title, || make(&new))?;
        fs::rename(&new, &path).during(|| format!("finish '{}'", path.display()))?;
    }
    Ok(path)
}

fn remove(path: &Path) -> Result<()> {
    run("rm", ["-rf", "--one-file-system", &text(path)])
}

/// Removes what earlier recipes have built, unless a lab may be running on it.
fn forget_others(current: &[&PathBuf]) {
    let free = cache_lock("in-use").is_ok_and(|lock| lock.try_lock().is_ok());
    let names = [
        "mautrix-slack-",
        "sops-",
        "tree-",
        "system-",
        "postgres-",
        "platform-",
    ];
    for entry in fs::read_dir(cache())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|_| free)
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if names.iter().any(|prefix| name.starts_with(prefix)) && !current.contains(&&entry.path())
        {
            remove(&entry.path()).ok();
        }
    }
}

/// Says what is being made, and how long it took.
fn step(title: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    write!(io::stderr(), "lab: {title} ...").ok();
    let result = make();
    let end = if result.is_ok() { "" } else { " failed" };
    writeln!(
        io::stderr(),
        "{end} {:.0} s",
        started.elapsed().as_secs_f32()
    )
    .ok();
    result
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A name for the content of these sources, and of what they build upon.
fn hash(sources: &[&str], below: &str) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    below.hash(&mut hasher);
    for name in sources {
        hash_path(&source(name), &mut hasher)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn hash_path(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path).during(|| format!("read '{}'", path.display()))?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        return paths.iter().try_for_each(|path| hash_path(path, hasher));
    }
    path.strip_prefix(source("")).unwrap_or(path).hash(hasher);
    fs::read(path)
        .during(|| format!("read '{}'", path.display()))?
        .hash(hasher);
    Ok(())
}
