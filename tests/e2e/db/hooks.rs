//! What an operator hangs on a backup: commands around it, and the progress on a terminal.

use std::fs;

use ops_tests::{Lab, Tool, skip, tool};

use crate::scene::server;

#[test]
fn hooks_are_run_around_a_backup_with_what_is_known_then() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let _host = server(lab, "db-hooks");
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let backup = |database: &str, hooks: &str| -> Tool {
        fs::write(
            folder.path().join("ops.yaml"),
            format!("db: {{hooks: {{{hooks}}}}}\n"),
        )
        .unwrap();
        tool("ops-db")
            .args(["backup", database, "--host", "db-hooks", "-o", "out/"])
            .dir(folder.path())
    };
    fs::create_dir(folder.path().join("out")).unwrap();
    // No shell: what looks like one is an argument.
    let say = |hook: &str| {
        format!(
            "{hook}: [sh, -c, 'printf \"%s|\" {hook} \"$@\" >> {}', \"$(touch evil)\"]",
            told.display()
        )
    };
    let all = format!("{}, {}, {}", say("before"), say("after"), say("failed"));
    let taken = backup("mautrix_slack", &all).run().expect(0);
    let file = taken.out().trim().to_owned();
    assert_eq!(
        fs::read_to_string(&told).unwrap(),
        format!("before|mautrix_slack|after|mautrix_slack|{file}|")
    );
    assert!(!folder.path().join("evil").exists());
    // One that fails before: no backup, and the last hook hears of it.
    fs::remove_file(&told).unwrap();
    let stops = format!(
        "before: [sh, -c, 'echo no room >&2; exit 3'], {}",
        say("failed")
    );
    backup("mautrix_slack", &stops)
        .run()
        .expect(74)
        .complains("the hook 'before' failed: status 3: no room");
    let heard = fs::read_to_string(&told).unwrap();
    assert!(
        heard.starts_with("failed|mautrix_slack|") && heard.contains("no room"),
        "{heard}"
    );
    let backups = || {
        fs::read_dir(folder.path().join("out"))
            .unwrap()
            .filter(|entry| {
                let path = entry.as_ref().unwrap().path();
                path.extension().is_some_and(|is| is == "zst")
            })
    };
    assert_eq!(backups().count(), 1);
    // One that fails after: the backup stays, and the status says that something is wrong.
    backup("mautrix_slack", "after: [/nonexistent/copy]")
        .run()
        .expect(74)
        .complains("the hook 'after' failed");
    assert_eq!(backups().count(), 2);
    backup("mautrix_slack", "during: [x]").run().expect(78);
}

#[test]
fn progress_is_for_terminals_and_estimates_from_the_last_backup() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let _host = server(lab, "db-progress");
    let folder = tempfile::tempdir().unwrap();
    let backup = || {
        tool("ops-db")
            .args(["backup", "mautrix_slack", "--host", "db-progress", "-o"])
            .arg(folder.path())
    };
    assert_eq!(backup().run().expect(0).err(), "");
    let shown = backup().terminal(80, 24).run().expect(0);
    assert!(shown.out().contains("/s"), "{}", shown.out());
    let quiet = backup().arg("-q").terminal(80, 24).run().expect(0);
    assert!(!quiet.out().contains("/s"), "{}", quiet.out());
}
