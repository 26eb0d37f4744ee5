//! What a plain YAML scalar means, and how numbers and instants are written: the rules of go-yaml v3, which sops follows.

use jiff::civil::{Date, Time};

use crate::tree::Value;

/// Resolves a plain scalar. `Err` holds an integer that sops cannot hold.
pub fn plain(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        _ => match text.as_bytes()[0] {
            b'0'..=b'9' | b'+' | b'-' => return number_or_time(text),
            b'.' => float(text).map_or_else(|| Value::text(text), Value::Float),
            _ => Value::text(text),
        },
    })
}

/// Whether a plain scalar means a text: the answer of [`plain`], without a copy of the text.
#[must_use]
pub fn is_text(text: &str) -> bool {
    match text.as_bytes().first() {
        None
        | Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'.' | b'+' | b'-' | b'0'..=b'9') =>
        {
            matches!(plain(text), Ok(Value::Text(_)))
        }
        Some(_) => true,
    }
}

fn number_or_time(text: &str) -> Result<Value, String> {
    if let Some(time) = timestamp(text) {
        return Ok(Value::Time(time));
    }
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    match integer(&digits) {
        Some(Ok(int)) => return Ok(Value::Int(int)),
        Some(Err(())) => return Err(text.to_owned()),
        None => {}
    }
    Ok(float(&digits).map_or_else(|| Value::text(text), Value::Float))
}

/// An integer as Go's `ParseInt` with base 0 reads it; `Some(Err)` is one that only fits 64 bits without a sign.
fn integer(text: &str) -> Option<Result<i64, ()>> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = rest.get(..2).map(str::to_ascii_lowercase);
    let (digits, radix) = match lower.as_deref() {
        Some("0x") => (&rest[2..], 16),
        Some("0o") => (&rest[2..], 8),
        Some("0b") => (&rest[2..], 2),
        _ if rest.len() > 1 && rest.starts_with('0') => (&rest[1..], 8),
        _ => (rest, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|c| (c as char).is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    match (negative, i64::try_from(value)) {
        (false, Ok(int)) => Some(Ok(int)),
        // `ParseUint` takes no sign: with one, the number becomes a float.
        (false, Err(_)) => (!text.starts_with('+')).then_some(Err(())),
        (true, Ok(int)) => Some(Ok(-int)),
        (true, Err(_)) => (value == i64::MIN.unsigned_abs()).then_some(Ok(i64::MIN)),
    }
}

/// A float as YAML spells it: digits with at most one point and an exponent.
fn float(text: &str) -> Option<f64> {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mantissa_end = rest.find(['e', 'E']).unwrap_or(rest.len());
    let (mantissa, exponent) = rest.split_at(mantissa_end);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent.get(1..) {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if digits.is_empty() || !all_digits(digits) {
            return None;
        }
    }
    // Go refuses what does not fit; Rust makes it infinite.
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// An instant in one of go-yaml's four spellings, as RFC 3339 with as many decimals as it needs.
fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 6 || bytes[4] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut rest = &text[5..];
    let year: i16 = text[..4].parse().ok()?;
    let month = short(&mut rest)?;
    rest = rest.strip_prefix('-')?;
    let day = short(&mut rest)?;
    let date = Date::new(year, month, day).ok()?;
    if rest.is_empty() {
        return Some(format!("{}T00:00:00Z", date.strftime("%Y-%m-%d")));
    }
    let zoned = rest.starts_with(['T', 't']);
    rest = rest.strip_prefix(['T', 't', ' '])?;
    let hour = short(&mut rest)?;
    rest = rest.strip_prefix(':')?;
    let minute = short(&mut rest)?;
    rest = rest.strip_prefix(':')?;
    let second = short(&mut rest)?;
    Time::new(hour, minute, second, 0).ok()?;
    let fraction = fraction(&mut rest)?;
    let zone = if zoned {
        zone(rest)?
    } else {
        rest.is_empty().then(|| "Z".to_owned())?
    };
    Some(format!(
        "{}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}",
        date.strftime("%Y-%m-%d")
    ))
}

/// One or two digits.
fn short(rest: &mut &str) -> Option<i8> {
    let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let value = rest
        .get(..digits)
        .filter(|digits| !digits.is_empty())?
        .parse()
        .ok()?;
    *rest = &rest[digits..];
    Some(value)
}

/// The decimals of a second, nine at most, without the zeros at their end.
fn fraction(rest: &mut &str) -> Option<String> {
    let Some(after) = rest.strip_prefix('.') else {
        return Some(String::new());
    };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let kept = after[..digits.min(9)].trim_end_matches('0');
    *rest = &after[digits..];
    Some(if kept.is_empty() {
        String::new()
    } else {
        format!(".{kept}")
    })
}

fn zone(text: &str) -> Option<String> {
    if text == "Z" {
        return Some(text.to_owned());
    }
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() != 6 || !matches!(bytes[0], b'+' | b'-') || bytes[3] != b':'
    {
        return None;
    }
    let (hours, minutes) = (number(&bytes[1..3])?, number(&bytes[4..6])?);
    if hours > 24 || minutes > 60 {
        return None;
    }
    Some(if hours == 0 && minutes == 0 {
        "Z".to_owned()
    } else {
        text.to_owned()
    })
}

/// Two digits.
fn number(digits: &[u8]) -> Option<u8> {
    digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| (digits[0] - b'0') * 10 + (digits[1] - b'0'))
}

