//! Which of the standard streams were there when the process began.
//!
//! Rust opens /dev/null in the place of those that are closed, before `main`. What is written then is lost with success, and
//! what is read is empty, as if somebody had said so. Only before that can it be seen.

#![expect(
    unsafe_code,
    reason = "looking before main takes an entry of the loader's list"
)]

use std::{
    io,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::{Errno, fcntl_getfd};

static CLOSED: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

// SAFETY: the loader calls what this section lists, with arguments that a function of C may leave unread.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look;

extern "C" fn look() {
    for (number, closed) in (0..).zip(&CLOSED) {
        // SAFETY: the number is only asked about; that it may be closed is the question.
        let stream = unsafe { BorrowedFd::borrow_raw(number) };
        closed.store(fcntl_getfd(stream) == Err(Errno::BADF), Ordering::Relaxed);
    }
}

/// An error if stdin was closed.
pub(crate) fn stdin() -> io::Result<()> {
    was_open(0)
}

/// An error if stdout was closed.
pub(crate) fn stdout() -> io::Result<()> {
    was_open(1)
}

fn was_open(number: usize) -> io::Result<()> {
    if CLOSED[number].load(Ordering::Relaxed) {
        return Err(Errno::BADF.into());
    }
    Ok(())
}
