//! The shape of the work on a big file, counted instead of timed: how often memory is asked for, for each value. A second
//! parse, or a copy of every ciphertext, shows here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ops_secrets::cipher::DataKey;
use ops_secrets::crypt::{Checks, Keep, Stash};
use ops_secrets::file::{self, Encrypted, Plan};
use ops_secrets::format::{Format, Indent};
use ops_secrets::metadata::{Group, MasterKey, Metadata};
use ops_secrets::rules::Rules;
use zeroize::Zeroizing;

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

#[expect(
    unsafe_code,
    reason = "an allocator cannot be written otherwise; this one only counts and hands on"
)]
// SAFETY: every call goes to the allocator of the system as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn key() -> DataKey {
    DataKey::from_bytes(Zeroizing::new(vec![7; 32])).expect("32 bytes")
}

fn plain(format: Format, keys: usize) -> String {
    let pair = |number: usize| match format {
        Format::Json => format!("\t\"key{number}\": \"value {number}\""),
        _ => format!("key{number}: value {number}"),
    };
    let pairs: Vec<String> = (0..keys).map(pair).collect();
    match format {
        Format::Json => format!("{{\n{}\n}}\n", pairs.join(",\n")),
        _ => pairs.join("\n") + "\n",
    }
}

/// How often memory is asked for to encrypt and to decrypt a file of so many keys.
fn counts(format: Format, keys: usize) -> [usize; 2] {
    let rules = Rules::new(|_| None, false).expect("the default rules");
    let mut metadata = Metadata::new(&rules);
    let group: Group = vec![MasterKey::Age {
        recipient: "age1".to_owned(),
        wrapped: "wrapped".to_owned(),
    }];
    metadata.set_groups(&[group], 1);
    let mut plan = Plan {
        metadata,
        key: key(),
        sealed: true,
        allow_plaintext: false,
        indent: Indent::default(),
    };
    let text = plain(format, keys);
    let bytes = text.clone().into_bytes();
    let before = COUNT.load(Ordering::Relaxed);
    let sealed = file::encrypt(
        Path::new("plain"),
        format,
        bytes,
        &mut plan,
        &mut Stash::default(),
    )
    .expect("it is encrypted");
    let encrypted = COUNT.load(Ordering::Relaxed) - before;
    let bytes = sealed.as_bytes().to_vec();
    let before = COUNT.load(Ordering::Relaxed);
    let mut file = Encrypted::parse(PathBuf::from("sealed"), bytes, format).expect("it is read");
    let opened = (file.open(&key(), Checks::ALL, Keep::Nothing)).expect("it is decrypted");
    let decrypted = COUNT.load(Ordering::Relaxed) - before;
    assert!(opened.text.as_slice() == text.as_bytes(), "it comes back");
    [encrypted, decrypted]
}

#[test]
fn each_value_costs_few_allocations() {
    const MORE: usize = 4_000;
    // The key and the value. What is written as JSON is parsed once more to read it back: the key again.
    for (format, encrypt) in [(Format::Yaml, 2), (Format::Json, 3)] {
        let (few, many) = (counts(format, MORE), counts(format, 2 * MORE));
        for (verb, at, most) in [("encrypt", 0, encrypt), ("decrypt", 1, 2)] {
            let more = many[at] - few[at];
            // What grows by doubling, and the threads, ask for memory a few times more.
            assert!(
                (MORE..=most * MORE + MORE / 50).contains(&more),
                "{verb} {format:?}: {more} allocations for {MORE} values more"
            );
        }
    }
}
