//! A queue of bytes that knows when it is full enough.

use std::collections::VecDeque;

/// How much may wait in a queue: output for the caller, input for the transport.
pub(super) const ROOM: usize = 1 << 20;

/// Bytes in the pieces in which they came, the first one perhaps half used.
#[derive(Default)]
pub(super) struct Chunks {
    pieces: VecDeque<Vec<u8>>,
    used: usize,
    length: usize,
}

impl Chunks {
    pub(super) fn push(&mut self, piece: Vec<u8>) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let mut piece = self.pieces.pop_front()?;
        if self.used > 0 {
            piece.drain(..self.used);
            self.used = 0;
        }
        self.length -= piece.len();
        Some(piece)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        while let Some(piece) = self.pieces.front().filter(|_| filled < buffer.len()) {
            let rest = &piece[self.used..];
            let count = rest.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
            self.used += count;
            if self.used == piece.len() {
                self.pieces.pop_front();
                self.used = 0;
            }
        }
        self.length -= filled;
        filled
    }

    pub(super) fn is_full(&self) -> bool {
        self.length >= ROOM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_reads_need_not_match() {
        let mut chunks = Chunks::default();
        for piece in ["abc", "", "de", "f"] {
            chunks.push(piece.into());
        }
        let mut buffer = [0; 4];
        assert_eq!(chunks.read(&mut buffer), 4);
        assert_eq!(&buffer, b"abcd");
        assert_eq!(chunks.pop().unwrap(), b"e");
        assert_eq!(chunks.read(&mut buffer), 1);
        assert_eq!((chunks.read(&mut buffer), chunks.pop()), (0, None));
    }
}
