//! The statuses of the program called `sops`, beside those of the real one: every error that it can come to.

use ops_tests::Ran;

use crate::bed::{Bed, sops};
use crate::link::linked;

/// A command line (words parted by blanks, `_` for a blank in a word, RECIPIENT for ours), the status of sops, and ours where
/// it is another, with the reason.
type Row = (&'static str, i32, Option<(i32, &'static str)>);

const READS_MORE: Option<(i32, &str)> = Some((0, "we read what can be read"));
const NO_RULE_NEEDED: Option<(i32, &str)> = Some((0, "what is not needed is not an error"));
const CRASH: Option<(i32, &str)> = Some((1, "sops crashes"));

#[rustfmt::skip]
const ROWS: [Row; 89] = [
    ("-d e.yaml", 0, None),
    ("-d tampered.yaml", 51, None),
    ("-d garbled.yaml", 25, None),
    ("-d nomac.yaml", 51, None),
    ("-d --ignore-mac nomac.yaml", 0, None),
    ("-d bad.yaml", 1, None),
    ("-d empty.yaml", 1, None),
    ("-d plain.yaml", 1, None),
    ("-d plain.json", 1, None),
    ("-d plain.bin", 1, None),
    ("-d missing.yaml", 100, None),
    ("-d noversion.yaml", 1, READS_MORE),
    ("-d cipher.yaml", 25, None),
    ("-d notime.yaml", 1, None),
    ("-d other.yaml", 128, None),
    ("decrypt missing.yaml", 100, None),
    ("decrypt .", 2, None),
    ("-e missing.yaml", 100, None),
    ("-r missing.yaml", 100, None),
    ("-r --add-age RECIPIENT missing.yaml", 49, None),
    ("rotate missing.yaml", 2, None),
    ("rotate --add-age RECIPIENT missing.yaml", 49, None),
    ("rotate --rm-age RECIPIENT e.yaml", 1, None),
    ("set missing.yaml [\"a\"] 1", 2, None),
    ("unset missing.yaml [\"a\"]", 2, None),
    ("exec-env missing.yaml true", 2, None),
    ("exec-file missing.yaml true", 2, None),
    ("filestatus missing.yaml", 1, None),
    ("filestatus plain.yaml", 0, None),
    ("updatekeys missing.yaml", 1, None),
    ("updatekeys -y e.yaml", 1, None),
    ("-e --age RECIPIENT bad.yaml", 2, None),
    ("-e --age RECIPIENT empty.yaml", 92, Some((0, "an empty file can be encrypted"))),
    ("-e --age RECIPIENT e.yaml", 203, None),
    ("-e --age RECIPIENT big.yaml", 23, Some((2, "told with line and column, as what cannot be read"))),
    ("-e plain.yaml", 1, None),
    ("-e --age nonsense plain.yaml", 1, None),
    ("-e --age RECIPIENT --encrypted-regex a --encrypted-suffix b plain.yaml", 8, None),
    ("-e --age RECIPIENT --encrypted-regex ( plain.yaml", 0, Some((8, "sops writes plain text"))),
    ("-e --age RECIPIENT --shamir-secret-sharing-threshold 3 plain.yaml", 0, None),
    ("--config badregex.yaml -e plain.yaml", 1, None),
    ("--config norule.yaml -e plain.yaml", 1, None),
    ("--config norule.yaml -e --age RECIPIENT plain.yaml", 1, NO_RULE_NEEDED),
    ("--config two.yaml -e plain.yaml", 1, None),
    ("--config bad.yaml -e plain.yaml", 1, None),
    ("--config missing -e plain.yaml", 1, None),
    ("--config missing -d e.yaml", 1, NO_RULE_NEEDED),
    ("-d --extract [\"nope\"] e.yaml", 1, None),
    ("-d --extract [\"l\"][7] e.yaml", 1, None),
    ("-d --extract [\"l\"][\"x\"] e.yaml", 2, CRASH),
    ("-d --extract [\"a\"][\"x\"] e.yaml", 2, CRASH),
    ("-d --extract [\"l\"][-1] e.yaml", 2, Some((91, "sops crashes"))),
    ("-d --extract [nope] e.yaml", 91, None),
    ("-d --extract nope e.yaml", 91, None),
    ("-d -i --output x e.yaml", 8, None),
    ("decrypt -i --output x e.yaml", 8, None),
    ("decrypt -i", 8, None),
    ("encrypt", 8, None),
    ("encrypt --filename-override x.yaml", 1, None),
    ("encrypt -i", 8, None),
    ("-d", 100, None),
    ("edit", 100, None),
    ("rotate", 100, None),
    ("filestatus", 100, None),
    ("edit e.yaml", 200, None),
    ("new.yaml", 1, None),
    ("set e.yaml", 100, None),
    ("set e.yaml [\"a\"]", 100, None),
    ("set e.yaml nonsense 1", 7, None),
    ("set e.yaml [\"a\"] nonsense", 7, None),
    ("set --value-file --value-stdin e.yaml [\"a\"]", 1, None),
    ("set e.yaml [\"l\"] [1]", 7, Some((0, "sops sets no lists"))),
    ("set e.yaml [\"sops\"] 1", 203, None),
    ("unset e.yaml [\"nope\"]", 1, None),
    ("unset e.yaml [\"l\"][9]", 1, None),
    ("unset e.yaml nope", 7, None),
    ("--set nonsense e.yaml", 7, None),
    ("--set [\"a\"] e.yaml", 7, None),
    ("--set [\"a\"]_x e.yaml", 7, None),
    ("exec-env e.yaml", 1, None),
    ("exec-env flat.env exit_7", 7, None),
    ("exec-file e.yaml exit_9", 9, None),
    ("exec-file --no-fifo --filename ../x e.yaml true", 1, None),
    ("-d --nonsense e.yaml", 1, None),
    ("decrypt --nonsense e.yaml", 1, None),
    ("-d --output-type nonsense e.yaml", 0, None),
    ("-d --output-type ini e.yaml", 4, None),
    ("-d --output /nonexistent/x e.yaml", 3, None),
    ("decrypt --decryption-order age,age e.yaml", 112, None),
];

