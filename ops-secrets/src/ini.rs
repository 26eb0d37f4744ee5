//! INI as go-ini reads and writes it: sections of keys, one comment for each.

mod parse;
mod spell;
mod write;

pub use parse::parse;
pub use spell::{comment_text, conceal, respell, scalar};
pub use write::{embed, strip, write};
