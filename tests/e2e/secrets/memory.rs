//! How much memory a big file takes.

use std::fs::File;
use std::io::Read as _;

use ops_tests::{Tool, command};

use crate::bed::Bed;

/// The most memory that a program has held, in KiB: looked at while it waits for somebody to read its output. The output
/// is in `out` then.
fn peak(bed: &Bed, tool: Tool) -> u64 {
    let pipe = bed.path("pipe");
    let running = tool.through(r#"exec "$@" > pipe"#).spawn();
    let mut output = File::open(pipe).expect("the pipe is there");
    let mut first = [0];
    output
        .read_exact(&mut first)
        .expect("it has begun to write");
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it waits");
    let mut out = File::create(bed.path("out")).expect("a file");
    std::io::copy(&mut first.chain(output), &mut out).expect("the rest");
    drop(running.finish().expect(0));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

#[test]
fn a_big_file_takes_less_than_three_times_its_size() {
    const MORE: u64 = 8 * 1024;
    let bed = Bed::new();
    command("mkfifo").arg(bed.path("pipe")).run().expect(0);
    // Bytes that are no text, and text: both have their own way.
    for (kind, unit) in [("bytes", &[0xff, 0, 17, 200][..]), ("text", b"text")] {
        let peaks = [1024, 1024 + MORE].map(|kib| {
            let plain = unit.repeat(usize::try_from(kib).expect("small") * 1024 / unit.len());
            bed.write("plain.bin", &plain);
            let encrypt = bed.ops(&["encrypt", "--age", &bed.recipient, "plain.bin"]);
            let encrypted = peak(&bed, encrypt);
            std::fs::rename(bed.path("out"), bed.path("sealed.bin")).expect("it is there");
            let decrypted = peak(&bed, bed.ops(&["decrypt", "sealed.bin"]));
            assert!(
                std::fs::read(bed.path("out")).expect("it is there") == plain,
                "{kind}"
            );
            [encrypted, decrypted]
        });
        for (verb, at) in [("encrypt", 0), ("decrypt", 1)] {
            let more = peaks[1][at] - peaks[0][at];
            // At least once: the number means something.
            assert!(
                (MORE..3 * MORE).contains(&more),
                "{verb} {kind}: {more} KiB for {MORE} KiB more of the file"
            );
        }
    }
}
