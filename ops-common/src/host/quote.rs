//! Argument vectors to words of a command line that sh, bash, zsh and fish all read back as the same bytes.
//!
//! The shells agree on less than one would think. Inside single quotes a POSIX shell takes everything as it stands, while
//! fish reads `\\` and `\'`; inside double quotes a backquote is a command for one and a letter for the other. What they
//! do agree on:
//!
//! - `'...'` without a quote or a backslash in it is exactly its bytes, newlines too;
//! - `\\`, `\'` and `\$` outside quotes are a backslash, a quote and a dollar (fish 4.0 takes a dollar inside single
//!   quotes for one inside double quotes if a substitution stands before it in the same word);
//! - `"$(printf '\ooo')"` is the byte of that octal number. It is needed only for bytes that are not UTF-8, which not
//!   every shell and not every locale lets through in the command line itself. The substitution drops newlines at its
//!   end, so a newline never travels this way.

use super::Error;

/// Quotes one argument as one shell word.
///
/// # Errors
///
/// A NUL byte, which no argument of a Unix program can hold.
pub fn quote(argument: &[u8]) -> Result<Vec<u8>, Error> {
    let mut line = Vec::with_capacity(argument.len() + 2);
    push(&mut line, argument)?;
    Ok(line)
}

/// Quotes an argument vector as one command line, the words separated by blanks.
///
/// # Errors
///
/// A NUL byte in any of them.
pub fn quote_all<'a>(arguments: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Error> {
    let mut line = Vec::new();
    for argument in arguments {
        if !line.is_empty() {
            line.push(b' ');
        }
        push(&mut line, argument)?;
    }
    Ok(line)
}

fn push(line: &mut Vec<u8>, argument: &[u8]) -> Result<(), Error> {
    if argument.contains(&0) {
        return Err(Error::NulInArgument {
            argument: String::from_utf8_lossy(argument).replace('\0', "\\0"),
        });
    }
    if argument.is_empty() {
        line.extend_from_slice(b"''");
    } else if argument.iter().all(|byte| is_plain(*byte)) {
        line.extend_from_slice(argument);
    } else {
        for chunk in argument.utf8_chunks() {
            push_text(line, chunk.valid().as_bytes());
            push_octal(line, chunk.invalid());
        }
    }
    Ok(())
}

/// Letters that mean themselves everywhere in every shell. `%`, `=`, `~` and `^` are not among them: fish and zsh give
/// them a meaning at the start of a word.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:,@+".contains(&byte)
}

fn push_text(line: &mut Vec<u8>, text: &[u8]) {
    for run in text.chunk_by(|left, right| is_escaped(*left) == is_escaped(*right)) {
        if is_escaped(run[0]) {
            line.extend(run.iter().flat_map(|byte| [b'\\', *byte]));
        } else {
            line.push(b'\'');
            line.extend_from_slice(run);
            line.push(b'\'');
        }
    }
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'\'' | b'\\' | b'$')
}

fn push_octal(line: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    line.extend_from_slice(b"\"$(printf '");
    for byte in bytes {
        line.extend_from_slice(format!("\\{byte:03o}").as_bytes());
    }
    line.extend_from_slice(b"')\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(argument: &[u8]) -> String {
        String::from_utf8(quote(argument).unwrap()).unwrap()
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(
            quoted(b"/run/postgresql/.s.PGSQL.5432"),
            "/run/postgresql/.s.PGSQL.5432"
        );
        assert_eq!(quoted(b"--since=5m"), "'--since=5m'");
    }

    #[test]
    fn quotes_and_backslashes_stand_outside_the_quotes() {
        assert_eq!(quoted(b""), "''");
        assert_eq!(quoted(b"it's"), r"'it'\''s'");
        assert_eq!(quoted(br"a\nb"), r"'a'\\'nb'");
        assert_eq!(quoted(b"$(id)\n"), "\\$'(id)\n'");
    }

    #[test]
    fn bytes_that_are_not_utf8_travel_as_octal() {
        assert_eq!(quoted(b"x\xff\n"), "'x'\"$(printf '\\377')\"'\n'");
        assert_eq!(quoted("ü".as_bytes()), "'ü'");
    }

    #[test]
    fn nul_is_refused() {
        assert!(
            matches!(quote(b"a\0b"), Err(Error::NulInArgument { argument }) if argument == "a\\0b")
        );
    }
}
