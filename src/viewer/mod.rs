//! The viewer: fixed addresses -> responses. It shows what the monitor wrote and can do nothing to the machine.
//!
//! ```text
//!  listen,      clients          tiny_http          +-> pages   built into the binary
//!  inherited -> front -> lines -> server -> routes -+-> source  status.json, or live checks, or nothing; and why
//!                                                   |     document: the bytes as written, with a word on top
//!                                                   |     plain: the same for browsers without JavaScript
//!                                                   |     metrics: the same for Prometheus; exposition: its formats
//!                                                   |     public: the same without the details; health, badge
//!                                                   +-> history what is below `history/` in the state directory
//!                                                   +-> hosts   whom the browser thinks it talks to
//!                                                   +-> access  who may see the details; attempts: and who guesses
//!                                                   +-> cors    pages of which other origins may read
//! ```
//!
//! Nothing here starts from green: what is old, broken or missing is shown as that, and `/health` answers 200 only
//! while a monitor writes and every service is ok.

mod listen;
mod inherited;
mod front;
mod newcomers;
mod seats;
mod under_way;
mod lines;
mod sending;
mod server;
mod rehearsal;
mod routes;
mod history;
mod source;
mod document;
mod live;
mod public;
mod health;
mod badge;
mod metrics;
mod exposition;
mod pages;
mod plain;
mod openapi;
mod hosts;
mod access;
mod attempts;
mod cors;
mod http;
mod encoding;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use socket2::Socket;

use crate::config::{self, Listen};
use crate::status::{Document, Timestamp, read};
pub use access::{AccessError, Guard};
use cors::Cors;
use history::Archive;
use hosts::Hosts;
pub use inherited::Inherited;
use listen::Leftover;
use pages::Pages;
use routes::Site;
use server::Handler;
use source::Source;

/// The wall clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One round of checks by the viewer itself, for a machine without a monitor. It is called by a thread of its own and
/// may take as long as it likes. The error is for people.
pub type LiveChecks = Box<dyn Fn() -> Result<Document, String> + Send + Sync>;

/// Which process listens on an address, in words like `nginx (pid 812)`; none when that cannot be told.
pub type OwnerOf = Box<dyn Fn(SocketAddr) -> Option<String> + Send + Sync>;

/// What a viewer needs to know.
pub struct Options {
    /// The socket that systemd opened for it. Then neither `listen` nor `port_fallback` is asked.
    pub inherited: Option<Inherited>,
    /// Where it listens.
    pub listen: Listen,
    /// Whether it takes one of the next 20 ports when that one is taken.
    pub port_fallback: bool,
    /// How often the page asks for news; whole seconds, at least one.
    pub refresh: Duration,
    /// The page's title; the host's name unless given.
    pub title: Option<String>,
    /// What the pages say above everything else, to everybody.
    pub announcements: Vec<String>,
    /// Names that it answers to beside those of the machine.
    pub hosts: Vec<String>,
    /// The path below which a proxy asks for it; empty, or with a slash before it and none after it.
    pub base_path: String,
    /// The origins whose pages may read the API.
    pub cors: Vec<String>,
    /// Who may see the details.
    pub guard: Guard,
    /// The document.
    pub status_file: PathBuf,
    /// The state directory: what is below `history/` there is told as well. The document's own folder unless given.
    pub state_dir: PathBuf,
    /// Where the address that it really listens on is written. The file goes away when the viewer does.
    pub addr_file: Option<PathBuf>,
    /// The root of the proc file system: the boot id and the host's name are read there.
    pub proc_root: PathBuf,
    /// How to look for itself when no monitor has written the document.
    pub live: Option<LiveChecks>,
    /// Who has the port that is taken.
    pub owner_of: OwnerOf,
    /// The wall clock, by which the document's age is told.
    pub now: Clock,
    /// How often it asks itself whether it still answers.
    pub self_probe: Duration,
}

impl Options {
    /// The configured settings, the machine's own clock and `/proc`, no live checks, no address file. `env` tells where
    /// systemd has put the credentials.
    ///
    /// # Errors
    ///
    /// When the secrets by which the details are protected cannot be read: there is no viewer without protection then.
    pub fn new(
        viewer: &config::Viewer,
        status_file: PathBuf,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Options, AccessError> {
        Ok(Options {
            inherited: None,
            listen: viewer.listen.clone(),
            port_fallback: viewer.port_fallback,
            refresh: viewer.refresh,
            title: viewer.title.clone(),
            announcements: viewer.announcements.clone(),
            hosts: viewer.hosts.clone(),
            base_path: viewer.base_path.clone(),
            cors: viewer.cors.clone(),
            guard: Guard::new(&viewer.details, env)?,
            state_dir: status_file.parent().map(PathBuf::from).unwrap_or_default(),
            status_file,
            addr_file: None,
            proc_root: PathBuf::from("/proc"),
            live: None,
            owner_of: Box::new(|_| None),
            now: Arc::new(|| Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())),
            self_probe: Duration::from_secs(5),
        })
    }
}

