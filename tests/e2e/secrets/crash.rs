//! `kill -9` at every step of a write: the old file or the new one, whole.

use ops_tests::command;

use crate::bed::Bed;

/// The system calls of a write. The kill comes on entering each of them, the first time, the second, and so on.
const STEPS: [&str; 5] = ["fchmod", "/^write", "fsync", "linkat", "/^rename"];

#[test]
fn a_killed_write_leaves_the_old_file_or_the_new_one() {
    let bed = Bed::new();
    let before = bed.encrypt("p.yaml", "a: old\nkeep: this\n");
    let ops = ops_tests::bin_dir().join("ops-secrets");
    let (mut old, mut new) = (0, 0);
    for step in STEPS {
        for time in 1.. {
            assert!(time < 30, "'{step}' never ends");
            bed.write("e.yaml", &before);
            let ran = command("strace")
                .args(["-f", "-qq", "-o", "/dev/null"])
                .args(["-e", &format!("trace={step}")])
                .args(["-e", &format!("inject={step}:signal=KILL:when={time}")])
                .arg(&ops)
                .args(["set", "e.yaml", "[\"a\"]", "\"new\""])
                .dir(bed.path("."))
                .env("SOPS_AGE_KEY_FILE", bed.path("keys.txt"))
                .env("HOME", bed.path("home"))
                .run();
            let read = bed
                .ops(&["decrypt", "--require-seal", "e.yaml"])
                .run()
                .expect(0)
                .out();
            match read.as_str() {
                "a: old\nkeep: this\n" => {
                    assert_eq!(bed.read("e.yaml"), before);
                    old += 1;
                }
                "a: new\nkeep: this\n" => new += 1,
                other => panic!("killed at {step} {time}: {other}"),
            }
            if ran.status == 0 {
                assert!(time > 1, "'{step}' is a step of a write");
                break;
            }
            assert_eq!(ran.status, 137, "{ran}");
        }
    }
    // The last round of each step is the one without a kill: the kill after the rename comes on top of it.
    assert!(
        old >= STEPS.len() && new > STEPS.len(),
        "{old} old, {new} new"
    );
}
