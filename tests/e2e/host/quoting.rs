//! Argument vectors full of what shells like to eat, through real login shells.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, thread};

use ops_common::{
    exit::{Failure, Status},
    host::{Command, Error, Host, Options},
};
use ops_tests::Kind;

use crate::{external::over_ssh, lab, options};

/// A generator whose numbers depend on nothing but its seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    /// An argument made of the pieces that hurt.
    fn argument(&mut self) -> Vec<u8> {
        const PIECES: [&[u8]; 40] = [
            b" ",
            b"\n",
            b"\n\n",
            b"\t",
            b"'",
            b"\"",
            b"\\",
            b"\\\\",
            b"$",
            b"$(id)",
            b"`id`",
            b"${HOME}",
            b"*",
            b"?",
            b"[a-z]",
            b"{a,b}",
            b"~",
            b"~root",
            b"!",
            b"#",
            b";",
            b"&",
            b"|",
            b"<",
            b">",
            b"(",
            b")",
            b"%s",
            b"\\n",
            b"-n",
            b"--",
            b"=",
            b"^",
            b"word",
            "ü€😀".as_bytes(),
            b"\xff",
            b"\xc3",
            b"\xff\n",
            b"\x01\x1e\x7f",
            b"\r",
        ];
        let length = self.next(5);
        (0..length)
            .flat_map(|_| PIECES[self.next(PIECES.len())].to_vec())
            .collect()
    }

    fn vector(&mut self) -> Vec<Vec<u8>> {
        (0..=self.next(5)).map(|_| self.argument()).collect()
    }
}

/// A word that no generated argument can be.
const END: &[u8] = b"end-of-vector";

fn shown(arguments: &[Vec<u8>]) -> String {
    let shown: Vec<_> = arguments
        .iter()
        .map(|one| one.escape_ascii().to_string())
        .collect();
    shown.join(" | ")
}

/// Sends vectors, several in one command line, and compares what comes back.
fn round_trip(host: &Host, vectors: &[Vec<Vec<u8>>]) {
    let sent: Vec<Vec<u8>> = vectors
        .iter()
        .flat_map(|vector| vector.iter().cloned().chain([END.to_vec()]))
        .collect();
    let args = sent.iter().cloned().map(OsString::from_vec);
    let finished = host.run(&Command::new("printf").arg("%s\\0").args(args));
    let output = finished
        .unwrap_or_else(|error| panic!("{error}: {}", shown(&sent)))
        .stdout;
    let expected: Vec<u8> = sent
        .iter()
        .flat_map(|arg| arg.iter().copied().chain([0]))
        .collect();
    if output != expected {
        let got: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
        let first = sent
            .iter()
            .zip(&got)
            .find(|(sent, got)| sent.as_slice() != **got);
        panic!(
            "{}: {:?}",
            host.name(),
            first.map(|(sent, got)| (
                sent.escape_ascii().to_string(),
                got.escape_ascii().to_string()
            ))
        );
    }
}

fn through_login_shells(name: &str, options: &Options, vectors: usize, at_a_time: usize) {
    let Some(lab) = lab() else { return };
    let machine = lab.host(name, Kind::Plain);
    let users = [
        ("guest", "/bin/sh"),
        ("op", "/bin/bash"),
        ("fisher", "/usr/bin/fish"),
    ];
    for (seed, (user, shell)) in users.into_iter().enumerate() {
        let entry = machine.sh(&format!("getent passwd {user}")).expect(0).out();
        assert!(entry.trim().ends_with(shell), "{entry}");
        let address = format!("{user}@{name}");
        let host = &Host::connect(&address, Some(&address), options).unwrap();
        let mut random = Random(seed as u64 + 1);
        let all: Vec<_> = (0..vectors).map(|_| random.vector()).collect();
        thread::scope(|scope| {
            for half in all.chunks(all.len().div_ceil(4)) {
                scope.spawn(move || {
                    for some in half.chunks(at_a_time) {
                        round_trip(host, some);
                    }
                });
            }
        });
    }
}

#[test]
fn a_thousand_vectors_arrive_unchanged_under_sh_bash_and_fish() {
    through_login_shells("quoting-1", &options(), 1000, 20);
}

#[test]
fn over_another_ssh_they_do_too() {
    through_login_shells("quoting-2", &over_ssh(), 1000, 50);
}

#[test]
fn nul_is_refused_before_anything_is_sent() {
    let Some(lab) = lab() else { return };
    let machine = lab.host("quoting-3", Kind::Plain);
    let host = Host::connect(machine.name(), None, &options()).unwrap();
    let error = host
        .run(&Command::new("echo").arg(OsString::from_vec(b"a\0b".to_vec())))
        .unwrap_err();
    assert_eq!(error.to_string(), "argument 'a\\0b' holds a NUL byte");
    let long = host
        .run(&Command::new("echo").arg("x".repeat(40_000)))
        .unwrap_err();
    assert!(matches!(long, Error::TooLong { .. }), "{long}");
    assert_eq!(long.status(), Status::Usage);
    assert!(host.run(&Command::new("true")).unwrap().success());
}
