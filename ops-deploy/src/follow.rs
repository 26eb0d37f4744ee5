//! What the host tells of a call while that runs: how far it has come, what a unit says, and how that has ended.

use ops_common::report::Report;
use serde::Deserialize;

use crate::stc::{self, Ending};

/// Takes the lines as they come, and tells what the unit says to whoever wants to know more.
pub(crate) struct Follower<'a> {
    report: &'a Report,
    partial: Vec<u8>,
    /// Where the journal was read to.
    pub(crate) cursor: String,
    /// Whether the lock is taken and the timer armed.
    pub(crate) begun: bool,
    /// What the unit has said.
    pub(crate) said: Vec<String>,
    /// How it ended.
    pub(crate) ended: Option<Ending>,
    /// All other lines for us.
    pub(crate) words: Vec<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "MESSAGE")]
    message: Option<Text>,
}

/// journald writes text that is not UTF-8 as an array of bytes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Bytes(Vec<u8>),
}

impl<'a> Follower<'a> {
    pub(crate) fn new(report: &'a Report) -> Self {
        Self {
            report,
            partial: Vec::new(),
            cursor: String::new(),
            begun: false,
            said: Vec::new(),
            ended: None,
            words: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(properties) = line.strip_prefix("@ended ") {
            self.ended = Some(stc::ending(properties));
        } else if let Some(why) = line.strip_prefix("@refused ") {
            self.said.push(why.to_owned());
        } else if line.starts_with("@begun") {
            self.begun = true;
        } else if line.starts_with('@') {
            self.words.push(line.to_owned());
        } else if let Ok(entry) = serde_json::from_str::<Entry>(line) {
            self.cursor = entry.cursor;
            let text = match entry.message {
                Some(Text::Plain(text)) => text,
                Some(Text::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
                None => String::new(),
            };
            self.report.note(&text);
            self.said.push(text);
        }
    }
}

impl std::io::Write for Follower<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.line(String::from_utf8_lossy(&line).trim_end());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_follower_reads_lines_however_they_are_cut() {
        let report = Report::new("ops-deploy", true, false, false);
        let mut follower = Follower::new(&report);
        let text = "@begun \n{\"__CURSOR\":\"s=1\",\"MESSAGE\":\"stopping\"}\n-- cursor: s=1\n\
{\"__CURSOR\":\"s=2\",\"MESSAGE\":[104,105]}\n{\"__CURSOR\":\"s=3\",\"MESSAGE\":null}\n\
@ended LoadState=loaded Result=success ExecMainCode=1 ExecMainStatus=0\n@link system-3-link\n";
        for byte in text.as_bytes() {
            follower.write_all(&[*byte]).unwrap();
        }
        assert!(follower.begun);
        assert_eq!(follower.said, ["stopping", "hi", ""]);
        assert_eq!(follower.cursor, "s=3");
        assert_eq!(follower.ended, Some(Ending::Exited(0)));
        assert_eq!(follower.words, ["@link system-3-link"]);
    }
}
