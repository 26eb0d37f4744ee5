//! The unit files of one system: `etc/systemd/system` and `etc/fstab` of a store path.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use crate::unit_file::UnitFile;

/// What lies at a name: text, or a link to `/dev/null`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Text(String),
    Masked,
}

/// The unit files, drop-ins and `.wants` links of a system, by path below `etc/systemd/system`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitTree {
    files: BTreeMap<String, Entry>,
    /// Other names of units: links to files of another name.
    aliases: BTreeMap<String, String>,
    fstab: String,
}

/// A unit as it stands in a tree: the name of its file (the template for an instance) and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Name of the file without its type: `nginx`, `getty@`.
    pub base: String,
    /// The file with its drop-ins.
    pub file: UnitFile,
}

impl UnitTree {
    /// Reads the tree of a system that lies in the store of this machine.
    ///
    /// A system without unit files is an empty tree.
    pub fn read(toplevel: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        let units = toplevel.join("etc/systemd/system");
        if units.is_dir() {
            tree.read_folder(&units, "")?;
        }
        match std::fs::read_to_string(toplevel.join("etc/fstab")) {
            Ok(text) => tree.fstab = text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let Ok(target) = entry.path().canonicalize() else {
                continue; // a dangling link: the unit is not there
            };
            if target == Path::new("/dev/null") {
                self.files.insert(name, Entry::Masked);
            } else if target.is_dir() {
                if prefix.is_empty() {
                    self.read_folder(&entry.path(), &format!("{name}/"))?;
                }
            } else {
                let real = target.file_name().unwrap_or_default().to_string_lossy();
                if prefix.is_empty() && real != name && template_of(&name) != Some(real.to_string())
                {
                    self.aliases.insert(name.clone(), real.into_owned());
                }
                let text = String::from_utf8_lossy(&std::fs::read(&target)?).into_owned();
                self.files.insert(name, Entry::Text(text));
            }
        }
        Ok(())
    }

    /// Puts a file into the tree.
    #[must_use]
    pub fn with(mut self, name: &str, text: &str) -> Self {
        self.files
            .insert(name.to_owned(), Entry::Text(text.to_owned()));
        self
    }

    /// Puts a link to `/dev/null` into the tree.
    #[must_use]
    pub fn with_mask(mut self, name: &str) -> Self {
        self.files.insert(name.to_owned(), Entry::Masked);
        self
    }

    /// Gives the tree an `/etc/fstab`.
    #[must_use]
    pub fn with_fstab(mut self, text: &str) -> Self {
        text.clone_into(&mut self.fstab);
        self
    }

    /// Returns the text of `/etc/fstab`.
    #[must_use]
    pub fn fstab(&self) -> &str {
        &self.fstab
    }

    /// Says whether a file of that name is there and is not masked.
    #[must_use]
    pub fn has_file(&self, name: &str) -> bool {
        matches!(self.files.get(name), Some(Entry::Text(_)))
    }

    /// Says whether the name is taken, by a file or by a mask.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Reads a unit through `file`, its own name or that of its template, with the drop-ins of both.
    #[must_use]
    pub fn unit(&self, unit: &str, file: &str) -> Option<Found> {
        let Some(Entry::Text(text)) = self.files.get(file) else {
            return None;
        };
        let mut found = UnitFile::parse(text);
        let owners = if file == unit {
            vec![file]
        } else {
            vec![file, unit]
        };
        for text in owners.into_iter().flat_map(|owner| self.drop_ins(owner)) {
            found.merge(text);
        }
        let base = file.rsplit_once('.').map_or(file, |(base, _)| base);
        Some(Found {
            base: base.to_owned(),
            file: found,
        })
    }

    /// Says whether a unit has a drop-in of its own that is no mask.
    #[must_use]
    pub fn has_drop_in(&self, unit: &str) -> bool {
        self.drop_ins(unit).next().is_some()
    }

    fn drop_ins(&self, unit: &str) -> impl Iterator<Item = &str> {
        let prefix = format!("{unit}.d/");
        self.files
            .range(prefix.clone()..)
            .take_while(move |(name, _)| name.starts_with(&prefix))
            .filter(|(name, _)| {
                Path::new(name.as_str())
                    .extension()
                    .is_some_and(|extension| extension == "conf")
            })
            .filter_map(|(_, entry)| match entry {
                Entry::Text(text) => Some(text.as_str()),
                Entry::Masked => None,
            })
    }

    /// Lists the units that are started with a unit: those in its `.wants` and `.requires`, and those that it names itself.
    #[must_use]
    pub fn pulled_in_by(&self, unit: &str) -> BTreeSet<String> {
        let mut pulled = self.linked(unit, "wants");
        pulled.extend(self.required_by(unit));
        pulled.extend(self.named_by(unit, &["Wants", "BindsTo", "Upholds"]));
        pulled
    }

