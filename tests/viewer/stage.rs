//! A viewer on port 0 with a folder, a clock and a `/proc` of its own, and a client that hides nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indexmap::IndexMap;
use tempfile::TempDir;
use wellkeep::config::{self, Listen};
use wellkeep::status::{self, Document, Mode, MonitorState, State, Timestamp};
use wellkeep::viewer::{Options, RunError, Viewer};

/// 2025-10-27T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_761_566_400_000);
/// The boot that the stage's `/proc` tells of.
pub(crate) const BOOT: &str = "11111111-2222-3333-4444-555555555555";

/// Where a viewer is tried.
pub(crate) struct Stage {
    pub(crate) folder: Arc<TempDir>,
    clock: Arc<AtomicI64>,
}

/// A viewer at work. It is stopped when this goes.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), RunError>>>,
    /// The stage's folder stays as long as it is looked at.
    folder: Option<Arc<TempDir>>,
}

impl Stage {
    /// It is noon, and there is no document.
    pub(crate) fn new() -> Stage {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let kernel = folder.path().join("proc/sys/kernel");
        std::fs::create_dir_all(kernel.join("random")).unwrap();
        std::fs::write(kernel.join("random/boot_id"), format!("{BOOT}\n")).unwrap();
        std::fs::write(kernel.join("hostname"), "web1\n").unwrap();
        Stage { folder, clock: Arc::new(AtomicI64::new(NOON.as_millis())) }
    }

    /// The same with a document made at noon.
    pub(crate) fn with(document: &Document) -> Stage {
        let stage = Stage::new();
        stage.write(&serde_json::to_vec(document).unwrap());
        stage
    }

    pub(crate) fn status_file(&self) -> PathBuf {
        self.folder.path().join("status.json")
    }

    /// Replaces the document as the monitor does: by rename.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let fresh = self.folder.path().join("fresh");
        std::fs::write(&fresh, bytes).unwrap();
        std::fs::rename(&fresh, self.status_file()).unwrap();
    }

    /// Lets so many seconds pass; negative ones set the clock back.
    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(crate) fn options(&self) -> Options {
        let clock = self.clock.clone();
        let viewer = config::Viewer {
            listen: Listen::Tcp("127.0.0.1:0".parse().unwrap()),
            ..config::Viewer::default()
        };
        Options {
            proc_root: self.folder.path().join("proc"),
            now: Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst))),
            ..Options::new(&viewer, self.status_file(), &|_| None).unwrap()
        }
    }

    /// The same with more settings, which stand below `viewer:`.
    pub(crate) fn configured(&self, settings: &str) -> Options {
        let text = format!("viewer: {{{settings}}}\nservices: [{{key: a, port: 1}}]\n");
        let config = config::Config::parse(&text, Path::new("monitor.yml"), &|_| None);
        let viewer = config.unwrap_or_else(|problems| panic!("{problems}")).viewer;
        let configured = Options::new(&viewer, self.status_file(), &|_| None).unwrap();
        let Options { listen, proc_root, now, .. } = self.options();
        Options { listen, proc_root, now, ..configured }
    }

    pub(crate) fn run(&self) -> Running {
        let mut running = run(Viewer::bind(self.options()).unwrap());
        running.folder = Some(self.folder.clone());
        running
    }
}

/// Sets a viewer to work.
pub(crate) fn run(viewer: Viewer) -> Running {
    let address = match viewer.address() {
        Listen::Tcp(address) => *address,
        // Tests of unix sockets connect by path.
        Listen::Unix(_) => "127.0.0.1:0".parse().unwrap(),
    };
    let (stop, stopped) = channel();
    Running {
        address,
        stop: Some(stop),
        thread: Some(std::thread::spawn(move || viewer.run(stopped))),
        folder: None,
    }
}

impl Running {
    /// GET with `Host: localhost`.
    pub(crate) fn get(&self, target: &str) -> Reply {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// GET with one more header.
    pub(crate) fn get_with(&self, target: &str, header: &str) -> Reply {
        self.ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n"
        ))
    }

    /// Any method, with headers that each end with a line end.
    pub(crate) fn send(&self, method: &str, target: &str, headers: &str) -> Reply {
        self.ask(&format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
        ))
    }

    /// Sends a request as it stands, on a connection of its own that the request must close.
    pub(crate) fn ask(&self, request: &str) -> Reply {
        let mut connection = self.connect();
        connection.write_all(request.as_bytes()).unwrap();
        let mut reply = Vec::new();
        connection.read_to_end(&mut reply).unwrap();
        Reply::parse(&reply)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        connection
    }

    /// Waits for an end that nobody asked for.
    pub(crate) fn end(mut self) -> Result<(), RunError> {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Stops it.
    pub(crate) fn stop(mut self) -> Result<(), RunError> {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// As text; what is packed is not legible in it.
    pub(crate) body: String,
    /// As it came.
    pub(crate) bytes: Vec<u8>,
    /// As it came, as text.
    pub(crate) whole: String,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Reply {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        Reply {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
            bytes: bytes[head.len() + 4..].to_vec(),
            whole: text.clone(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// `viewer.data`.
    pub(crate) fn data(&self) -> String {
        self.json()["viewer"]["data"].as_str().unwrap().to_owned()
    }

    /// `viewer.reason`.
    pub(crate) fn reason(&self) -> String {
        self.json()["viewer"]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// A document made at noon, with services of these keys; those that end in `!` are down.
pub(crate) fn document(keys: &[&str]) -> Document {
    let services: IndexMap<String, status::Service> = keys.iter().map(|key| service(key)).collect();
    let fail_count = services.values().filter(|service| !service.ok).count() as u32;
    Document {
        schema: status::SCHEMA,
        mode: Mode::ProductionMonitoring,
        overall: services.values().map(|service| service.state).min().unwrap_or(State::Unknown),
        ok_count: services.len() as u32 - fail_count,
        fail_count,
        total: services.len() as u32,
        generated_at: NOON,
        sequence: 1,
        boot_id: BOOT.to_owned(),
        stale_after_s: status::STALE_AFTER_S,
        host: status::Host::default(),
        monitor: status::Monitor {
            state: MonitorState::Running,
            version: "0.1.0".to_owned(),
            pid: 1,
            started_at: NOON,
            cannot_heal: None,
            heals: Some(status::HostHeals { within_an_hour: 1, budget: 10 }),
            config: status::ConfigInForce { path: None, loaded_at: NOON, error: None, needs_restart: None },
        },
        services,
    }
}

fn service(key: &str) -> (String, status::Service) {
    let ok = !key.ends_with('!');
    let key = key.trim_end_matches('!').to_owned();
    let service = status::Service {
        key: key.clone(),
        name: key.to_uppercase(),
        ok,
        state: if ok { State::Up } else { State::Down },
        since: NOON,
        reason: None,
        group: None,
        primary: false,
        consecutive_failures: 0,
        last_checked: Some(NOON),
        next_check: None,
        depends_on: Vec::new(),
        checks: Default::default(),
        heal: None,
        hold: None,
        incident: None,
        uptime: None,
        history: Vec::new(),
    };
    (key, service)
}