fn files(bed: &Bed) {
    let sealed = bed.encrypt("plain.yaml", "a: x\nl:\n  - 1\nn_unencrypted: p\n");
    let swap = |from: &str, to: &str| sealed.replacen(from, to, 1);
    let without = |start: &str| -> String {
        let kept = sealed
            .lines()
            .filter(|line| !line.trim_start().starts_with(start));
        kept.flat_map(|line| [line, "\n"]).collect()
    };
    bed.write("e.yaml", &sealed);
    bed.write("tampered.yaml", swap("encrypted: p", "encrypted: q"));
    bed.write("garbled.yaml", swap("data:", "data:*"));
    bed.write("nomac.yaml", without("mac:"));
    // A seal would cover it.
    bed.write(
        "noversion.yaml",
        without("ops_seal:").replacen("version: 3", "version: x", 1),
    );
    bed.write("cipher.yaml", swap("AES256_GCM", "AES256_GCX"));
    bed.write(
        "notime.yaml",
        without("lastmodified:") + "    lastmodified: soon\n",
    );
    bed.write("bad.yaml", "a: [\n");
    bed.write("empty.yaml", "");
    bed.write("big.yaml", "a: 18446744073709551615\n");
    bed.write("plain.json", "{}");
    bed.write("plain.bin", "no JSON");
    bed.write("flat.env", bed.encrypt("flat.env", "A=1\n"));
    let own = &bed.recipient;
    bed.write(
        "badregex.yaml",
        format!("creation_rules: [{{path_regex: '(', age: {own}}}]\n"),
    );
    bed.write(
        "norule.yaml",
        format!("creation_rules: [{{path_regex: nothing, age: {own}}}]\n"),
    );
    bed.write(
        "two.yaml",
        format!("creation_rules: [{{age: {own}, encrypted_regex: a, encrypted_suffix: b}}]\n"),
    );
    let other = bed.keygen("other.txt");
    bed.write("other.plain.yaml", "a: x\n");
    let sealed = bed
        .ops(&["encrypt", "--age", &other, "other.plain.yaml"])
        .run()
        .expect(0)
        .out();
    bed.write("other.yaml", sealed);
}

/// Runs a row in a folder of its own: some change what they work on.
fn run(program: &std::ffi::OsStr, row: &str) -> Ran {
    let bed = Bed::new();
    files(&bed);
    let words: Vec<String> = row
        .split(' ')
        .map(|word| {
            if word == "RECIPIENT" {
                bed.recipient.clone()
            } else {
                word.replace('_', " ")
            }
        })
        .collect();
    bed.bound(ops_tests::command(program).args(&words))
        .env("EDITOR", "true")
        .run()
}

#[test]
fn each_error_has_the_status_that_sops_has_for_it() {
    let bed = Bed::new();
    let link = linked(&bed);
    let real = sops();
    if real.is_none() {
        ops_tests::skip("sops");
    }
    let mut wrong = Vec::new();
    for (row, theirs, ours) in ROWS {
        if let Some(real) = &real {
            let ran = run(real, row);
            if ran.status != theirs {
                wrong.push(format!("sops {row}: {theirs} expected\n{ran}"));
            }
        }
        let wanted = ours.map_or(theirs, |(status, _)| status);
        let ran = run(link.as_ref(), row);
        if ran.status != wanted {
            wrong.push(format!("ours {row}: {wanted} expected\n{ran}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
