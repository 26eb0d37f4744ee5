//! One stream, two readers: it is written down and examined at the same time, in constant memory.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How much travels at a time, and how many of those may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 16;

/// Which side failed.
#[derive(Debug)]
pub enum Broken {
    /// The source.
    Source(io::Error),
    /// The sink.
    Sink(io::Error),
}

/// Copies `source` to `sink` and lets `examine` read the same bytes in a thread of its own. Its reader ends where the source
/// ended; if the source fails, the reader fails.
pub fn tee<T: Send>(
    source: &mut dyn Read,
    sink: &mut dyn Write,
    examine: impl FnOnce(Copy) -> T + Send,
) -> (Result<u64, Broken>, T) {
    let (sender, receiver) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        let examiner = scope.spawn(move || {
            examine(Copy {
                receiver,
                piece: Arc::new([]),
                at: 0,
                is_ended: false,
            })
        });
        let copied = copy(source, sink, sender);
        let seen = examiner
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (copied, seen)
    })
}

type Piece = Option<Arc<[u8]>>;

/// The end is said, so that a source that fails is not taken for one that ends.
fn copy(
    source: &mut dyn Read,
    sink: &mut dyn Write,
    sender: SyncSender<Piece>,
) -> Result<u64, Broken> {
    let mut buffer = vec![0; PIECE];
    let (mut copied, mut sender) = (0, Some(sender));
    loop {
        let read = fill(source, &mut buffer).map_err(Broken::Source)?;
        let piece = (read > 0).then(|| Arc::from(&buffer[..read]));
        // An examiner that has found damage reads no more; the copy goes on, and its end decides.
        if sender
            .as_ref()
            .is_some_and(|sender| sender.send(piece).is_err())
        {
            sender = None;
        }
        if read == 0 {
            return Ok(copied);
        }
        sink.write_all(&buffer[..read]).map_err(Broken::Sink)?;
        copied += read as u64;
    }
}

/// Whole pieces where the source gives small ones.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The examiner's end.
pub struct Copy {
    receiver: Receiver<Piece>,
    piece: Arc<[u8]>,
    at: usize,
    is_ended: bool,
}

impl Read for Copy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.is_ended {
            match self.receiver.recv() {
                Ok(Some(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(None) => self.is_ended = true,
                Err(_) => return Err(io::Error::other("the source failed")),
            }
        }
        let there = &self.piece[self.at..];
        let taken = there.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&there[..taken]);
        self.at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut copy: Copy) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        copy.read_to_end(&mut found).map(|_| found)
    }

    #[test]
    fn both_see_the_same() {
        let content: Vec<u8> = (0..3_000_000_u32)
            .map(|number| number.to_le_bytes()[0])
            .collect();
        let mut sink = Vec::new();
        let (copied, seen) = tee(&mut &*content, &mut sink, all);
        assert_eq!(copied.unwrap(), content.len() as u64);
        assert!(sink == content && seen.unwrap() == content);
    }

    #[test]
    fn a_source_that_fails_is_no_end_for_the_examiner() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cut"))
            }
        }
        let (copied, seen) = tee(&mut Fails, &mut Vec::new(), all);
        assert!(matches!(copied.unwrap_err(), Broken::Source(_)));
        assert!(seen.is_err());
    }

    #[test]
    fn an_examiner_that_leaves_does_not_stop_the_copy() {
        let content = vec![7; PIECE * WAITING * 3];
        let mut sink = Vec::new();
        let (copied, ()) = tee(&mut &*content, &mut sink, drop);
        assert_eq!(copied.unwrap(), content.len() as u64);
        assert_eq!(sink.len(), content.len());
    }
}
