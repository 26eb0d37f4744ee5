//! `ops-db query`: one query, its rows passed on as they come.
//!
//! What `COPY` can wrap goes through it: the server then writes the text of the rows itself. The rest (`SHOW`, `EXPLAIN`,
//! and everything with `--write`) goes through the simple protocol, row by row. Memory is constant in both.

mod objects;

use std::io::{self, Write};

use ops_common::output::Format;
use serde_json::{Map, Value};

use self::objects::{Objects, SameName, all_differ, plain_json};
use crate::copied::{self, Lines};
use crate::error::Error;
use crate::grid::Grid;
use crate::reach::{READ_ONLY, Server, UNDERSTOOD};
use crate::server::Answer;
use crate::sql;

/// What is asked, and how the answer shall look.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The database.
    pub database: &'a str,
    /// The query, its parameters filled in.
    pub sql: &'a str,
    /// The form.
    pub format: Format,
    /// Whether it may change anything.
    pub write: bool,
}

/// Asks, and prints to `output`.
pub fn ask(
    server: &Server<'_>,
    question: &Question<'_>,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let statements = sql::statements(question.sql);
    let answered = match (statements.as_slice(), question.write) {
        ([], _) => Err(Error::Usage("there is no query".to_owned())),
        ([statement], false) if is_wrapped(statement) => copy(server, question, statement, output),
        ([statement], false) => simple(server, question, is_harmless(statement), output),
        (_, true) => simple(server, question, true, output),
        (_, false) => Err(Error::Usage("several statements need --write".to_owned())),
    };
    answered.map_err(of_answer)
}

/// Whether `COPY` takes such a statement.
fn is_wrapped(statement: &str) -> bool {
    ["select", "with", "values", "table"]
        .iter()
        .any(|known| first_word(statement).eq_ignore_ascii_case(known))
}

fn first_word(statement: &str) -> &str {
    let mut start = statement;
    while let Some(rest) = start.strip_prefix('(') {
        start = sql::code(rest);
    }
    let end = start.find(|c: char| !c.is_ascii_alphabetic());
    &start[..end.unwrap_or(start.len())]
}

/// What else may be run in a session that only looks. A transaction that is read only lets much through that is not:
/// `ALTER SYSTEM`, `COPY ... TO PROGRAM`, `DO`, `VACUUM`.
fn is_harmless(statement: &str) -> bool {
    ["show", "explain"]
        .iter()
        .any(|known| first_word(statement).eq_ignore_ascii_case(known))
}

fn copy(
    server: &Server<'_>,
    question: &Question<'_>,
    select: &str,
    output: &mut dyn Write,
) -> Result<(), Error> {
    // The newline keeps a comment at the end of the query from hiding the parenthesis.
    let looker = server.looker_for_client(question.database)?;
    match question.format {
        Format::Csv => looker.copy(
            &format!("COPY ({select}\n) TO STDOUT (FORMAT csv, HEADER)"),
            output,
        ),
        Format::Json => {
            let mut objects = Objects::of(server.host().name());
            let mut lines = Lines::new(|line| objects.print(line, output));
            looker.copy(
                &format!(
                    "COPY (SELECT pg_catalog.row_to_json(q) FROM ({select}\n) AS q) TO STDOUT"
                ),
                &mut lines,
            )
        }
        Format::Text => {
            let names = looker.columns(select)?;
            let mut grid = Grid::new(&names, output);
            let mut lines = Lines::new(|line| grid.push(&copied::row(line)));
            looker.copy(&format!("COPY ({select}\n) TO STDOUT"), &mut lines)?;
            drop(lines);
            grid.finish().map_err(Error::Write)
        }
        _ => looker.copy(&format!("COPY ({select}\n) TO STDOUT"), output),
    }
}

fn simple(
    server: &Server<'_>,
    question: &Question<'_>,
    is_allowed: bool,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let session = server.session(question.database)?;
    session.execute(UNDERSTOOD)?;
    if !question.write {
        session.execute(READ_ONLY)?;
        // The server has the last word on what is one statement: of two, the first could allow the second to write.
        session.columns(question.sql)?;
    }
    if !is_allowed {
        return Err(Error::MayChange);
    }
    if !question.write {
        // EXPLAIN ANALYZE CREATE TABLE passes for reading, and makes the table.
        session.execute("BEGIN READ ONLY")?;
    }
    let mut rows = Rows {
        format: question.format,
        host: server.host().name(),
        names: Vec::new(),
        output,
    };
    session.each_row(question.sql, &mut |answer| {
        rows.take(answer).map_err(Error::Write)
    })?;
    if !question.write {
        session.execute("ROLLBACK")?;
    }
    Ok(())
}

