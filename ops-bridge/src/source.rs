//! Where lines come from: the journal of a host, a file, or stdin.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::time::Duration;

use jiff::Timestamp;
use ops_common::host::{Command, Host};
use ops_common::input;
use ops_common::span::Moment;

use crate::clock::DISORDER;
use crate::error::Error;
use crate::form;
use crate::line::Line;
use crate::reader::Reader;
use crate::twin::Twins;

/// Prints the host's time on a line of its own, then the journal, the few lines that were asked for from the end in the order in
/// which they were written. Status 1 of journalctl is a pattern that nothing matches.
const SCRIPT: &str = r#"date +%s.%N
s=0
case "$*" in
*--reverse*) said=$(journalctl "$@") || s=$?; printf '%s\n' "$said" | tac ;;
*) journalctl "$@" || s=$? ;;
esac
[ "$s" != 1 ] || case "$*" in *--grep*) s=0 ;; esac
exit "$s""#;

/// Fields of the journal that are looked at.
const FIELDS: &str =
    "MESSAGE,PRIORITY,_COMM,_TRANSPORT,_BOOT_ID,_SYSTEMD_INVOCATION_ID,INVOCATION_ID,JSON";

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    pub(crate) since: Option<Moment>,
    pub(crate) until: Option<Moment>,
}

impl Window {
    /// The same, seen from `now`.
    pub(crate) fn fixed(self, now: Timestamp) -> Bounds {
        Bounds {
            since: self.since.map(|since| since.instant(now)),
            until: self.until.map(|until| until.instant(now)),
        }
    }

    fn is_relative(self) -> bool {
        [self.since, self.until]
            .into_iter()
            .flatten()
            .any(|moment| matches!(moment, Moment::Ago(_)))
    }
}

/// A window in time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

impl Bounds {
    /// Whether a line is within. One without a time is.
    pub(crate) fn hold(&self, line: &Line<'_>) -> bool {
        let Some(at) = line.at else { return true };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }
}

/// The arguments for journalctl: the lines of `unit` in a form that [`Reader`] reads.
pub(crate) fn journalctl(unit: &str, window: Window) -> Vec<String> {
    let fields = format!("--output-fields={FIELDS}");
    let mut arguments: Vec<String> = [
        "-q",
        "--no-pager",
        "--all",
        "-o",
        "json",
        &fields,
        "-u",
        unit,
    ]
    .map(str::to_owned)
    .into();
    for (flag, moment) in [("--since", window.since), ("--until", window.until)] {
        if let Some(moment) = moment {
            arguments.push(format!("{flag}={}", told(moment)));
        }
    }
    arguments
}

/// The arguments for the last matching lines before the window of `arguments`, the newest first. Nothing for a window without a
/// beginning.
pub(crate) fn before(arguments: &[String]) -> Option<Vec<String>> {
    let since = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--since="))?;
    let kept = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--since=") && !argument.starts_with("--until="));
    let mut before: Vec<_> = kept.cloned().collect();
    before.extend([
        format!("--until={since}"),
        "--reverse".to_owned(),
        format!("--lines={BEFORE}"),
    ]);
    Some(before)
}

/// Why there is no journal on a host without systemd.
pub(crate) const NO_JOURNALCTL: &str = "journalctl is not there";

/// As many tell how it was: a start or a loss is fewer lines than this.
const BEFORE: usize = 50;

/// A moment as journalctl takes it: relative ones by the clock of the host.
fn told(moment: Moment) -> String {
    match moment {
        Moment::Ago(span) => format!("-{}us", span.duration().as_micros()),
        Moment::At(at) => format!("@{}.{:06}", at.as_second(), at.subsec_microsecond().max(0)),
    }
}

/// How much of each line is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What the analysis looks at.
    Known,
    /// Everything, to be shown.
    All,
}

