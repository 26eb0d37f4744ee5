//! The text form of `COPY ... TO STDOUT`: one line for a row, TAB between values, `\N` for null.

use std::io::{self, Write};

/// One row: its values, none for null.
pub type Row = Vec<Option<String>>;

/// The rows of a small answer.
#[must_use]
pub fn rows(text: &[u8]) -> Vec<Row> {
    let text = String::from_utf8_lossy(text);
    text.lines().map(row).collect()
}

/// One line without its newline.
#[must_use]
pub fn row(line: &str) -> Row {
    let value = |text| (text != "\\N").then(|| plain(text));
    line.split('\t').map(value).collect()
}

/// Takes the backslashes off.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next().map(escaped)),
            other => plain.push(other),
        }
    }
    plain
}

fn escaped(character: char) -> char {
    match character {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        other => other,
    }
}

/// Cuts a stream into lines, and hands each on without its newline.
pub struct Lines<F> {
    each: F,
    rest: Vec<u8>,
}

impl<F: FnMut(&str) -> io::Result<()>> Lines<F> {
    /// Hands lines to `each`.
    pub fn new(each: F) -> Self {
        Self {
            each,
            rest: Vec::new(),
        }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.rest);
        (self.each)(&String::from_utf8_lossy(&line))
    }
}

impl<F: FnMut(&str) -> io::Result<()>> Write for Lines<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines.try_for_each(|line| {
            self.rest
                .extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            if line.ends_with(b"\n") {
                self.hand_on()
            } else {
                Ok(())
            }
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_the_database_holds() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            row("a\t\\N\t\tb\\tc\\\\d\\ne"),
            [some("a"), None, some(""), some("b\tc\\d\ne")]
        );
        assert_eq!(row("\\\\N"), [some("\\N")], "text that looks like null");
        assert_eq!(rows(b"1\n2\n").len(), 2);
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let mut found = Vec::new();
        let mut lines = Lines::new(|line: &str| {
            found.push(line.to_owned());
            Ok(())
        });
        for piece in ["a", "b\nc\n", "", "\nd\n"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        drop(lines);
        assert_eq!(found, ["ab", "c", "", "d"]);
    }
}
