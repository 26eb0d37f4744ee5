//! A folder with keys, and the two programs bound to it.

use std::ffi::OsString;
use std::path::PathBuf;

use ops_tests::{Ran, Tool, command, tool};
use tempfile::TempDir;

pub(crate) struct Bed {
    folder: TempDir,
    /// The recipient of the key that both programs find.
    pub(crate) recipient: String,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut bed = Self {
            folder,
            recipient: String::new(),
        };
        bed.recipient = bed.keygen("keys.txt");
        bed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a folder can be made");
        }
        std::fs::write(&path, content).expect("a file can be written");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.path(name)).expect("the file is there");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Makes a key file and gives its recipient.
    pub(crate) fn keygen(&self, name: &str) -> String {
        let made = tool("ops-secrets")
            .args(["keygen", "-o", name])
            .dir(self.folder.path())
            .run()
            .expect(0);
        made.out().trim().to_owned()
    }

    /// Our program, in the folder, with the key.
    pub(crate) fn ops(&self, args: &[&str]) -> Tool {
        self.bound(tool("ops-secrets").args(args))
    }

    /// The real sops, in the folder, with the key.
    pub(crate) fn sops(&self, args: &[&str]) -> Tool {
        let program = sops().expect("the caller has asked whether sops is there");
        self.bound(command(program).args(args))
    }

    /// Any program, in the folder, with the key.
    pub(crate) fn bound(&self, tool: Tool) -> Tool {
        tool.dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("SOPS_AGE_KEY_FILE", self.path("keys.txt"))
    }

    /// Encrypts a text with our program; gives what it printed.
    pub(crate) fn encrypt(&self, name: &str, plain: impl AsRef<[u8]>) -> String {
        self.write(name, plain);
        self.ops(&["encrypt", "--age", &self.recipient, name])
            .run()
            .expect(0)
            .out()
    }

    /// Decrypts a text under a name of its own; gives how that ended.
    pub(crate) fn decrypt(&self, name: &str, text: impl AsRef<[u8]>) -> Ran {
        self.write(name, text);
        self.ops(&["decrypt", name]).run()
    }
}

/// The real sops, if it is there.
pub(crate) fn sops() -> Option<OsString> {
    ops_tests::tree::sops().map(PathBuf::into_os_string)
}

/// How many random documents a format gets.
#[expect(
    clippy::disallowed_methods,
    reason = "the long run is asked for by the environment"
)]
pub(crate) fn rounds() -> u64 {
    if std::env::var_os("OPS_TEST_LONG").is_some_and(|value| value == "1") {
        2_000
    } else {
        100
    }
}