/// Rows of the simple protocol in the form that was asked for. A table shows one row after the other, unaligned.
struct Rows<'a> {
    format: Format,
    host: &'a str,
    names: Vec<String>,
    output: &'a mut dyn Write,
}

impl Rows<'_> {
    fn take(&mut self, answer: Answer<'_>) -> io::Result<()> {
        match answer {
            Answer::Columns(names) => {
                self.names = names.iter().map(|name| (*name).to_owned()).collect();
                if self.format == Format::Json {
                    all_differ(&self.names)?;
                }
                match self.format {
                    Format::Csv => self.print(names.iter().map(|name| csv(Some(name))), ","),
                    Format::Text => {
                        let shown = |name: &&str| ops_common::report::printable(name);
                        self.print(names.iter().map(shown), "\t")
                    }
                    _ => Ok(()),
                }
            }
            Answer::Row(values) => match self.format {
                Format::Csv => self.print(values.iter().map(|value| csv(*value)), ","),
                Format::Json => self.object(values),
                Format::Text => self.print(
                    values
                        .iter()
                        .map(|value| ops_common::report::printable(value.unwrap_or_default())),
                    "\t",
                ),
                _ => self.print(
                    values
                        .iter()
                        .map(|value| value.map_or_else(|| "\\N".to_owned(), tsv)),
                    "\t",
                ),
            },
        }
    }

    fn print(&mut self, values: impl Iterator<Item = String>, between: &str) -> io::Result<()> {
        let values: Vec<_> = values.collect();
        writeln!(self.output, "{}", values.join(between))
    }

    fn object(&mut self, values: &[Option<&str>]) -> io::Result<()> {
        let mut object = Map::new();
        object.insert("host".to_owned(), self.host.into());
        object.extend(
            self.names
                .iter()
                .cloned()
                .zip(values.iter().map(|value| Value::from(*value))),
        );
        let text = Value::Object(object).to_string();
        writeln!(self.output, "{}", plain_json(&text))
    }
}

/// What went wrong with the answer, and not with writing it.
fn of_answer(error: Error) -> Error {
    match error {
        Error::Write(source) => match source.downcast::<SameName>() {
            Ok(SameName(name)) => Error::SameName(name),
            Err(source) => Error::Write(source),
        },
        error => error,
    }
}

fn tsv(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\u{8}', "\\b")
        .replace('\u{c}', "\\f")
        .replace('\u{b}', "\\v")
}

/// Null is nothing, and an empty text is `""`, as the server writes CSV.
fn csv(value: Option<&str>) -> String {
    match value {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, value: Option<&str>) -> String {
        let mut output = Vec::new();
        let mut rows = Rows {
            format,
            host: "h",
            names: Vec::new(),
            output: &mut output,
        };
        rows.take(Answer::Columns(&["a", "b"])).unwrap();
        rows.take(Answer::Row(&[Some("1"), value])).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn rows_of_the_simple_protocol_look_like_those_of_copy() {
        assert_eq!(printed(Format::Tsv, None), "1\t\\N\n");
        assert_eq!(printed(Format::Tsv, Some("x\ty\\\n")), "1\tx\\ty\\\\\\n\n");
        assert_eq!(
            printed(Format::Tsv, Some("\u{8}\u{b}\u{c}")),
            "1\t\\b\\v\\f\n"
        );
        assert_eq!(printed(Format::Csv, Some("x\"y")), "a,b\n1,\"x\"\"y\"\n");
        assert_eq!(printed(Format::Csv, None), "a,b\n1,\n");
        assert_eq!(
            printed(Format::Json, None),
            "{\"host\":\"h\",\"a\":\"1\",\"b\":null}\n"
        );
    }

    #[test]
    fn what_copy_takes() {
        for yes in [
            "SELECT 1",
            "with x as (select 1) table x",
            "(VALUES (1))",
            "TABLE portal",
            "( -- a comment\n ( /* another */ SELECT 1))",
        ] {
            assert!(is_wrapped(yes), "{yes}");
        }
        for no in [
            "SHOW x",
            "EXPLAIN SELECT 1",
            "selected",
            "UPDATE t SET a = 1",
        ] {
            assert!(!is_wrapped(no), "{no}");
        }
    }
}