/// Hands each line of a host's journal to `each`, once, and returns the time on the host.
pub(crate) fn read_host(
    host: &Host,
    unit: &str,
    arguments: &[String],
    mut each: impl FnMut(&Line<'_>),
) -> Result<Timestamp, Error> {
    let mut twins = Twins::default();
    read_host_to(Depth::Known, host, (unit, arguments), |line| {
        if !twins.repeats(line) {
            each(line);
        }
    })
}

/// The same to any depth, copies included.
pub(crate) fn read_host_to(
    depth: Depth,
    host: &Host,
    (unit, arguments): (&str, &[String]),
    mut each: impl FnMut(&Line<'_>),
) -> Result<Timestamp, Error> {
    let failed = |reason: String| Error::Journal {
        unit: unit.to_owned(),
        host: host.name().to_owned(),
        reason,
    };
    let mut process = host.spawn(&Command::script(SCRIPT, arguments))?;
    let mut output = BufReader::with_capacity(1 << 18, &mut process.stdout);
    let mut now = String::new();
    // A read that fails is explained by the end of the process, which is asked for below.
    let mut broken = output.read_line(&mut now).err();
    let mut reader = Reader::to(depth, output);
    let mut is_empty = true;
    while broken.is_none() {
        match reader.next() {
            Ok(Some(line)) => {
                is_empty = false;
                each(&line);
            }
            Ok(None) => break,
            Err(error) => broken = Some(error),
        }
    }
    drop(reader);
    let ended = process.wait()?;
    if !ended.success() {
        return Err(failed(if ended.status == 127 {
            NO_JOURNALCTL.to_owned()
        } else {
            ended.complaint()
        }));
    }
    match broken {
        Some(error) => Err(failed(error.to_string())),
        None if is_empty && !has_lines(host, unit)? => Err(failed("it holds no line".to_owned())),
        None => Ok(seconds(&now).unwrap_or_else(Timestamp::now)),
    }
}

/// Whether the journal has anything of the unit at all. Where it has not, nothing was found and nothing is known.
fn has_lines(host: &Host, unit: &str) -> Result<bool, Error> {
    let one = ["-u", unit, "-n", "1"];
    let found = host.output(&Command::script(
        r#"journalctl -q --no-pager -o cat "$@""#,
        &one,
    ))?;
    Ok(!found.is_empty())
}

/// Prints the last line of each boot, of whatever unit.
const ENDS: &str = r#"journalctl --list-boots -q --no-pager | tail -n 100 | while read -r _ boot _; do
    journalctl -q --no-pager -o json --output-fields=_BOOT_ID -n 1 "_BOOT_ID=$boot"
done"#;

/// When each boot of a host wrote its last line. Nothing where the host does not tell: then the unit's own last line has to do.
pub(crate) fn boot_ends(host: &Host) -> Result<BTreeMap<String, Timestamp>, Error> {
    let no_arguments: [&str; 0] = [];
    let told = host.output(&Command::script(ENDS, &no_arguments))?;
    let mut reader = Reader::new(told.as_slice());
    let mut ends = BTreeMap::new();
    // Reading from memory does not fail.
    while let Ok(Some(line)) = reader.next() {
        if let Some(at) = line.envelope.at {
            ends.insert(line.envelope.boot.clone(), at);
        }
    }
    Ok(ends)
}

fn seconds(text: &str) -> Option<Timestamp> {
    let seconds = Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()?;
    Timestamp::from_microsecond(i64::try_from(seconds.as_micros()).ok()?).ok()
}

/// A file, or stdin for `-`, and the unit whose lines are wanted of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'a> {
    pub(crate) name: &'a OsStr,
    pub(crate) unit: &'a str,
}

/// Hands each line of a file to `each`, once. A file's "now" is the time of its last line.
pub(crate) fn read_file(
    file: File<'_>,
    window: Window,
    mut each: impl FnMut(&Line<'_>),
) -> Result<(), Error> {
    let (mut twins, mut order) = (Twins::default(), Order::default());
    read_file_to(Depth::Known, file, window, |line| {
        order.observe(line);
        if !twins.repeats(line) {
            each(line);
        }
    })?;
    if order.is_broken() {
        return Err(Error::Disorder(file.name.to_string_lossy().into_owned()));
    }
    Ok(())
}

/// The same to any depth, copies included.
pub(crate) fn read_file_to(
    depth: Depth,
    File { name, unit }: File<'_>,
    window: Window,
    mut each: impl FnMut(&Line<'_>),
) -> Result<(), Error> {
    let failed = |error| Error::Input(input::Error::new(name, error));
    let now = if window.is_relative() {
        last_time(name)?
    } else {
        Timestamp::UNIX_EPOCH
    };
    let bounds = window.fixed(now);
    let mut input = BufReader::with_capacity(1 << 18, input::open(name)?);
    if let Some(form) = form::of(input.fill_buf().map_err(failed)?) {
        return Err(Error::Form {
            input: name.to_string_lossy().into_owned(),
            form,
        });
    }
    let mut reader = Reader::to(depth, input).of_unit(unit);
    let mut known = 0_u64;
    while let Some(line) = reader.next().map_err(failed)? {
        // A record of `status --json` is no line of the bridge, but tells of it all the same.
        known +=
            u64::from(line.level.is_some() || line.message.starts_with(r#"{"check":"bridge."#));
        if bounds.hold(&line) {
            each(&line);
        }
    }
    if known == 0 {
        Err(Error::NoBridge(name.to_string_lossy().into_owned()))
    } else {
        Ok(())
    }
}

/// Whether lines stand in the order in which they were written: neither the newest first, nor in none at all. A clock that was
/// set back is one step.
#[derive(Debug, Default)]
struct Order {
    last: Option<Timestamp>,
    forward: u64,
    back: u64,
}

impl Order {
    fn observe(&mut self, line: &Line<'_>) {
        let Some(at) = line.at else { return };
        match self.last.replace(at) {
            Some(last) if at > last => self.forward += 1,
            Some(last) if last.duration_since(at) >= DISORDER => self.back += 1,
            _ => {}
        }
    }

    fn is_broken(&self) -> bool {
        self.back > 2 && self.back * 5 > self.forward
    }
}

/// The time of a file's last line, from its end.
fn last_time(name: &OsStr) -> Result<Timestamp, Error> {
    if name == "-" {
        return Err(Error::Relative);
    }
    let failed = |error| Error::Input(input::Error::new(name, error));
    let mut file = std::fs::File::open(name).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    // Where the end holds no line with a time, the whole file is read.
    for start in [length.saturating_sub(4 << 20), 0] {
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut reader = Reader::new(BufReader::new((&mut file).take(u64::MAX)));
        let mut last = None;
        while let Some(line) = reader.next().map_err(failed)? {
            last = last.max(line.at);
        }
        if let Some(last) = last {
            return Ok(last);
        }
    }
    Ok(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_for_journalctl() {
        assert_eq!(told("10m".parse().unwrap()), "-600000000us");
        assert_eq!(
            told("2026-08-19T09:00:01.5Z".parse().unwrap()),
            "@1787130001.500000"
        );
    }
}
