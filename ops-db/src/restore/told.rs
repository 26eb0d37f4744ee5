//! What an archive says of the database that it is of: whose it is, how it sorts, who may connect, what is set for it.

use postgres_protocol::escape::escape_literal;

use crate::archive::Entry;
use crate::error::Error;
use crate::reach::Server;
use crate::server::Session;
use crate::source::{Format, Opened};
use crate::sql::{self, Lexer, quote_name};

/// What an archive says; nothing of it stands in plain SQL.
#[derive(Debug, Default)]
pub(super) struct Told {
    database: Option<Entry>,
    /// Privileges and settings.
    statements: Vec<String>,
    comment: Option<String>,
}

impl Told {
    /// Reads the front of a backup.
    pub(super) fn by(backup: &mut Opened) -> Result<Self, Error> {
        let source = match backup {
            Opened::One(source) => Some(source),
            Opened::Directory(directory) => directory.sources.first_mut(),
        };
        match source {
            Some(source) if source.format == Format::Archive => Ok(Self::of(source.contents()?)),
            _ => Ok(Self::default()),
        }
    }

    fn of(entries: Vec<Entry>) -> Self {
        let mut told = Self::default();
        for entry in entries {
            let is_about_it = entry.name.starts_with("DATABASE ");
            match entry.kind.as_str() {
                "DATABASE" => told.database = Some(entry),
                "DATABASE PROPERTIES" => told.add(&entry.definition),
                "ACL" if is_about_it => told.add(&entry.definition),
                "COMMENT" if is_about_it => told.comment = Some(entry.definition),
                _ => {}
            }
        }
        told
    }

    fn add(&mut self, statements: &str) {
        let statements = sql::statements(statements).into_iter();
        self.statements.extend(statements.map(str::to_owned));
    }

    /// Words for `CREATE DATABASE name TEMPLATE template0`. A role that is not here is left to `pg_restore`, which needs it
    /// for more than that.
    pub(super) fn creation(&self, home: &Session) -> Result<String, Error> {
        let Some(entry) = &self.database else {
            return Ok(String::new());
        };
        let role = escape_literal(&entry.owner);
        let found = home.rows(&format!("SELECT 1 FROM pg_roles WHERE rolname = {role}"))?;
        let owner = if found.is_empty() {
            String::new()
        } else {
            format!(" OWNER {}", quote_name(&entry.owner))
        };
        Ok(format!("{owner}{}", locale(entry)))
    }

