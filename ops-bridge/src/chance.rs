//! Random numbers for tests, the same each time.

/// A small generator of random numbers.
pub(crate) struct Chance(u64);

impl Chance {
    /// The same seed makes the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One that is less than the limit.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % limit.max(1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}
