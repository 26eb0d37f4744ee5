use std::io::{BufReader, Read};

use super::*;

const NONE: &[u8] = include_bytes!("../../golden/pg15-none.dump");
const GZIP: &[u8] = include_bytes!("../../golden/pg15-gzip.dump");

/// Reads a byte at a time: no primitive may depend on how the bytes arrive.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.0.len().min(1);
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

fn rows(scan: &Scan) -> Vec<(&str, &str, Option<u64>)> {
    let mut rows: Vec<_> = scan
        .tables
        .iter()
        .map(|table| (table.schema.as_str(), table.name.as_str(), table.rows))
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn a_whole_archive_tells_what_it_holds() {
    let none = scan(NONE).unwrap();
    assert_eq!(
        (none.header.version, none.header.compression),
        ((1, 14), Compression::None)
    );
    assert_eq!(none.header.database, "golden");
    assert!(
        none.header.pg_dump.starts_with("15.18"),
        "{:?}",
        none.header
    );
    assert!(
        none.header.local_time.starts_with("2026-"),
        "{:?}",
        none.header
    );
    let expected = [
        ("public", "Odd \"name\"\né", Some(3)),
        ("public", "portal", Some(20)),
        ("s p", "empty", Some(0)),
    ];
    assert_eq!(rows(&none), expected);
    assert_eq!(
        (none.large_objects.count, none.large_objects.bytes),
        (2, 5005)
    );
    assert_eq!(none.bytes, NONE.len() as u64);
}

#[test]
fn compression_changes_nothing_of_what_is_found() {
    let (none, gzip) = (scan(NONE).unwrap(), scan(GZIP).unwrap());
    assert_eq!(gzip.header.compression, Compression::Gzip);
    assert_eq!(none.tables, gzip.tables);
    assert_eq!(none.large_objects, gzip.large_objects);
}

#[test]
fn it_does_not_matter_how_the_bytes_arrive() {
    assert_eq!(
        scan(BufReader::with_capacity(1, Drip(NONE)))
            .unwrap()
            .tables,
        scan(NONE).unwrap().tables
    );
}

#[test]
fn every_truncation_is_seen() {
    for archive in [NONE, GZIP] {
        for length in 0..archive.len() {
            let damage = scan(&archive[..length]).unwrap_err();
            let is_truncation = matches!(damage.fault, Fault::Truncated | Fault::Missing { .. });
            assert!(
                is_truncation && damage.offset == length as u64,
                "{length}: {damage}"
            );
        }
    }
}

#[test]
fn no_flipped_bit_panics_and_compressed_rows_cannot_hide_one() {
    let whole = scan(GZIP).unwrap();
    for place in (0..GZIP.len() * 8).step_by(5) {
        let mut flipped = GZIP.to_vec();
        flipped[place / 8] ^= 1 << (place % 8);
        if let Ok(found) = scan(&*flipped) {
            // Definitions carry no checksum of their own; the rows do.
            assert_eq!(found.large_objects, whole.large_objects, "bit {place}");
            let sums = |scan: &Scan| {
                scan.tables
                    .iter()
                    .map(|table| table.sha256.clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(sums(&found), sums(&whole), "bit {place}");
        }
    }
}

#[test]
fn other_versions_and_files_are_named() {
    let mut newer = NONE.to_vec();
    newer[6] = 99;
    assert_eq!(
        scan(&*newer).unwrap_err().to_string(),
        "archive format 1.99 is newer than 1.16 at byte 8"
    );
    newer[6] = 3;
    assert_eq!(
        scan(&*newer).unwrap_err().to_string(),
        "archive format 1.3 is older than 1.14 at byte 8"
    );
    assert_eq!(
        scan(&b"--\n-- PostgreSQL"[..]).unwrap_err().to_string(),
        "this is no custom archive of pg_dump at byte 1"
    );
}

#[test]
fn a_stray_or_double_block_is_damage() {
    let mut double = NONE.to_vec();
    double.extend_from_slice(&[DATA, 0, 1, 0, 0, 0]);
    assert!(matches!(scan(&*double).unwrap_err().fault, Fault::Stray(1)));
    double.truncate(NONE.len());
    double.push(7);
    assert!(matches!(scan(&*double).unwrap_err().fault, Fault::Block(7)));
}

/// The same archive as `PostgreSQL` 16 would have written it: 1.15 names the method of compression where 1.14 has a level.
fn as_of_16(archive: &[u8], method: u8) -> Vec<u8> {
    const LEVEL: std::ops::Range<usize> = 11..16;
    let mut of_16 = archive.to_vec();
    of_16[6] = 15;
    of_16.splice(LEVEL, [method]);
    of_16
}

#[test]
fn the_format_between_is_read_too() {
    for (archive, method, compression) in
        [(NONE, 0, Compression::None), (GZIP, 1, Compression::Gzip)]
    {
        let (of_15, of_16) = (
            scan(archive).unwrap(),
            scan(&*as_of_16(archive, method)).unwrap(),
        );
        assert_eq!(
            (of_16.header.version, of_16.header.compression),
            ((1, 15), compression)
        );
        assert_eq!(
            (of_15.tables, of_15.large_objects),
            (of_16.tables, of_16.large_objects)
        );
        assert_eq!(of_16.bytes + 4, archive.len() as u64);
    }
    let unknown = scan(&*as_of_16(NONE, 9)).unwrap_err();
    assert!(
        unknown
            .to_string()
            .contains("9 is no possible method of compression"),
        "{unknown}"
    );
}