    /// Gives privileges and settings to a database. What names a role or a setting that this server does not have is left
    /// out, and said.
    pub(super) fn adorn(
        &self,
        server: &Server<'_>,
        home: &Session,
        name: &str,
    ) -> Result<(), Error> {
        for statement in self
            .statements
            .iter()
            .filter_map(|statement| self.about(statement, name))
        {
            match home.execute(&statement) {
                Err(Error::Query(refusal)) if refusal.is_of_something_unknown() => {
                    server
                        .report()
                        .warn(format_args!("left out: {statement}: {refusal}"));
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// The statement that gives a database its comment, if it has one.
    pub(super) fn comment(&self, name: &str) -> Option<String> {
        let comment = sql::statements(self.comment.as_deref()?).first().copied()?;
        self.about(comment, name)
    }

    /// A statement about the database of the archive as one about another; nothing if it is about something else.
    fn about(&self, statement: &str, name: &str) -> Option<String> {
        const KEYWORD: &str = "DATABASE ";
        let (mut lexer, mut at) = (Lexer::default(), 0);
        while at < statement.len() {
            if lexer == Lexer::Code && statement[at..].starts_with(KEYWORD) {
                let (found, rest) = sql::name(&statement[at + KEYWORD.len()..])?;
                let is_it = self
                    .database
                    .as_ref()
                    .is_some_and(|entry| entry.name == found);
                let (before, name) = (&statement[..at], quote_name(name));
                return is_it.then(|| format!("{before}{KEYWORD}{name}{rest}"));
            }
            at = lexer.step(statement.as_bytes(), at);
            while !statement.is_char_boundary(at) {
                at += 1;
            }
        }
        None
    }
}

/// Makes a database that is only compared with the backup, as much like its own as this machine can: what is upper case, and
/// so what a check lets in, is the locale's choice, and sums go by bytes, so by the encoding.
pub fn create_alike(home: &Session, name: &str, backup: &mut Opened) -> Result<(), Error> {
    let create = |words: &str| {
        home.execute(&format!(
            "CREATE DATABASE {} TEMPLATE template0{words}",
            quote_name(name)
        ))
    };
    let Some(entry) = Told::by(backup)?.database else {
        return create("");
    };
    match create(locale(&entry)) {
        Err(Error::Query(refusal)) if !refusal.is_loss() && !refusal.is_io() => {
            create(&without_locale(&entry))
        }
        done => done,
    }
}

/// Encoding and locale, as `pg_dump` wrote them.
fn locale(entry: &Entry) -> &str {
    entry
        .definition
        .rsplit_once(" WITH TEMPLATE = template0")
        .map_or("", |(_, words)| words.trim_end().trim_end_matches(';'))
}

/// The encoding alone, which every locale named C can have.
fn without_locale(entry: &Entry) -> String {
    let encoding = locale(entry)
        .split_once("ENCODING = '")
        .and_then(|(_, words)| words.split('\'').next());
    encoding.map_or_else(String::new, |encoding| {
        format!(" ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, name: &str, definition: &str) -> Entry {
        Entry {
            id: 1,
            kind: kind.to_owned(),
            schema: String::new(),
            name: name.to_owned(),
            owner: String::new(),
            definition: definition.to_owned(),
            has_data: false,
            copied_into: None,
        }
    }

    #[test]
    fn the_words_of_a_locale_stand_behind_the_template() {
        let found = entry(
            "DATABASE",
            "a WITH TEMPLATE = template0",
            "CREATE DATABASE \"a WITH TEMPLATE = template0\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C';\n\n",
        );
        assert_eq!(locale(&found), " ENCODING = 'UTF8' LOCALE = 'C'");
        assert_eq!(
            without_locale(&found),
            " ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        assert_eq!(
            locale(&entry("DATABASE", "shop", "CREATE DATABASE shop;")),
            ""
        );
    }

    #[test]
    fn what_is_said_of_one_database_is_said_of_another() {
        let told = Told::of(vec![
            entry("DATABASE", "it's \"é\"", ""),
            entry(
                "DATABASE PROPERTIES",
                "it's \"é\"",
                "ALTER DATABASE \"it's \"\"é\"\"\" SET search_path TO 'a;', 'é';\nALTER ROLE \"DATABASE x\" IN DATABASE \"it's \"\"é\"\"\" SET work_mem TO '6MB';\n",
            ),
            entry(
                "ACL",
                "DATABASE \"it's \"\"é\"\"\"",
                "REVOKE ALL ON DATABASE \"it's \"\"é\"\"\" FROM PUBLIC;\nSET SESSION AUTHORIZATION x;\nGRANT CONNECT ON DATABASE other TO y;\n",
            ),
            entry("ACL", "TABLE t", "GRANT SELECT ON TABLE t TO y;"),
            entry(
                "COMMENT",
                "DATABASE \"it's \"\"é\"\"\"",
                "COMMENT ON DATABASE \"it's \"\"é\"\"\" IS 'DATABASE x; y';\n",
            ),
        ]);
        let about_n = |statement: &String| told.about(statement, "n");
        let found: Vec<_> = told.statements.iter().filter_map(about_n).collect();
        assert_eq!(
            found,
            [
                "ALTER DATABASE \"n\" SET search_path TO 'a;', 'é'",
                "ALTER ROLE \"DATABASE x\" IN DATABASE \"n\" SET work_mem TO '6MB'",
                "REVOKE ALL ON DATABASE \"n\" FROM PUBLIC",
            ]
        );
        assert_eq!(
            told.comment("n").unwrap(),
            "COMMENT ON DATABASE \"n\" IS 'DATABASE x; y'"
        );
    }
}
