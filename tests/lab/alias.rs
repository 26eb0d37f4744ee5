//! Names that only tests know: a file of ssh's settings for each, which wins over what the lab has written.

use std::fs;
use std::path::PathBuf;

use crate::ssh;

/// A name with settings of its own in `~/.ssh/config.d`, until it is dropped. `--host NAME` and `ssh NAME` take it.
#[derive(Debug)]
pub struct Alias {
    name: String,
    path: PathBuf,
}

impl Alias {
    /// Writes `Host NAME` with these lines of settings.
    ///
    /// # Panics
    /// When the file cannot be written: without it the test has nothing to say.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "written beside and renamed")]
    pub fn new(name: &str, settings: &str) -> Self {
        let folder = ssh::folder()
            .unwrap_or_else(|error| panic!("{error}"))
            .join("config.d");
        let path = folder.join(name);
        // Written beside and renamed, since other tests read the whole folder at any time.
        let new = folder.with_file_name(format!("{name}.new"));
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&new, format!("Host {name}\n{settings}\n")))
            .and_then(|()| fs::rename(&new, &path))
            .unwrap_or_else(|error| panic!("write '{}': {error}", path.display()));
        Self {
            name: name.to_owned(),
            path,
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}
