//! Counting what libssh2 has received.
//!
//! libssh2 has one queue of packets for all channels of a session, and any call may fill it: while it looks for the data
//! of one channel it takes in that of the others. So "no call had anything for me, and the socket is empty" does not mean
//! that there is nothing: a later call of the same round may have emptied the socket into the queue. The link may sleep
//! only after a round in which nothing at all was received, and this is how it knows.

#![expect(
    unsafe_code,
    reason = "libssh2's receive callback is bound by neither ssh2 nor libssh2-sys"
)]

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    os::fd::BorrowedFd,
};

use libssh2_sys::LIBSSH2_SESSION;
use rustix::{io::Errno, net::RecvFlags};

thread_local! {
    /// Bytes received by this thread's calls of libssh2. A session is used by one thread at a time.
    static RECEIVED: Cell<u64> = const { Cell::new(0) };
}

type Receive = unsafe extern "C" fn(c_int, *mut c_void, usize, c_int, *mut *mut c_void) -> isize;

/// `LIBSSH2_CALLBACK_RECV` of libssh2.h.
const CALLBACK_RECV: c_int = 6;

unsafe extern "C" {
    fn libssh2_session_callback_set2(
        session: *mut LIBSSH2_SESSION,
        kind: c_int,
        callback: Receive,
    ) -> *mut c_void;
}

/// Makes a session count what it receives.
pub(super) fn count(session: &ssh2::Session) {
    // SAFETY: the session is valid and locked while `raw` is borrowed, and `receive` is what this kind of callback has to
    // be: LIBSSH2_RECV_FUNC of libssh2.h.
    unsafe { libssh2_session_callback_set2(&raw mut *session.raw(), CALLBACK_RECV, receive) };
}

/// How many bytes the calls of this thread have received so far.
pub(super) fn received() -> u64 {
    RECEIVED.get()
}

/// Does what libssh2's own function does, and counts.
unsafe extern "C" fn receive(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    _flags: c_int,
    _abstract: *mut *mut c_void,
) -> isize {
    // SAFETY: libssh2 passes the descriptor that the session was given, which the session owns and so keeps open, and a
    // buffer of `length` bytes that it owns; it had them initialised when it allocated or used them, and u8 has no
    // invalid values.
    let (socket, buffer) = unsafe {
        (
            BorrowedFd::borrow_raw(socket),
            std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length),
        )
    };
    match rustix::net::recv(socket, buffer, RecvFlags::empty()) {
        Ok((count, _)) => {
            RECEIVED.set(RECEIVED.get() + count as u64);
            count.cast_signed()
        }
        Err(Errno::INTR) => -(Errno::AGAIN.raw_os_error() as isize),
        Err(error) => -(error.raw_os_error() as isize),
    }
}
