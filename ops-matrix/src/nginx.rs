//! The syntax of nginx configurations: directives, blocks, quotes, includes.

use crate::lua;

/// How deep files may include files before it is called a loop.
const DEEPEST_INCLUDE: usize = 16;

/// Why a configuration could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NginxError {
    /// A quote or a block that is never closed, or a brace too many.
    #[error("{file}:{line}: {what}")]
    Syntax {
        /// Which file.
        file: String,
        /// The line where it was noticed.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// An include that includes itself.
    #[error("'{0}' is included more than {DEEPEST_INCLUDE} deep")]
    IncludeLoop(String),
}

/// One directive, with its block if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its name and arguments, unquoted.
    pub words: Vec<String>,
    /// What stands in its braces.
    pub block: Vec<Directive>,
    /// The file it stands in.
    pub file: String,
    /// Its line in that file.
    pub line: usize,
}

impl Directive {
    /// The directive's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Its arguments.
    #[must_use]
    pub fn args(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Where it stands, for people.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// Reads a configuration. `include` gives the files that a pattern names, each with its path and its text.
pub fn read(
    file: &str,
    text: &str,
    include: &dyn Fn(&str) -> Vec<(String, String)>,
) -> Result<Vec<Directive>, NginxError> {
    read_nested(file, text, include, 0)
}

fn read_nested(
    file: &str,
    text: &str,
    include: &dyn Fn(&str) -> Vec<(String, String)>,
    depth: usize,
) -> Result<Vec<Directive>, NginxError> {
    if depth > DEEPEST_INCLUDE {
        return Err(NginxError::IncludeLoop(file.to_owned()));
    }
    let mut tokens = tokenize(file, text)?.into_iter();
    let directives = block(file, &mut tokens, false)?;
    expand(directives, include, depth)
}

/// Puts the directives of included files where the `include` stood, as nginx does.
fn expand(
    directives: Vec<Directive>,
    include: &dyn Fn(&str) -> Vec<(String, String)>,
    depth: usize,
) -> Result<Vec<Directive>, NginxError> {
    let mut expanded = Vec::new();
    for mut directive in directives {
        if directive.name() == "include" {
            for pattern in directive.args() {
                for (path, text) in include(pattern) {
                    expanded.extend(read_nested(&path, &text, include, depth + 1)?);
                }
            }
            continue;
        }
        directive.block = expand(std::mem::take(&mut directive.block), include, depth)?;
        expanded.push(directive);
    }
    Ok(expanded)
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String, usize),
    Open(usize),
    Close(usize),
    End(usize),
}

/// Reads directives up to the end of the file, or of the block that is open.
fn block(
    file: &str,
    tokens: &mut std::vec::IntoIter<Token>,
    inside: bool,
) -> Result<Vec<Directive>, NginxError> {
    let file = || file.to_owned();
    let at = |line, what| NginxError::Syntax {
        file: file(),
        line,
        what,
    };
    let mut directives = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let (mut start, mut last) = (0, 0);
    while let Some(token) = tokens.next() {
        let inner = match token {
            Token::Word(word, line) => {
                start = if words.is_empty() { line } else { start };
                last = line;
                words.push(word);
                continue;
            }
            Token::Close(_) if inside && words.is_empty() => return Ok(directives),
            Token::Close(line) => return Err(at(line, "a closing brace where none is expected")),
            Token::End(line) => {
                last = line;
                Vec::new()
            }
            Token::Open(line) => {
                last = line;
                block(&file(), tokens, true)?
            }
        };
        // A semicolon by itself is no directive.
        if !words.is_empty() {
            let words = std::mem::take(&mut words);
            directives.push(Directive {
                words,
                block: inner,
                file: file(),
                line: start,
            });
        }
    }
    match (inside, words.is_empty()) {
        (true, _) => Err(at(last, "the file ends inside a block")),
        (false, false) => Err(at(start, "a directive without its semicolon")),
        (false, true) => Ok(directives),
    }
}

/// Splits into words, braces and semicolons; quotes, backslashes and comments as nginx has them.
fn tokenize(file: &str, text: &str) -> Result<Vec<Token>, NginxError> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    let mut line = 1;
    while let Some(character) = characters.next() {
        match character {
            '\n' => line += 1,
            _ if character.is_whitespace() => (),
            '#' => while characters.next_if(|&next| next != '\n').is_some() {},
            ';' => tokens.push(Token::End(line)),
            '{' if is_lua(&tokens) => {
                tokens.push(Token::Open(line));
                lua::skip(&mut characters, &mut line).ok_or_else(|| NginxError::Syntax {
                    file: file.to_owned(),
                    line,
                    what: "the file ends inside a block",
                })?;
                tokens.push(Token::Close(line));
            }
            '{' => tokens.push(Token::Open(line)),
            '}' => tokens.push(Token::Close(line)),
            '"' | '\'' => {
                let start = line;
                let word = quoted(&mut characters, character, &mut line);
                let what = "a quote that is never closed";
                let word = word.ok_or_else(|| NginxError::Syntax {
                    file: file.to_owned(),
                    line: start,
                    what,
                })?;
                tokens.push(Token::Word(word, start));
            }
            _ => tokens.push(Token::Word(bare(&mut characters, character), line)),
        }
    }
    Ok(tokens)
}

