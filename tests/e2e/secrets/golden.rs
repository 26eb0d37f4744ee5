//! Files that sops wrote (`golden/VERSION` says which; `golden/regenerate.sh` writes them anew): read where sops is missing too.

use std::path::{Path, PathBuf};

use crate::bed::Bed;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("e2e/secrets/golden")
        .join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).expect("the golden file is there")
}

#[test]
fn files_of_sops_are_read_as_sops_reads_them() {
    let bed = Bed::new();
    bed.write("keys.txt", read("key.txt"));
    for extension in ["yaml", "json", "env", "ini", "bin"] {
        let name = format!("secrets.{extension}");
        let ran = bed.decrypt(&name, read(&name)).expect(0);
        assert_eq!(
            ran.stdout,
            read(&format!("wanted.{extension}")),
            "{extension}"
        );
        bed.ops(&["verify", &name])
            .run()
            .expect(3)
            .complains("rotate");
    }
}

/// The metadata of sops 3.7 to 3.12 stands in another order, with empty lists; what is not changed keeps its place.
#[test]
fn the_old_order_of_metadata_is_read_and_kept() {
    let bed = Bed::new();
    bed.write("keys.txt", read("key.txt"));
    let old = String::from_utf8(read("old-order.yaml")).expect("text");
    assert_eq!(
        bed.decrypt("old.yaml", &old).expect(0).stdout,
        read("wanted.yaml")
    );
    bed.ops(&["set", "old.yaml", "[\"int\"]", "43"])
        .run()
        .expect(0);
    let new = bed.read("old.yaml");
    let kept = |line: &&str| {
        !["int:", "lastmodified:", "mac:", "ops_seal:"]
            .iter()
            .any(|name| line.trim_start().starts_with(name))
    };
    let lines = |text: &str| {
        text.lines()
            .filter(kept)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&new), lines(&old));
}
