//! Values of a big document, encrypted or decrypted on all processors ahead of the walk that uses them.
//!
//! What is gathered at once is bounded, however long the paths and values are.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{Fault, shown};
use crate::cipher::{self, Cipher, Nonces};
use crate::tree::{Comment, Scalar, Value};
use crate::walk::{Spot, Visitor};

/// Texts shorter than this are not worth a second walk.
pub(super) const BIG: usize = 32 * 1024;

/// How many values are gathered before they are worked on.
const MOST: usize = 8 * 1024;

/// How many bytes of paths or values are gathered before they are worked on.
const ROOM: usize = 256 * 1024;

/// How many values a thread must have so that it pays.
const LEAST: usize = 256;

/// Works on the jobs in parts, one for each thread. The results come in the order of the jobs.
fn spread<J: Sync, T: Send>(jobs: &[J], work: impl Fn(&[J]) -> T + Sync) -> Vec<T> {
    let most = jobs.len().div_ceil(LEAST);
    let threads = if most > 1 {
        std::thread::available_parallelism().map_or(1, |count| count.get().min(most))
    } else {
        1
    };
    let mut parts = jobs.chunks(jobs.len().div_ceil(threads).max(1));
    std::thread::scope(|scope| {
        let work = &work;
        let own = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut results: Vec<T> = own.into_iter().map(work).collect();
        for other in others {
            results.push(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        results
    })
}

/// Decrypts the ciphertexts that stand in the source as they are.
pub(super) struct Opening<'o> {
    cipher: &'o Cipher,
    source: &'o str,
    jobs: Vec<(Range<usize>, Range<usize>)>,
    paths: String,
    values: Vec<Result<Value, cipher::Fault>>,
}

impl<'o> Opening<'o> {
    pub(super) fn new(cipher: &'o Cipher, source: &'o str) -> Self {
        Self {
            cipher,
            source,
            jobs: Vec::new(),
            paths: String::new(),
            values: Vec::new(),
        }
    }

    fn work(&mut self) {
        let (cipher, source, paths) = (self.cipher, self.source, &self.paths);
        let parts = spread(&self.jobs, |jobs| {
            let open = |(text, path): &(Range<usize>, Range<usize>)| {
                cipher.open(&source[text.clone()], &paths[path.clone()])
            };
            jobs.iter().map(open).collect::<Vec<_>>()
        });
        self.values.extend(parts.into_iter().flatten());
        self.jobs.clear();
        self.paths.clear();
    }

    /// The values, in the order of the document.
    pub(super) fn finish(mut self) -> std::vec::IntoIter<Result<Value, cipher::Fault>> {
        self.work();
        self.values.into_iter()
    }
}

impl Visitor for Opening<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        if !spot.selected || !scalar.place.lent {
            return Ok(());
        }
        let start = self.paths.len();
        self.paths.push_str(spot.path);
        self.jobs
            .push((scalar.place.inside(), start..self.paths.len()));
        if self.jobs.len() >= MOST || self.paths.len() >= ROOM {
            self.work();
        }
        Ok(())
    }

    fn comment(&mut self, _: &mut Comment, _: &Spot<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

/// Encrypts the values that are to be encrypted.
pub(super) struct Closing<'c> {
    cipher: &'c Cipher,
    jobs: Vec<Job>,
    paths: String,
    plain: Zeroizing<Vec<u8>>,
    sealed: Sealed,
}

struct Job {
    plain: Range<usize>,
    path: Range<usize>,
    kind: &'static str,
}

/// Ciphertexts, in the order of the document.
#[derive(Default)]
pub(super) struct Sealed {
    /// The texts: those of each part, one behind the other.
    pub(super) texts: Vec<String>,
    /// Where each ciphertext stands: the number of its text, and the place in that.
    pub(super) places: Vec<(usize, Range<usize>)>,
}

/// The ciphertexts of one thread, one behind the other, and where each ends.
struct Part {
    text: String,
    ends: Vec<usize>,
}

/// Whether a value is encrypted at all where it stands.
pub(super) fn is_closed(scalar: &Scalar, spot: &Spot<'_>) -> bool {
    spot.selected && !scalar.value.is_empty() && !scalar.place.alias && !scalar.place.typed
}

impl<'c> Closing<'c> {
    pub(super) fn new(cipher: &'c Cipher) -> Self {
        Self {
            cipher,
            jobs: Vec::new(),
            paths: String::new(),
            plain: Zeroizing::new(Vec::with_capacity(ROOM)),
            sealed: Sealed::default(),
        }
    }

    fn work(&mut self) -> Result<(), Fault> {
        let parts = spread(&self.jobs, |jobs| self.seal(jobs));
        for part in parts {
            let Part { text, ends } = part?;
            let mut start = 0;
            for end in ends {
                let place = (self.sealed.texts.len(), start..end);
                self.sealed.places.push(place);
                start = end;
            }
            self.sealed.texts.push(text);
        }
        self.jobs.clear();
        self.paths.clear();
        self.plain.clear();
        Ok(())
    }

    fn seal(&self, jobs: &[Job]) -> Result<Part, Fault> {
        let mut nonces = Nonces::default();
        let sizes = || jobs.iter().map(|job| job.plain.len());
        let mut part = Part {
            text: String::with_capacity(sizes().map(cipher::sealed_size).sum()),
            ends: Vec::with_capacity(jobs.len()),
        };
        let longest = sizes().max().unwrap_or(0);
        let mut data = Zeroizing::new(Vec::with_capacity(longest));
        for job in jobs {
            let path = &self.paths[job.path.clone()];
            data.clear();
            data.extend_from_slice(&self.plain[job.plain.clone()]);
            (self.cipher)
                .seal_bytes(&mut nonces, &mut data, job.kind, path, &mut part.text)
                .map_err(|source| Fault::Close {
                    path: shown(path),
                    source,
                })?;
            part.ends.push(part.text.len());
        }
        Ok(part)
    }

    /// Encrypts what is left.
    pub(super) fn finish(mut self) -> Result<Sealed, Fault> {
        self.work()?;
        Ok(self.sealed)
    }
}

impl Visitor for Closing<'_> {
    type Error = Fault;

    fn value(&mut self, scalar: &mut Scalar, spot: &Spot<'_>) -> Result<(), Fault> {
        if !is_closed(scalar, spot) {
            return Ok(());
        }
        let bytes = cipher::encode(&scalar.value);
        if self.plain.len() + bytes.len() > self.plain.capacity() {
            self.work()?;
            // A value that is bigger than all the room gets as much as it needs; what was there is empty.
            if bytes.len() > self.plain.capacity() {
                self.plain = Zeroizing::new(Vec::with_capacity(bytes.len()));
            }
        }
        let (start, path_start) = (self.plain.len(), self.paths.len());
        self.plain.extend_from_slice(&bytes);
        self.paths.push_str(spot.path);
        self.jobs.push(Job {
            plain: start..self.plain.len(),
            path: path_start..self.paths.len(),
            kind: cipher::kind(&scalar.value),
        });
        if self.jobs.len() >= MOST || self.paths.len() >= ROOM {
            self.work()?;
        }
        Ok(())
    }

    fn comment(&mut self, _: &mut Comment, _: &Spot<'_>) -> Result<(), Fault> {
        Ok(())
    }
}
