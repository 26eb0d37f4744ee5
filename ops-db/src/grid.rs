//! Rows of a query as an aligned table for people. Widths come from the rows at hand, so memory does not grow with the answer.

use std::io::{self, Write};

use ops_common::report::printable;

/// Rows that are aligned with each other.
const PAGE: usize = 1000;

/// A table in the making.
pub struct Grid<'a> {
    header: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
    output: &'a mut dyn Write,
}

impl<'a> Grid<'a> {
    /// A table with these columns; without names it has no header.
    pub fn new(names: &[String], output: &'a mut dyn Write) -> Self {
        let header: Vec<_> = names.iter().map(|name| cell(Some(name))).collect();
        let widths = header.iter().map(|name| width(name)).collect();
        Self {
            header: Some(header).filter(|header| !header.is_empty()),
            rows: Vec::new(),
            widths,
            output,
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[Option<String>]) -> io::Result<()> {
        let row: Vec<_> = row.iter().map(|value| cell(value.as_deref())).collect();
        self.widths.resize(row.len().max(self.widths.len()), 0);
        for (width_so_far, value) in self.widths.iter_mut().zip(&row) {
            *width_so_far = (*width_so_far).max(width(value));
        }
        self.rows.push(row);
        if self.rows.len() == PAGE {
            self.print()
        } else {
            Ok(())
        }
    }

    /// Prints what is left.
    pub fn finish(mut self) -> io::Result<()> {
        self.print()
    }

    fn print(&mut self) -> io::Result<()> {
        for row in self.header.take().into_iter().chain(self.rows.drain(..)) {
            let padded = row
                .iter()
                .zip(&self.widths)
                .map(|(value, to)| format!("{value}{}", " ".repeat(to - width(value))));
            writeln!(
                self.output,
                "{}",
                padded.collect::<Vec<_>>().join("  ").trim_end()
            )?;
        }
        Ok(())
    }
}

fn cell(value: Option<&str>) -> String {
    printable(value.unwrap_or_default())
        .replace('\n', "\\n")
        .replace('\t', "\\t")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_value() {
        let mut output = Vec::new();
        let mut grid = Grid::new(&["a".to_owned(), "name".to_owned()], &mut output);
        grid.push(&[Some("é long".to_owned()), None]).unwrap();
        grid.push(&[None, Some("x\ny\u{1b}".to_owned())]).unwrap();
        grid.finish().unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "a       name\né long\n        x\\ny\\u{1b}\n"
        );
    }
}