/// Whether a text is an instant that sops can hold as one.
#[must_use]
pub fn is_timestamp(text: &str) -> bool {
    timestamp(text).is_some()
}

/// An instant in whole seconds, as sops binds its MAC to it.
#[must_use]
pub fn instant(text: &str) -> Option<String> {
    timestamp(text).map(|text| crate::dotenv::seconds(&text))
}

/// A float as go-yaml writes it: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
#[must_use]
pub fn write_float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    shortest(value, -4, 6, "e")
}

/// The shortest digits of a float, with an exponent (of two digits at least) where it is below `low` or at least `high`.
#[must_use]
pub fn shortest(value: f64, low: i32, high: i32, sign: &str) -> String {
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < low || exponent >= high {
        let lead = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}{sign}{lead}{:02}", exponent.abs())
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float_of(text: &str) -> String {
        match plain(text) {
            Ok(Value::Float(value)) => write_float(value),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (text, written) in [
            ("123456.7", "123456.7"),
            ("100000.0", "100000"),
            ("1000000.0", "1e+06"),
            ("1234567.8", "1.2345678e+06"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1e20", "1e+20"),
            ("1.0", "1"),
            (".5", "0.5"),
            ("08", "8"),
            ("-.inf", "-.inf"),
            (".nan", ".nan"),
            ("1_0.5", "10.5"),
        ] {
            assert_eq!(float_of(text), written, "{text}");
        }
    }

    #[test]
    fn integers_follow_parse_int() {
        for (text, value) in [
            ("017", 15),
            ("0x1F", 31),
            ("0o17", 15),
            ("-0b11", -3),
            ("1_000", 1000),
            ("+5", 5),
            ("0", 0),
        ] {
            assert_eq!(plain(text), Ok(Value::Int(value)), "{text}");
        }
        assert_eq!(
            plain("9223372036854775808"),
            Err("9223372036854775808".to_owned())
        );
        assert_eq!(plain("-9223372036854775808"), Ok(Value::Int(i64::MIN)));
    }

    #[test]
    fn texts_stay_texts() {
        for text in [
            "yes",
            "no",
            "on",
            "12:30:45",
            "0o8",
            "1.2.3",
            "-",
            "+",
            "1e",
            "a",
            "0x",
            "2024-13-01",
            "2024-1",
        ] {
            assert_eq!(plain(text), Ok(Value::text(text)), "{text}");
        }
    }

    #[test]
    fn instants_become_rfc_3339() {
        for (text, value) in [
            ("2024-01-02", "2024-01-02T00:00:00Z"),
            ("2024-1-2", "2024-01-02T00:00:00Z"),
            (
                "2024-01-02T03:04:05.1230+02:00",
                "2024-01-02T03:04:05.123+02:00",
            ),
            ("2024-01-02 3:4:5", "2024-01-02T03:04:05Z"),
            ("2024-01-02t03:04:05Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05+00:00", "2024-01-02T03:04:05Z"),
        ] {
            assert_eq!(plain(text), Ok(Value::Time(value.to_owned())), "{text}");
        }
    }
}
