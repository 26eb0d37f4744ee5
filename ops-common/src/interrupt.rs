//! SIGINT, SIGTERM and SIGHUP: clean up, then die of the signal, so that the parent sees what ended us.
//!
//! Whoever makes something that must not outlive the run registers how to remove it. The list is the one global of the
//! workspace: a process has only one set of signal handlers. Before the first program is started or clean-up registered
//! nobody listens: a signal then ends the run by itself, and a run that makes nothing is spared a thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::report::Report;

type CleanUp = Box<dyn FnOnce() + Send>;

static PENDING: Mutex<Vec<(u64, CleanUp)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static LISTENS: Once = Once::new();
static REPORT: OnceLock<Report> = OnceLock::new();

/// A registered clean-up. Dropping it forgets the clean-up without running it.
#[derive(Debug)]
#[must_use = "the clean-up is forgotten when this is dropped"]
pub struct Guard(u64);

/// Registers what to do if a signal ends the run. The last registered is done first.
pub fn guard(clean_up: impl FnOnce() + Send + 'static) -> Guard {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    PENDING
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((id, Box::new(clean_up)));
    listen();
    Guard(id)
}

/// Sees to it that the signals are listened to. Registering does so too, but what is made before that can be lost meanwhile.
pub fn listen() {
    LISTENS.call_once(|| {
        if let (Err(error), Some(report)) = (start(), REPORT.get()) {
            report.warn(format_args!("cannot clean up after signals: {error}"));
        }
    });
}

/// Says where it is told that signals cannot be listened to.
pub(crate) fn tell_to(report: &Report) {
    // Whoever was named first hears it.
    REPORT.get_or_init(|| report.clone());
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = pending
            .iter()
            .position(|(id, _)| *id == self.0)
            .map(|place| pending.remove(place));
        // The closure is dropped after the lock: what it owns may be guards too.
        drop(pending);
        drop(forgotten);
    }
}

/// Starts to listen for the signals, on a thread of its own.
///
/// A signal that the parent had ignored stays ignored, as `nohup` needs.
fn start() -> std::io::Result<()> {
    let ignored = ignored();
    let wanted = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(wanted)?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                run_all();
                // Fails only for a signal that cannot be handled at all, and those were not asked for.
                drop(emulate_default_handler(signal));
            }
        })?;
    Ok(())
}

fn run_all() {
    loop {
        let last = PENDING.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match last {
            Some((_, clean_up)) => clean_up(),
            None => return,
        }
    }
}

/// The mask of ignored signals from the kernel's own table: asking `sigaction` needs unsafe code.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
