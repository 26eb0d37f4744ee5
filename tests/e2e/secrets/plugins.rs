//! age plugins: the protocol, spoken with a plugin made for this test.

use std::os::unix::fs::PermissionsExt as _;

use ops_tests::Tool;

use crate::bed::{Bed, sops};
use crate::keys::bech32;

/// A plugin that hides the file key in plain sight: its stanza holds the key as it is.
const PLUGIN: &str = r#"#!/bin/sh
# Each command is a line and a body, which ends with the first line that is not full.
while IFS= read -r line && IFS= read -r next; do
    while [ ${#next} = 64 ]; do IFS= read -r next; done
    case $line in
    "-> wrap-file-key"*) body=$next ;;
    "-> recipient-stanza 0 trial"*) body=$next ;;
    "-> done"*) break ;;
    esac
done
case $1 in
--age-plugin=recipient-v1) printf -- '-> recipient-stanza 0 trial\n%s\n' "$body" ;;
--age-plugin=identity-v1) printf -- '-> file-key 0\n%s\n' "$body" ;;
esac
read -r ok && read -r empty
printf -- '-> done\n\n'
"#;

#[test]
fn a_plugin_wraps_and_unwraps() {
    let bed = Bed::new();
    let plugin = bed.write("bin/age-plugin-trial", PLUGIN);
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let recipient = bech32("age1trial", b"recipient");
    let identity = bech32("age-plugin-trial-", b"identity").to_uppercase();
    bed.write("plugin.txt", format!("# made up\n{identity}\n"));
    bed.write("p.yaml", "a: x\n");
    let with = |tool: Tool, path: &str| {
        let path = format!("{}:/usr/bin:/bin", bed.path(path).display());
        tool.timeout(std::time::Duration::from_mins(1))
            .env("PATH", path)
            .env("SOPS_AGE_KEY_FILE", bed.path("plugin.txt"))
            .run()
    };
    let ran = with(bed.ops(&["encrypt", "--age", &recipient, "p.yaml"]), "bin").expect(0);
    bed.write("e.yaml", ran.out());
    assert!(ran.out().contains(&format!("recipient: {recipient}")));
    assert_eq!(
        with(bed.ops(&["decrypt", "e.yaml"]), "bin").expect(0).out(),
        "a: x\n"
    );
    if sops().is_some() {
        assert_eq!(
            with(bed.sops(&["decrypt", "e.yaml"]), "bin")
                .expect(0)
                .out(),
            "a: x\n"
        );
        let theirs = with(bed.sops(&["encrypt", "--age", &recipient, "p.yaml"]), "bin").expect(0);
        bed.write("theirs.yaml", theirs.out());
        assert_eq!(
            with(bed.ops(&["decrypt", "theirs.yaml"]), "bin")
                .expect(0)
                .out(),
            "a: x\n"
        );
    }
    // Without the plugin: which one is missing, by name.
    with(bed.ops(&["encrypt", "--age", &recipient, "p.yaml"]), "none")
        .expect(69)
        .complains("age-plugin-trial");
    with(bed.ops(&["decrypt", "e.yaml"]), "none")
        .expect(65)
        .complains("trial");
}
