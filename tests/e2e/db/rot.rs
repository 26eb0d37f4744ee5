//! Backups that have lost their end or a bit: whatever their kind, with the manifest beside and without, none passes.

use std::fs;
use std::path::{Path, PathBuf};

use ops_tests::{Lab, skip, tool};

use crate::scene::{SHAPE, backup, fill, key, server, shaped};

/// What may be said of a broken one.
#[derive(Clone, Copy)]
enum Says {
    /// That it is broken.
    Fail,
    /// That, or that nobody can know.
    NotOk,
}

struct Kind<'a> {
    /// The file as it was written, or the directory.
    whole: PathBuf,
    ending: &'a str,
    more: Vec<String>,
    says: Says,
}

fn rounds() -> usize {
    if std::env::var_os("OPS_TEST_LONG").is_some() {
        1000
    } else {
        200
    }
}

/// The places of flipped bits: spread by the golden ratio, the same every time.
fn bits(length: usize, rounds: usize) -> impl Iterator<Item = usize> {
    (0..rounds).map(move |round| (round + 1) * 618_033_989 % (length * 8))
}

fn flipped(whole: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = whole.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

/// Every piece of the file up to a boundary, and every flip, under names of their own.
fn broken(kind: &Kind, folder: &Path) -> Vec<String> {
    let whole = fs::read(&kind.whole).unwrap();
    let manifest = fs::read(format!("{}.manifest.json", kind.whole.display())).ok();
    let mut names = Vec::new();
    let mut put = |name: String, bytes: &[u8]| {
        for manifest in [None, manifest.as_ref()] {
            let name = format!("{name}-{}.{}", manifest.is_some(), kind.ending);
            fs::write(folder.join(&name), bytes).unwrap();
            if let Some(manifest) = manifest {
                fs::write(folder.join(format!("{name}.manifest.json")), manifest).unwrap();
            }
            names.push(name);
        }
    };
    for length in (0..whole.len()).step_by(4096).chain([whole.len() - 8]) {
        put(format!("cut-{length}"), &whole[..length]);
    }
    for bit in bits(whole.len(), rounds()) {
        put(format!("bit-{bit}"), &flipped(&whole, bit));
    }
    names
}

fn assert_seen(names: &[String], folder: &Path, more: &[String], says: Says) {
    for names in names.chunks(200) {
        let ran = tool("ops-db")
            .args(["verify", "--json"])
            .args(more)
            .args(names)
            .dir(folder)
            .run();
        assert!(matches!(ran.status, 65 | 3), "{}", ran.err());
        let verdicts = ran.json();
        assert_eq!(verdicts.len(), names.len());
        for verdict in verdicts {
            let has_manifest = verdict["subject"].as_str().unwrap().contains("-true.");
            match says {
                _ if has_manifest => assert_eq!(verdict["status"], "fail", "{verdict}"),
                Says::Fail => assert_eq!(verdict["status"], "fail", "{verdict}"),
                Says::NotOk => assert_ne!(verdict["status"], "ok", "{verdict}"),
            }
        }
    }
    let listed = tool("ops-db")
        .args(["backups", "--json"])
        .arg(folder)
        .run()
        .expect(0)
        .json();
    let passing: Vec<_> = listed
        .iter()
        .filter(|backup| backup["state"] == "ok")
        .collect();
    assert!(passing.is_empty(), "{passing:?}");
    let pruned = tool("ops-db")
        .arg("prune")
        .arg(folder)
        .args(["--last", "1", "--yes"])
        .run();
    assert_eq!(pruned.expect(0).out(), "");
}

#[test]
fn every_truncation_and_every_flipped_bit_is_seen() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = server(lab, "db-rot");
    let sql = format!(
        "{SHAPE}; CREATE TABLE t AS SELECT i, md5(i::text) AS h FROM generate_series(1, 1500) i"
    );
    fill(&host, "mautrix_slack", &sql);
    let folder = tempfile::tempdir().unwrap();
    let (key, public) = key(folder.path());
    let stream = |name: &str, more: &[&str]| {
        let ran = tool("ops-db")
            .args(["backup", "mautrix_slack", "--host", "db-rot"])
            .args(more)
            .run();
        let path = folder.path().join(name);
        fs::write(&path, ran.expect(0).stdout).unwrap();
        path
    };
    let take = |more: &[&str]| backup("db-rot", "mautrix_slack", folder.path(), more);
    let open = vec!["--identity".to_owned(), key.clone()];
    let kind = |whole, ending, more: &[String], says| Kind {
        whole,
        ending,
        more: more.to_vec(),
        says,
    };
    for kind in [
        kind(take(&[]), "dump.zst", &[], Says::Fail),
        // A flipped bit in the list of recipients makes it somebody else's.
        kind(
            take(&["--recipient", &public]),
            "dump.zst.age",
            &open,
            Says::NotOk,
        ),
        kind(stream("x.sql", &[]), "sql", &[], Says::NotOk),
        kind(stream("x.dump", &["--custom"]), "dump", &[], Says::NotOk),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let names = broken(&kind, folder.path());
        assert!(names.len() > 2 * rounds(), "{}", kind.ending);
        assert_seen(&names, folder.path(), &kind.more, kind.says);
    }
}

#[test]
fn every_part_of_a_directory_is_watched() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let _host = shaped(lab, "db-rot-parts");
    let folder = tempfile::tempdir().unwrap();
    let whole = backup(
        "db-rot-parts",
        "mautrix_slack",
        folder.path(),
        &["--streams", "2"],
    );
    let manifest = fs::read(format!("{}.manifest.json", whole.display())).unwrap();
    let broken = folder.path().join("broken");
    fs::create_dir(&broken).unwrap();
    let mut names = Vec::new();
    let parts: Vec<_> = fs::read_dir(&whole)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(parts.len() >= 4, "{parts:?}");
    let mut put = |name: String, part: &str, bytes: Option<&[u8]>| {
        for with_manifest in [false, true] {
            let name = format!("{name}-{part}-{with_manifest}.parts");
            let copy = broken.join(&name);
            fs::create_dir(&copy).unwrap();
            for other in parts.iter().filter(|other| *other != part) {
                fs::copy(whole.join(other), copy.join(other)).unwrap();
            }
            if let Some(bytes) = bytes {
                fs::write(copy.join(part), bytes).unwrap();
            }
            if with_manifest {
                fs::write(broken.join(format!("{name}.manifest.json")), &manifest).unwrap();
            }
            names.push(name);
        }
    };
    for part in &parts {
        let bytes = fs::read(whole.join(part)).unwrap();
        put("gone".to_owned(), part, None);
        for length in (0..bytes.len()).step_by(4096).chain([bytes.len() - 8]) {
            put(format!("cut-{length}"), part, Some(&bytes[..length]));
        }
        for bit in bits(bytes.len(), rounds() / 10) {
            put(format!("bit-{bit}"), part, Some(&flipped(&bytes, bit)));
        }
    }
    assert_seen(&names, &broken, &[], Says::Fail);
}