    /// Lists the units that a unit cannot be without: it stops with them.
    #[must_use]
    pub fn stops_with(&self, unit: &str) -> BTreeSet<String> {
        let mut needed = self.required_by(unit);
        needed.extend(self.named_by(unit, &["BindsTo", "PartOf", "Requisite"]));
        needed
    }

    fn required_by(&self, unit: &str) -> BTreeSet<String> {
        let mut required = self.linked(unit, "requires");
        required.extend(self.named_by(unit, &["Requires"]));
        required
    }

    /// Lists what is linked in the folder that makes a unit want or require others.
    fn linked(&self, unit: &str, kind: &str) -> BTreeSet<String> {
        let prefix = format!("{unit}.{kind}/");
        self.files
            .range(prefix.clone()..)
            .take_while(|(name, _)| name.starts_with(&prefix))
            .map(|(name, _)| self.real_name(&name[prefix.len()..]))
            .collect()
    }

    fn named_by(&self, unit: &str, keys: &[&str]) -> BTreeSet<String> {
        let file = self.file_of(unit);
        let Some(found) = self.unit(unit, &file) else {
            return BTreeSet::new();
        };
        let names = keys.iter().flat_map(|key| found.file.words("Unit", key));
        names.map(|name| self.real_name(name)).collect()
    }

    /// The file of a unit: its own, or that of its template.
    fn file_of(&self, unit: &str) -> String {
        match template_of(unit) {
            Some(template) if !self.has_name(unit) => template,
            _ => unit.to_owned(),
        }
    }

    /// The name of a unit that was called by another one of its names.
    #[must_use]
    pub fn real_name(&self, unit: &str) -> String {
        self.aliases
            .get(unit)
            .map_or(unit, String::as_str)
            .to_owned()
    }

    /// Lists the texts of all unit files and drop-ins with their names.
    pub fn named_texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(name, entry)| match entry {
            Entry::Text(text) if !name.contains(".wants/") && !name.contains(".requires/") => {
                Some((name.as_str(), text.as_str()))
            }
            _ => None,
        })
    }

    /// Lists the texts of all unit files and drop-ins.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.named_texts().map(|(_, text)| text)
    }

    /// Lists the names of all unit files, without drop-ins and links, and each unit by its own name only.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files
            .iter()
            .filter(|(name, entry)| !name.contains('/') && matches!(entry, Entry::Text(_)))
            .filter(|(name, _)| !self.aliases.contains_key(*name))
            .map(|(name, _)| name.as_str())
    }
}

/// Names the template of an instance: `getty@.service` of `getty@tty1.service`.
#[must_use]
pub fn template_of(unit: &str) -> Option<String> {
    let (stem, kind) = unit.rsplit_once('.')?;
    let (template, _instance) = stem.split_once('@')?;
    Some(format!("{template}@.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_from_a_folder() {
        let top = tempfile::tempdir().unwrap();
        let units = top.path().join("etc/systemd/system");
        std::fs::create_dir_all(units.join("a.service.d")).unwrap();
        std::fs::create_dir_all(units.join("multi-user.target.wants")).unwrap();
        for (name, text) in [
            ("a.service", "[Service]\nUser=a\n"),
            ("a.service.d/o.conf", "[Service]\nUser=b\n"),
            ("a.service.d/README", "[Service]\nUser=c\n"),
        ] {
            ops_common::atomic::write(&units.join(name), text.as_bytes(), 0o644).unwrap();
        }
        std::os::unix::fs::symlink("/dev/null", units.join("m.service")).unwrap();
        std::os::unix::fs::symlink(
            "../a.service",
            units.join("multi-user.target.wants/a.service"),
        )
        .unwrap();
        std::os::unix::fs::symlink("a.service", units.join("also-a.service")).unwrap();
        let tree = UnitTree::read(top.path()).unwrap();
        let found = tree.unit("a.service", "a.service").unwrap();
        assert_eq!(found.file.values("Service", "User"), ["a", "b"]);
        assert!(tree.has_name("m.service") && !tree.has_file("m.service"));
        assert!(tree.pulled_in_by("multi-user.target").contains("a.service"));
        assert_eq!(tree.names().collect::<Vec<_>>(), ["a.service"]);
        assert!(tree.has_file("also-a.service"));
        assert_eq!(tree.real_name("also-a.service"), "a.service");
    }

    #[test]
    fn instances_have_templates() {
        assert_eq!(
            template_of("getty@tty1.service").as_deref(),
            Some("getty@.service")
        );
        assert_eq!(template_of("nginx.service"), None);
    }
}
