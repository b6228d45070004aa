//! Getting the socket: the one that was asked for, or the next free one, or an error that says who is in the way and
//! what to do about it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};

use super::{BindError, OwnerOf};
use crate::config::Listen;
use crate::log::Kind;

/// How many ports after the configured one `port_fallback` tries.
pub(super) const FALLBACK_PORTS: u16 = 20;

/// Connections that wait to be accepted, and the kernel's default limit. One that finds no room among them tries again
/// after a second; a burst of 2,000 must not do that to others.
const BACKLOG: i32 = 4096;

/// Opens the address, with `port_fallback` one of the next ports. The address that it really is comes with it.
pub(super) fn open(
    listen: &Listen,
    port_fallback: bool,
    owner_of: &OwnerOf,
) -> Result<(Socket, Listen), BindError> {
    match listen {
        Listen::Unix(path) => Ok((open_unix(path)?, listen.clone())),
        Listen::Tcp(wanted) => {
            let socket = open_tcp_or_next(*wanted, port_fallback, owner_of)?;
            let address = local_address(&socket).map_err(|source| BindError::refused(*wanted, source))?;
            if address.port() != wanted.port() && wanted.port() != 0 {
                tracing::warn!(event = %Kind::Viewer, "port {} is taken: the viewer listens on {address} instead", wanted.port());
            }
            Ok((socket, Listen::Tcp(address)))
        }
    }
}

/// Where an internet socket really is.
pub(super) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("it is not an internet socket"))
}

fn open_tcp_or_next(wanted: SocketAddr, fallback: bool, owner_of: &OwnerOf) -> Result<Socket, BindError> {
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    match open_tcp(wanted) {
        Ok(socket) => return Ok(socket),
        Err(error) if !taken(&error) => return Err(BindError::refused(wanted, error)),
        Err(_) if !fallback => {
            let owner = owner_of(wanted);
            return Err(BindError::Taken { address: wanted, owner });
        }
        Err(_) => {}
    }
    let last_port = wanted.port().saturating_add(FALLBACK_PORTS);
    for port in wanted.port().saturating_add(1)..=last_port {
        let address = SocketAddr::new(wanted.ip(), port);
        match open_tcp(address) {
            Ok(socket) => return Ok(socket),
            Err(error) if taken(&error) => {}
            Err(error) => return Err(BindError::refused(address, error)),
        }
    }
    Err(BindError::AllTaken { address: wanted, last_port, owner: owner_of(wanted) })
}

fn open_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A viewer that is restarted gets its port back although old connections linger.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    // Accepted sockets inherit it. Without it a kept connection can wait 44 ms for an answer that is written in two
    // parts: Nagle's algorithm meets the client's delayed ACK.
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

fn open_unix(path: &Path) -> Result<Socket, BindError> {
    let failed = |source: io::Error| BindError::Socket { path: path.to_owned(), source };
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        // Left over from a viewer that was killed, unless somebody answers.
        if UnixStream::connect(path).is_ok() {
            return Err(BindError::SocketTaken { path: path.to_owned() });
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    let socket = Socket::from(UnixListener::bind(path).map_err(failed)?);
    // As public as the status file; who may reach it is a matter of the folder.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(socket)
}

/// Tells scripts where the viewer really listens. Not being able to is a warning: the viewer itself works without.
pub(super) fn write_address(path: &Path, address: &Listen) -> Option<Leftover> {
    let text = match address {
        Listen::Tcp(address) => format!("{address}\n"),
        Listen::Unix(socket) => format!("unix:{}\n", socket.display()),
    };
    // By rename, so that a script that waits for the file never reads half of it.
    let fresh = path.with_extension("new");
    let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path));
    if let Err(error) = written {
        tracing::warn!(event = %Kind::Viewer, "{} cannot be written: {error}; the viewer runs without it", path.display());
        return None;
    }
    Some(Leftover(path.to_owned()))
}

/// A file that goes away with the viewer.
#[derive(Debug)]
pub(super) struct Leftover(pub(super) PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        // It may be gone with its folder already (RuntimeDirectory=).
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_inherit_no_delay() {
        let socket = open_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = std::net::TcpStream::connect(local_address(&socket).unwrap()).unwrap();
        let (accepted, _) = socket.accept().unwrap();
        assert!(accepted.tcp_nodelay().unwrap());
    }
}
