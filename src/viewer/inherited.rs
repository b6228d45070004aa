//! The socket that systemd opened for the viewer (`LISTEN_FDS`). Since systemd keeps it open, nobody is refused while the
//! viewer restarts, and it may be one that the viewer itself could not open.

use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};

use super::BindError;
use super::listen::local_address;
use crate::config::Listen;

/// What systemd handed over, as it is: whether it is a socket to listen on is told by [`Viewer::bind`](super::Viewer).
#[derive(Debug)]
pub struct Inherited {
    /// All of it, each with the name that the unit gives it (`FileDescriptorName=`, or the name of the .socket unit).
    pub handed_over: Vec<(Option<String>, OwnedFd)>,
}

impl Inherited {
    /// What systemd handed to this very process (`LISTEN_PID`); none when it was started without a socket. To be called
    /// once, before anything else is opened, since it takes possession of the numbers.
    ///
    /// # Errors
    /// When the variables make no sense.
    pub fn from_environment() -> Result<Option<Inherited>, BindError> {
        let handed_over = sd_listen_fds::get().map_err(|_| {
            wrong(
                "LISTEN_PID and LISTEN_FDS are set, and not to numbers; unset them, or let systemd set them",
            )
        })?;
        let handed_over: Vec<_> = handed_over.into_iter().map(|(name, fd)| (name, fd.into_std())).collect();
        Ok((!handed_over.is_empty()).then_some(Inherited { handed_over }))
    }

    /// By whose order it is there, for people: `wellkeep-viewer.socket`.
    pub fn name(&self) -> &str {
        let name = self.handed_over.first().and_then(|(name, _)| name.as_deref());
        name.filter(|name| !name.is_empty()).unwrap_or("systemd")
    }

    /// The one socket, and where it listens.
    pub(super) fn take(mut self) -> Result<(Socket, Listen), BindError> {
        let (1, Some((_, fd))) = (self.handed_over.len(), self.handed_over.pop()) else {
            return Err(wrong(format!("{} sockets or files", self.handed_over.len() + 1)));
        };
        let socket = Socket::from(fd);
        let failed = |source: std::io::Error| wrong(format!("no socket that can be used ({source})"));
        if socket.r#type().map_err(failed)? != Type::STREAM {
            return Err(wrong("no stream socket"));
        }
        if !socket.is_listener().map_err(failed)? {
            return Err(wrong("a socket that does not listen"));
        }
        // It came through exec, and what the viewer might start has no business with it.
        socket.set_cloexec(true).map_err(failed)?;
        let domain = socket.domain().map_err(failed)?;
        if domain == Domain::UNIX {
            let address = socket.local_addr().map_err(failed)?;
            let path = address.as_pathname().ok_or_else(|| wrong("a unix socket without a path"))?;
            return Ok((socket, Listen::Unix(path.to_owned())));
        }
        if domain != Domain::IPV4 && domain != Domain::IPV6 {
            return Err(wrong("neither an internet nor a unix socket"));
        }
        // As for a socket of our own: see listen.rs. systemd sets it only where the unit says NoDelay=.
        socket.set_tcp_nodelay(true).map_err(failed)?;
        let address = local_address(&socket).map_err(failed)?;
        Ok((socket, Listen::Tcp(address)))
    }
}

fn wrong(what: impl Into<String>) -> BindError {
    BindError::Inherited { what: what.into() }
}
