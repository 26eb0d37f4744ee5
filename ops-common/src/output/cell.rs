//! One value of a record as the different forms write it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::report::{acts_on_terminal, printable};

/// As TSV has it: tab, newline, carriage return and backslash written `\t \n \r \\`, null empty.
pub(super) fn tsv(value: &Value) -> String {
    let text = plain(value);
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => cell.push_str("\\t"),
            '\n' => cell.push_str("\\n"),
            '\r' => cell.push_str("\\r"),
            '\\' => cell.push_str("\\\\"),
            c => cell.push(c),
        }
    }
    cell
}

/// As CSV has it.
pub(super) fn csv(value: &Value) -> String {
    csv_text(&plain(value))
}

/// A text as CSV has it: quoted where it must be.
pub(super) fn csv_text(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// A line of JSON that is harmless on a terminal and means the same: its own escapes leave out what only some terminals obey.
pub(super) fn json_for_terminal(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for c in line.chars() {
        if acts_on_terminal(c) {
            safe += &format!("\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// As a person on a terminal reads it, given the column that it stands in.
pub(super) fn human(column: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match (column, number.as_f64()) {
            (_, Some(number)) if column.ends_with("_bytes") => bytes(number),
            (_, Some(number)) if column.ends_with("_s") => seconds(number),
            _ => plain(value),
        },
        Value::String(text) if column == "at" || column.ends_with("_at") => local(text),
        _ => printable(&plain(value))
            .replace('\n', "\\n")
            .replace('\t', "\\t"),
    }
}

/// A measured number with its unit, as a person reads it.
pub(super) fn measured(number: f64, unit: &str) -> String {
    match unit {
        "s" => seconds(number),
        "B" => bytes(number),
        "%" => format!("{number}%"),
        "" => number.to_string(),
        unit => format!("{number} {unit}"),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number_text(number),
        other => other.to_string(),
    }
}

fn number_text(number: &serde_json::Number) -> String {
    // A measured 3.0 is written 3, as every other tool in a pipe writes it.
    match number.as_f64() {
        Some(value) if number.is_f64() => value.to_string(),
        _ => number.to_string(),
    }
}

fn bytes(number: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{value} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

/// Two units at most: `3d 4h`, `12m 5s`, `3.2s`, `15ms`.
fn seconds(number: f64) -> String {
    if number < 0.0 || !number.is_finite() {
        return format!("{number}s");
    }
    if number < 1.0 && number > 0.0 {
        return format!("{:.0}ms", number * 1000.0);
    }
    if number < 60.0 {
        return format!("{}s", (number * 10.0).round() / 10.0);
    }
    let whole = std::time::Duration::from_secs_f64(number).as_secs();
    let (large, small) = match whole {
        0..3600 => ((whole / 60, "m"), (whole % 60, "s")),
        3600..86_400 => ((whole / 3600, "h"), (whole % 3600 / 60, "m")),
        _ => ((whole / 86_400, "d"), (whole % 86_400 / 3600, "h")),
    };
    if small.0 == 0 {
        format!("{}{}", large.0, large.1)
    } else {
        format!("{}{} {}{}", large.0, large.1, small.0, small.1)
    }
}

fn local(text: &str) -> String {
    let Ok(instant) = text.parse::<Timestamp>() else {
        return printable(text);
    };
    instant
        .to_zoned_datetime(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tsv_is_one_line_and_one_cell() {
        assert_eq!(tsv(&json!("a\tb\nc\\d\r")), "a\\tb\\nc\\\\d\\r");
        assert_eq!(tsv(&json!(null)), "");
        assert_eq!(tsv(&json!(3.0)), "3");
        assert_eq!(tsv(&json!(12)), "12");
    }

    #[test]
    fn json_on_a_terminal_is_the_same_json() {
        let value = json!({"a": "\u{9b}31m \u{202e}x\t"});
        let line = json_for_terminal(&value.to_string());
        assert_eq!(line, r#"{"a":"\u009b31m \u202ex\t"}"#);
        assert_eq!(line.parse::<Value>().unwrap(), value);
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        assert_eq!(csv(&json!("a,\"b\"")), "\"a,\"\"b\"\"\"");
        assert_eq!(csv(&json!("a b")), "a b");
    }

    #[test]
    fn people_read_sizes_times_and_answers() {
        assert_eq!(human("size_bytes", &json!(1536)), "1.5 KiB");
        assert_eq!(human("size_bytes", &json!(12)), "12 B");
        assert_eq!(human("backup_age_s", &json!(273_600)), "3d 4h");
        assert_eq!(human("age_s", &json!(0.015)), "15ms");
        assert_eq!(human("age_s", &json!(3.21)), "3.2s");
        assert_eq!(human("age_s", &json!(120)), "2m");
        assert_eq!(human("in_space", &json!(true)), "yes");
        assert_eq!(human("name", &json!("\x1b[31m")), "\\u{1b}[31m");
    }
}
