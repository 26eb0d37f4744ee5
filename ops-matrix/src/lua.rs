//! Programs in nginx configurations: where one ends.

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Goes past the brace that closes the block, over the strings and comments of Lua; none if there is no such brace.
pub(crate) fn skip(characters: &mut Characters<'_>, line: &mut usize) -> Option<()> {
    let mut open = 1;
    loop {
        let character = next(characters, line)?;
        match character {
            '{' => open += 1,
            '}' if open == 1 => return Some(()),
            '}' => open -= 1,
            '"' | '\'' => quoted(characters, line, character)?,
            '[' => long(characters, line).map_or(Some(()), |closed| closed.then_some(()))?,
            '-' if characters.next_if_eq(&'-').is_some() => comment(characters, line)?,
            _ => (),
        }
    }
}

fn next(characters: &mut Characters<'_>, line: &mut usize) -> Option<char> {
    let character = characters.next()?;
    *line += usize::from(character == '\n');
    Some(character)
}

fn quoted(characters: &mut Characters<'_>, line: &mut usize, quote: char) -> Option<()> {
    loop {
        match next(characters, line)? {
            '\\' => drop(next(characters, line)?),
            character if character == quote => return Some(()),
            _ => (),
        }
    }
}

/// To the end of the line, or of the long bracket that follows at once.
fn comment(characters: &mut Characters<'_>, line: &mut usize) -> Option<()> {
    if characters.next_if_eq(&'[').is_some()
        && let Some(closed) = long(characters, line)
    {
        return closed.then_some(());
    }
    while characters.next_if(|&next| next != '\n').is_some() {}
    Some(())
}

/// Behind `[`: a string `[==[ ... ]==]`, and whether it is closed; none if it is no such string.
fn long(characters: &mut Characters<'_>, line: &mut usize) -> Option<bool> {
    let mut level = 0;
    while characters.next_if_eq(&'=').is_some() {
        level += 1;
    }
    characters.next_if_eq(&'[')?;
    let end = format!("]{}]", "=".repeat(level));
    let mut seen = String::new();
    while !seen.ends_with(&end) {
        let Some(character) = next(characters, line) else {
            return Some(false);
        };
        seen.push(character);
    }
    Some(true)
}
