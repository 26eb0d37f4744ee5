//! One stream, two readers: it is written down and examined at the same time, in constant memory.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How much travels at a time, and how many of those may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 16;

/// What travels: a buffer that both sides look at, and that is used again when both have seen it.
#[derive(Clone)]
struct Piece {
    buffer: Arc<Vec<u8>>,
    length: usize,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

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
                piece: None,
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

/// The end is said, so that a source that fails is not taken for one that ends.
fn copy(
    source: &mut dyn Read,
    sink: &mut dyn Write,
    sender: SyncSender<Option<Piece>>,
) -> Result<u64, Broken> {
    let (mut used, mut copied, mut sender) = (Vec::new(), 0, Some(sender));
    loop {
        let mut buffer = unused(&mut used);
        let length = match Arc::get_mut(&mut buffer) {
            Some(buffer) => fill(source, buffer).map_err(Broken::Source)?,
            None => unreachable!("nobody else has an unused buffer"),
        };
        let piece = Piece { buffer, length };
        // An examiner that has found damage reads no more; the copy goes on, and its end decides.
        if sender
            .as_ref()
            .is_some_and(|sender| sender.send((length > 0).then(|| piece.clone())).is_err())
        {
            sender = None;
        }
        if length == 0 {
            return Ok(copied);
        }
        sink.write_all(piece.bytes()).map_err(Broken::Sink)?;
        copied += length as u64;
        used.push(piece.buffer);
    }
}

/// The buffer used last that the examiner is done with, which is still in the processor's cache; a new one if it has all.
fn unused(used: &mut Vec<Arc<Vec<u8>>>) -> Arc<Vec<u8>> {
    let is_free = |buffer: &mut Arc<Vec<u8>>| Arc::get_mut(buffer).is_some();
    let place = (0..used.len())
        .rev()
        .find(|place| is_free(&mut used[*place]));
    place.map_or_else(|| Arc::new(vec![0; PIECE]), |place| used.remove(place))
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
    receiver: Receiver<Option<Piece>>,
    piece: Option<Piece>,
    at: usize,
    is_ended: bool,
}

impl BufRead for Copy {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let is_read = |piece: &Piece| self.at == piece.length;
        if self.piece.as_ref().is_none_or(is_read) && !self.is_ended {
            // Given back first, so that it can be filled again meanwhile.
            (self.piece, self.at) = (None, 0);
            match self.receiver.recv() {
                Ok(Some(piece)) => self.piece = Some(piece),
                Ok(None) => self.is_ended = true,
                Err(_) => return Err(io::Error::other("the source failed")),
            }
        }
        Ok(self
            .piece
            .as_ref()
            .map_or(&[], |piece| &piece.bytes()[self.at..]))
    }

    fn consume(&mut self, taken: usize) {
        self.at += taken;
    }
}

impl Read for Copy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let taken = there.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&there[..taken]);
        self.consume(taken);
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