/// Why the viewer cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error(
        "cannot listen on {address}: {} has the port. Choose another with --listen, \
         or set `port_fallback: true` under `viewer:` to take the next free one",
        owner_or_someone(owner)
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// The process that has it, where that can be told.
        owner: Option<String>,
    },
    /// Somebody has the port, and all those that `port_fallback` tries.
    #[error(
        "cannot listen on {address}: {} has the port, and all up to {last_port} are taken too. \
         Choose another with --listen",
        owner_or_someone(owner)
    )]
    AllTaken {
        /// The configured address.
        address: SocketAddr,
        /// The last port that was tried.
        last_port: u16,
        /// The process that has the first of them, where that can be told.
        owner: Option<String>,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}: {source}{}", advice(*address, source))]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Another viewer answers on the unix socket.
    #[error("cannot listen on unix:{}: somebody answers there already. Choose another path with --listen", path.display())]
    SocketTaken {
        /// The socket.
        path: PathBuf,
    },
    /// What systemd handed over is nothing to listen on.
    #[error(
        "cannot listen on what systemd handed over: {what}. The viewer takes one stream socket that listens: give its \
         .socket unit a single ListenStream= with an address or a path, and Accept=no"
    )]
    Inherited {
        /// What is wrong with it.
        what: String,
    },
    /// The unix socket cannot be made.
    #[error("cannot listen on unix:{}: {source}. The folder must exist and be writable", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn refused(address: SocketAddr, source: io::Error) -> BindError {
        BindError::Refused { address, source }
    }
}

fn owner_or_someone(owner: &Option<String>) -> String {
    let unknown = || "another process (root can see which: ss -ltnp)".to_owned();
    owner.clone().unwrap_or_else(unknown)
}

fn advice(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            ". Ports below 1024 are reserved: choose a higher one with --listen, and put a proxy in front"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(". This machine has no address {}: `ip address` lists those it has", address.ip())
        }
        _ => String::new(),
    }
}

/// Why a viewer ended that nobody asked to.
#[derive(Debug, thiserror::Error)]
#[error("the viewer on {address} ends: {reason}. Under systemd it is started anew")]
pub struct RunError {
    /// Where it listened.
    address: String,
    reason: String,
}

/// A viewer that has its socket. Clients can connect already; they are answered once it runs.
pub struct Viewer {
    socket: Socket,
    address: Listen,
    site: Site,
    leftovers: Vec<Leftover>,
    self_probe: Duration,
}

impl Viewer {
    /// Takes the address.
    pub fn bind(options: Options) -> Result<Viewer, BindError> {
        let is_ours = options.inherited.is_none();
        let (socket, address) = match options.inherited {
            Some(inherited) => inherited.take()?,
            None => listen::open(&options.listen, options.port_fallback, &options.owner_of)?,
        };
        let mut names = hosts::own_names(&options.proc_root);
        let host = names.first().map_or("this host", String::as_str);
        let pages =
            Pages::new(options.title.as_deref().unwrap_or(host), &options.announcements, options.refresh);
        names.extend(options.hosts);
        let boot = read::Boot::of(&options.proc_root);
        let own_socket = match &address {
            // The file of a socket of systemd is systemd's.
            Listen::Unix(path) if is_ours => Some(Leftover(path.clone())),
            Listen::Unix(_) | Listen::Tcp(_) => None,
        };
        let addr_file = options.addr_file.and_then(|path| listen::write_address(&path, &address));
        let leftovers = own_socket.into_iter().chain(addr_file).collect();
        Ok(Viewer {
            socket,
            site: Site {
                hosts: Hosts::new(&address, names),
                base_path: options.base_path,
                guard: options.guard,
                cors: Cors::new(options.cors),
                pages,
                archive: Archive::new(options.state_dir, options.now.clone()),
                source: Source::new(options.status_file, boot, options.now, options.live),
            },
            leftovers,
            address,
            self_probe: options.self_probe,
        })
    }

    /// Where it really listens: with port 0 or `port_fallback` not where it was told to.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// The answer to the first request in what a client sent, as it would go over the wire, made without the socket; none
    /// while the head of the request has no end. For fuzzing.
    pub fn rehearse(&self, received: &[u8]) -> Option<Vec<u8>> {
        rehearsal::answer(received, |request| self.site.answer(request))
    }

    /// Serves until something arrives on `stop` or its sender is dropped. The error says why it had to end by itself,
    /// which should end the process with a failure, so that systemd starts it anew.
    pub fn run(self, stop: Receiver<()>) -> Result<(), RunError> {
        let site = self.site;
        let handler: Handler = Arc::new(move |request| site.answer(request));
        let end = server::serve(self.socket, &handler, &stop, self.self_probe, &self.address);
        drop(self.leftovers);
        end.map_err(|reason| RunError {
            address: match &self.address {
                Listen::Tcp(address) => address.to_string(),
                Listen::Unix(path) => format!("unix:{}", path.display()),
            },
            reason,
        })
    }
}