/// Whether the block that opens is a program, which has quotes, comments and braces of its own.
fn is_lua(tokens: &[Token]) -> bool {
    let directive = tokens
        .rsplit(|token| !matches!(token, Token::Word(..)))
        .next();
    matches!(directive, Some([Token::Word(name, _), ..]) if name.ends_with("_by_lua_block"))
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn quoted(characters: &mut Characters<'_>, quote: char, line: &mut usize) -> Option<String> {
    let mut word = String::new();
    loop {
        let character = characters.next()?;
        match character {
            _ if character == quote => return Some(word),
            '\\' => match characters.next()? {
                escaped if escaped == quote || escaped == '\\' => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            _ => {
                *line += usize::from(character == '\n');
                word.push(character);
            }
        }
    }
}

fn bare(characters: &mut Characters<'_>, first: char) -> String {
    let mut word = String::from(first);
    let mut variable = first == '$';
    let mut escaped = first == '\\';
    while let Some(&next) = characters.peek() {
        // What a backslash stands before ends no word, as in the regular expression `\{`.
        if escaped {
            escaped = false;
            word.extend(characters.next());
            continue;
        }
        escaped = next == '\\';
        // `${name}` is part of a word, any other brace is not.
        let brace = next == '{' && variable;
        if next.is_whitespace() || next == ';' || (next == '{' && !brace) {
            break;
        }
        variable = next == '$';
        characters.next();
        word.push(next);
        if brace {
            while let Some(inner) = characters.next_if(|&inner| inner != '}') {
                word.push(inner);
            }
            word.extend(characters.next());
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_include(_: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn outline(directives: &[Directive]) -> String {
        let one = |directive: &Directive| match directive.block.as_slice() {
            [] => directive.words.join("_"),
            block => format!("{}{{{}}}", directive.words.join("_"), outline(block)),
        };
        directives.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_quotes_comments_and_blocks() {
        let text = "a 1 'two words' \"t\\\"q\"; # b;\nserver { listen [::]:80; if ($x = \"}\") { return 200 '{\"a\":1}'; } }\nmap ${x}y z;";
        let read = read("f", text, &no_include).expect("the text is good");
        assert_eq!(
            outline(&read),
            "a_1_two words_t\"q server{listen_[::]:80 if_($x_=_}_){return_200_{\"a\":1}}} map_${x}y_z"
        );
        assert_eq!(read[1].place(), "f:2");
        assert_eq!(read[1].block[1].block[0].line, 2);
        let escaped = read_all("location ~ \\.php$ { } location ~ ^/a\\{2\\}\\;x { b; }");
        assert_eq!(escaped, r"location_~_\.php$ location_~_^/a\{2\}\;x{b}");
    }

    fn read_all(text: &str) -> String {
        outline(&read("f", text, &no_include).expect("the text is good"))
    }

    #[test]
    fn a_program_in_a_block_is_passed_over() {
        for program in [
            "-- don't } stop\n",
            "local s = \"}\" .. '{' .. 'it\\'s }'",
            "--[[ } \n don't ]] local t = {a = {}}",
            "s = [[ } ]] .. [==[ ]] } ]==]",
            "",
        ] {
            let text = format!("a {{ set_by_lua_block $x {{ {program} }} b; }} c;");
            assert_eq!(read_all(&text), "a{set_by_lua_block_$x b} c", "{program}");
        }
        assert!(read("f", "a_by_lua_block { '}", &no_include).is_err());
    }

    #[test]
    fn broken_files_are_named_with_their_line() {
        for (text, line, what) in [
            ("a;\nb {\nc;", 3, "the file ends inside a block"),
            ("a;\n}", 2, "a closing brace where none is expected"),
            ("a {\n b }", 2, "a closing brace where none is expected"),
            ("a;\nb", 2, "a directive without its semicolon"),
            ("a\n'b;", 2, "a quote that is never closed"),
        ] {
            let expected = NginxError::Syntax {
                file: "f".to_owned(),
                line,
                what,
            };
            assert_eq!(read("f", text, &no_include), Err(expected), "{text}");
        }
    }

    #[test]
    fn included_files_stand_where_the_include_stood() {
        let include = |pattern: &str| match pattern {
            "sites/*" => vec![
                ("sites/a".to_owned(), "b 1;".to_owned()),
                ("sites/b".to_owned(), "include more;".to_owned()),
            ],
            "more" => vec![("more".to_owned(), "c;".to_owned())],
            "me" => vec![("me".to_owned(), "include me;".to_owned())],
            _ => Vec::new(),
        };
        let read_one = read(
            "f",
            "http { a; include sites/*; d; include none; }",
            &include,
        )
        .expect("good");
        assert_eq!(outline(&read_one), "http{a b_1 c d}");
        assert_eq!(read_one[0].block[2].place(), "more:1");
        assert_eq!(
            read("f", "include me;", &include),
            Err(NginxError::IncludeLoop("me".into()))
        );
    }
}
