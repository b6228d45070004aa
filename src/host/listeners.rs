//! Who listens on which TCP port: for `wellkeep dev` without a configuration, and for the message that a port is taken.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use procfs::net::{TcpNetEntries, TcpState};
use procfs::process::{FDTarget, Process, all_processes_with_root};
use procfs::{FromReadSI, ProcError, ProcResult};

/// A TCP socket that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address and the port; all addresses are `0.0.0.0` or `[::]`.
    pub address: SocketAddr,
    /// Who has it open, the lowest id first found; absent where we may not look (another user's process).
    pub owner: Option<Owner>,
}

/// The process that has a socket open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub pid: u32,
    /// Its name, at most 15 bytes (`comm`).
    pub name: String,
}

/// All TCP listeners of the network namespace that `proc_root` shows, in the order of ports. Blocking, and it reads
/// every process's open files: some milliseconds for hundreds of processes, so not for every round.
///
/// # Errors
/// When the table of sockets cannot be read.
pub fn listeners(proc_root: &Path) -> ProcResult<Vec<Listener>> {
    let sockets = listening_sockets(proc_root)?;
    let owners = owners(proc_root, &sockets);
    let mut listeners: Vec<Listener> = sockets
        .into_iter()
        .map(|(inode, address)| Listener { address, owner: owners.get(&inode).cloned() })
        .collect();
    listeners.sort_by_key(|listener| (listener.address.port(), listener.address.ip()));
    Ok(listeners)
}

fn listening_sockets(proc_root: &Path) -> ProcResult<HashMap<u64, SocketAddr>> {
    let read = |name| TcpNetEntries::from_file(proc_root.join(name), procfs::current_system_info());
    let mut entries = read("net/tcp")?.0;
    match read("net/tcp6") {
        Ok(more) => entries.extend(more.0),
        // A kernel without IPv6.
        Err(ProcError::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    let listening = entries.into_iter().filter(|entry| entry.state == TcpState::Listen);
    Ok(listening.map(|entry| (entry.inode, entry.local_address)).collect())
}

/// The owners by the socket's inode. A process that ended meanwhile or whose files we may not see is left out.
fn owners(proc_root: &Path, sockets: &HashMap<u64, SocketAddr>) -> HashMap<u64, Owner> {
    let mut owners = HashMap::new();
    for process in all_processes_with_root(proc_root).into_iter().flatten().flatten() {
        for inode in open_sockets(&process).filter(|inode| sockets.contains_key(inode)) {
            let Ok(stat) = process.stat() else { continue };
            owners.entry(inode).or_insert(Owner { pid: process.pid.unsigned_abs(), name: stat.comm });
        }
    }
    owners
}

fn open_sockets(process: &Process) -> impl Iterator<Item = u64> {
    let files = process.fd().into_iter().flatten().flatten();
    files.filter_map(|file| match file.target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_with_the_process_that_has_it() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let found = listeners(Path::new("/proc")).unwrap();
        let ours = found.iter().find(|listener| listener.address == address).unwrap();
        assert_eq!(ours.owner.as_ref().unwrap().pid, std::process::id());
    }

    #[test]
    fn a_listener_is_gone_from_the_list_when_it_is_closed() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let found = listeners(Path::new("/proc")).unwrap();
        assert!(found.iter().all(|listener| listener.address != address));
    }

    #[test]
    fn without_a_table_of_sockets_there_is_an_error_and_not_an_empty_list() {
        let folder = tempfile::tempdir().unwrap();
        assert!(listeners(folder.path()).is_err());
    }
}
