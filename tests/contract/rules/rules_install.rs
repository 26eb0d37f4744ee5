//! What `make install` puts where.

use std::path::Path;

use ops_tests::{bin_dir, command};

use crate::verbs::{known, tools};

#[test]
fn programs_manuals_and_completions_are_installed_where_they_are_looked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // As a packager would, with programs that are built already.
    command("make")
        .args(["--old-file=build", "install", "PREFIX=/usr"])
        .arg(format!("BUILT={}", bin_dir().display()))
        .arg(format!("DESTDIR={}", folder.path().display()))
        .dir(root)
        .run()
        .expect(0);
    let usr = folder.path().join("usr");
    for tool in tools() {
        let name = tool.get_name();
        let installed = command(usr.join("bin").join(name)).arg("--version").run();
        assert!(installed.expect(0).out().starts_with(name));
        for file in [
            format!("bash-completion/completions/{name}.bash"),
            format!("fish/vendor_completions.d/{name}.fish"),
            format!("zsh/site-functions/_{name}"),
            format!("man/man1/{name}.1"),
        ] {
            assert!(usr.join("share").join(&file).is_file(), "no {file}");
        }
        let script = format!(
            "source {}/share/bash-completion/completions/{name}.bash && complete -p {name}",
            usr.display()
        );
        command("bash").args(["-c", &script]).run().expect(0);
    }
    for verb in known() {
        let page = format!("share/man/man1/{}.1", verb.replace(' ', "-"));
        let text = std::fs::read_to_string(usr.join(&page));
        let text = text.unwrap_or_else(|_| panic!("no {page}"));
        assert!(
            text.contains("EXAMPLES") || text.contains("Examples:"),
            "{page} shows no example"
        );
    }
}
