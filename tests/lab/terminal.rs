//! A terminal for a program under test.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::program::{During, Result};

/// Makes the terminal on its standard input the controlling terminal of what it runs.
pub(crate) const WRAPPER: [&str; 3] = ["setsid", "--ctty", "--wait"];

/// Opens a terminal of this many columns and rows: this side of it, and the program's.
pub(crate) fn open((columns, rows): (u16, u16)) -> Result<(OwnedFd, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .during(|| "open a terminal".to_owned())?;
    grantpt(&ours).during(|| "own the terminal".to_owned())?;
    unlockpt(&ours).during(|| "unlock the terminal".to_owned())?;
    let name = ptsname(&ours, Vec::new()).during(|| "name the terminal".to_owned())?;
    let path = name.to_string_lossy().into_owned();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(Path::new(&path))
        .during(|| format!("open '{path}'"))?;
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&theirs, size).during(|| format!("set the size of '{path}'"))?;
    Ok((ours, theirs.into()))
}
