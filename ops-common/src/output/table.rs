//! Aligned columns with a header. Only the terminal has them, so only the terminal waits for the last record.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::cell;

/// Rows that wait for their columns' widths.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
    header_told: bool,
}

impl Table {
    /// Adds a row. Rows with other columns than those before it start a table of their own.
    pub(super) fn push(&mut self, row: Vec<(&'static str, Value)>) {
        let row = join_units(row);
        let (columns, values): (Vec<_>, Vec<_>) = row.into_iter().unzip();
        self.columns = columns;
        self.rows.push(values);
    }

    /// Whether this is the first record: a header comes before it.
    pub(super) fn header_due(&mut self) -> bool {
        !std::mem::replace(&mut self.header_told, true)
    }

    /// The whole table as text; nothing where there are no rows.
    pub(super) fn render(&self, color: bool) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let header = self
            .columns
            .iter()
            .map(|column| heading(column))
            .collect::<Vec<_>>();
        let body = self.rows.iter().map(|row| {
            let cells = self.columns.iter().zip(row);
            cells
                .map(|(column, value)| cell::human(column, value))
                .collect::<Vec<_>>()
        });
        let lines: Vec<_> = std::iter::once(header).chain(body).collect();
        let widths: Vec<_> = (0..self.columns.len())
            .map(|column| {
                lines
                    .iter()
                    .map(|line| line[column].width())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let right: Vec<_> = (0..self.columns.len())
            .map(|column| {
                self.rows
                    .iter()
                    .any(|row| row[column].is_number() || is_measured(self.columns[column]))
            })
            .collect();
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            let style = color.then(|| style(number, &self.columns, line)).flatten();
            text.push_str(&render_line(line, &widths, &right, style));
            text.push('\n');
        }
        text
    }
}

/// A finding's value and limit are shown with their unit, which then needs no column of its own.
fn join_units(mut row: Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    let Some(place) = row.iter().position(|(column, _)| *column == "unit") else {
        return row;
    };
    let (_, unit) = row.remove(place);
    for (column, value) in &mut row {
        if let ("value" | "limit", Some(number)) = (*column, value.as_f64()) {
            *value = Value::from(cell::measured(number, unit.as_str().unwrap_or("")));
        }
    }
    row
}

/// `size_bytes` is headed SIZE: the cells carry the unit.
fn heading(column: &str) -> String {
    let name = column
        .strip_suffix("_bytes")
        .or_else(|| column.strip_suffix("_s"))
        .unwrap_or(column);
    let name = name
        .strip_suffix("_at")
        .filter(|name| !name.is_empty())
        .unwrap_or(name);
    name.replace('_', " ").to_uppercase()
}

/// The header is dim, and a finding's line has the colour of its status.
fn style(number: usize, columns: &[&str], line: &[String]) -> Option<&'static str> {
    if number == 0 {
        return Some("\x1b[2m");
    }
    let status = columns.iter().position(|column| *column == "status")?;
    match line[status].as_str() {
        "ok" => Some("\x1b[32m"),
        "warn" => Some("\x1b[33m"),
        "fail" => Some("\x1b[31m"),
        "unknown" => Some("\x1b[35m"),
        _ => None,
    }
}

fn is_measured(column: &str) -> bool {
    matches!(column, "value" | "limit")
}

fn render_line(cells: &[String], widths: &[usize], right: &[bool], style: Option<&str>) -> String {
    let mut line = String::new();
    for (number, cell) in cells.iter().enumerate() {
        let padding = " ".repeat(widths[number] - cell.width());
        let cell = if right[number] {
            format!("{padding}{cell}")
        } else {
            format!("{cell}{padding}")
        };
        line.push_str(&cell);
        line.push_str("  ");
    }
    let line = line.trim_end();
    style.map_or_else(|| line.to_owned(), |on| format!("{on}{line}\x1b[0m"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_numbers_to_the_right() {
        let mut table = Table::default();
        table.push(vec![
            ("name", json!("öps")),
            ("size_bytes", json!(1024)),
            ("last_vacuum_at", json!(null)),
        ]);
        table.push(vec![
            ("name", json!("matrix")),
            ("size_bytes", json!(12)),
            ("last_vacuum_at", json!(null)),
        ]);
        assert_eq!(
            table.render(false),
            "NAME       SIZE  LAST VACUUM\nöps     1.0 KiB  -\nmatrix     12 B  -\n"
        );
    }

    #[test]
    fn a_value_is_shown_with_its_unit() {
        let mut table = Table::default();
        let row = |value, unit: &str| {
            vec![
                ("check", json!("a.b")),
                ("value", json!(value)),
                ("unit", json!(unit)),
                ("limit", json!(null)),
            ]
        };
        table.push(row(0.0123, "s"));
        table.push(row(20_188_524_544.0, "B"));
        table.push(row(99.5, "%"));
        assert_eq!(
            table.render(false),
            "CHECK     VALUE  LIMIT\na.b        12ms      -\na.b    18.8 GiB      -\na.b       99.5%      -\n"
        );
    }

    #[test]
    fn nothing_is_printed_for_no_rows() {
        assert_eq!(Table::default().render(true), "");
    }
}
