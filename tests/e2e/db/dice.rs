//! Chance that can be repeated.

/// A sequence that is the same every time.
pub(crate) struct Dice(u64);

impl Dice {
    /// The sequence that begins with this number.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of so many sides, counted from 0.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}
