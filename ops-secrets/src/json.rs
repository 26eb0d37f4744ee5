//! JSON: reading with places, writing as Go does (and so sops).

mod parse;
mod place;
mod write;

pub use parse::{parse, parse_encrypted, value};
pub use place::{element_region, embed, line_before, pair_region, strip};
pub use write::{is_bare, put, quote, scalar, write};

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(source: &str) -> String {
        write(&value(source).unwrap(), Some("\t"))
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (text, written) in [
            ("1", "1"),
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("1e21", "1e+21"),
            ("1e-7", "1e-7"),
            ("0.000001", "0.000001"),
            ("-0.0", "-0"),
        ] {
            assert_eq!(rewritten(text), written, "{text}");
        }
    }

    #[test]
    fn texts_are_escaped_as_go_escapes_them() {
        assert_eq!(
            rewritten(r#""<&>\u00e9\ud83d\ude00\u0001\/""#),
            "\"\\u003c\\u0026\\u003eé😀\\u0001/\""
        );
    }

    #[test]
    fn what_json_does_not_know_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            ".5",
            "+1",
            "nul",
            "\"\\x\"",
            "\"\n\"",
            "{'a':1}",
            "1 2",
            "[1 2]",
            "1e",
            "--1",
        ] {
            assert!(value(text).is_err(), "{text}");
        }
    }
}
