//! This machine as a host: processes and sockets without ssh in between.

use std::{
    ffi::OsString,
    net::{IpAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::Arc,
    time::Duration,
};

use super::{
    Error,
    child::{self, Kill},
    error::reason,
    lane::Lane,
    stream::{Keep, Stream},
};
use crate::program::Program;

/// Starts an argument vector.
pub(super) fn start(argv: &[OsString], collect: bool) -> Result<Arc<Lane>, Error> {
    let (program, arguments) = argv
        .split_first()
        .unwrap_or_else(|| unreachable!("a command has a program"));
    let program = Program::find(program)?.args(arguments);
    Ok(child::start(program, Kill::Group, collect)?)
}

pub(super) fn connect_unix(name: &str, path: &str) -> Result<Stream, Error> {
    let connected = UnixStream::connect(path).map(|socket| Stream::of_unix(socket, Keep::Nothing));
    connected.map_err(|error| Error::Forward {
        host: name.to_owned(),
        target: path.to_owned(),
        reason: reason(&error),
    })
}

pub(super) fn connect_tcp(
    name: &str,
    address: IpAddr,
    port: u16,
    timeout: Duration,
) -> Result<Stream, Error> {
    let target = (address, port).into();
    let connected = TcpStream::connect_timeout(&target, timeout).and_then(|socket| {
        socket.set_nodelay(true)?;
        Ok(socket)
    });
    connected
        .map(Stream::of_tcp)
        .map_err(|error| Error::Forward {
            host: name.to_owned(),
            target: target.to_string(),
            reason: reason(&error),
        })
}
