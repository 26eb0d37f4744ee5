//! The program called `sops`: a script written for sops works, with sops's statuses.

use crate::bed::Bed;

fn linked(bed: &Bed) -> String {
    let link = bed.path("bin/sops");
    std::fs::create_dir_all(bed.path("bin")).expect("a folder");
    std::os::unix::fs::symlink(ops_tests::bin_dir().join("ops-secrets"), &link).expect("a link");
    link.to_string_lossy().into_owned()
}

#[test]
fn a_script_written_for_sops_works() {
    let bed = Bed::new();
    let link = linked(&bed);
    bed.write("a.yaml", "a: x\nn: 1\n");
    bed.write("script", format!("set -eu\nPATH={}:$PATH\nsops -e --age {} a.yaml > e.yaml\nsops -d e.yaml | diff - a.yaml\nsops --set '[\"a\"] \"z\"' e.yaml\nsops -d --extract '[\"a\"]' e.yaml > a\nsops set e.yaml '[\"b\"]' '{{\"c\": 2}}'\nsops --decrypt --output-type json e.yaml > e.json\nsops -r -i e.yaml\nsops exec-env e.yaml 'echo $n' > n\nsops filestatus e.yaml > status\nsops -i -d e.yaml\n", bed.path("bin").display(), bed.recipient));
    let ran = ops_tests::command("sh")
        .arg("script")
        .dir(bed.path("."))
        .env("SOPS_AGE_KEY_FILE", bed.path("keys.txt"))
        .run();
    ran.expect(0);
    assert_eq!(bed.read("a"), "z");
    assert_eq!(bed.read("n"), "1\n");
    assert_eq!(bed.read("status"), "{\"encrypted\":true}\n");
    assert_eq!(
        bed.read("e.yaml"),
        "a: z\nn: 1\nb:\n  c: 2\n".replace("  c", "    c")
    );
    assert!(!link.is_empty());
}

#[test]
fn statuses_are_those_of_sops() {
    let bed = Bed::new();
    let link = linked(&bed);
    let sealed = bed.encrypt("p.yaml", "a: x\na_unencrypted: y\n");
    bed.write("e.yaml", &sealed);
    bed.write(
        "tampered.yaml",
        sealed.replace("a_unencrypted: y", "a_unencrypted: z"),
    );
    bed.write("bad.yaml", "a: [\n");
    let run = |args: &[&str]| {
        ops_tests::command(&link)
            .args(args)
            .dir(bed.path("."))
            .env("SOPS_AGE_KEY_FILE", bed.path("keys.txt"))
            .run()
    };
    run(&["-d", "tampered.yaml"]).expect(51);
    run(&["-e", "--age", &bed.recipient, "e.yaml"]).expect(203);
    run(&["-e", "--age", &bed.recipient, "bad.yaml"]).expect(2);
    run(&["-d", "--extract", "[\"nope\"]", "e.yaml"]).expect(91);
    run(&["-d", "missing.yaml"]).expect(100);
    let ran = ops_tests::command(&link)
        .args(["-d", "e.yaml"])
        .dir(bed.path("."))
        .run();
    ran.expect(128);
    run(&["publish", "e.yaml"]).expect(1).complains("publish");
    run(&["-e", "--kms", "arn", "p.yaml"])
        .expect(1)
        .complains("--kms");
}
