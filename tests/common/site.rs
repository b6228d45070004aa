//! A stand-in for the viewer: the real page files under the real content policy, and a document that a test changes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A site on a free port; it ends with this value.
pub(crate) struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    stop: AtomicBool,
    asked: AtomicU64,
    not_modified: AtomicU64,
    instead: AtomicU64,
}

struct State {
    document: Value,
    age: u64,
    /// The API answers 500, with a document all the same.
    broken: bool,
    /// A page of somebody else at `/`, without our policy.
    host_page: Option<String>,
    /// The content policy of that page.
    host_policy: String,
    /// What `/api/history/KEY` says, by key, and `/api/incidents` under an empty one; without it the viewer is an older one.
    past: HashMap<String, Value>,
    /// The keys whose past was asked for.
    past_asked: Vec<String>,
    /// What the API answers whatever is asked: status, kind and body.
    instead: Option<(u16, &'static str, String)>,
}

impl Site {
    /// A site that shows this document as fresh.
    pub(crate) fn showing(document: Value) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let state = State {
            document: fresh(document),
            age: 1,
            broken: false,
            host_page: None,
            host_policy: "default-src *".to_owned(),
            past: HashMap::new(),
            past_asked: Vec::new(),
            instead: None,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            stop: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            not_modified: AtomicU64::new(0),
            instead: AtomicU64::new(0),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let serving = serving.clone();
                std::thread::spawn(move || answer(&stream, &serving));
            }
        });
        Site { address, shared }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on this document, fresh and a second old.
    pub(crate) fn show(&self, document: Value) {
        self.show_as_it_is(fresh(document), 1);
    }

    /// From now on this document as it stands, of this age in seconds.
    pub(crate) fn show_as_it_is(&self, document: Value, age: u64) {
        let mut state = self.state();
        state.document = document;
        state.age = age;
    }

    /// From now on the document is so many seconds old.
    pub(crate) fn set_age(&self, age: u64) {
        self.state().age = age;
    }

    /// The API answers 500, or does again what it should.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.state().broken = broken;
    }

    /// `/` becomes a page of somebody else.
    pub(crate) fn host(&self, page: &str) {
        self.state().host_page = Some(page.to_owned());
    }

    /// That page gets this content policy.
    pub(crate) fn host_policy(&self, policy: &str) {
        self.state().host_policy = policy.to_owned();
    }

    /// The viewer knows the past of a service from now on; under an empty key the latest incidents.
    pub(crate) fn remember(&self, key: &str, past: Value) {
        self.state().past.insert(key.to_owned(), past);
    }

    /// The keys whose past was asked for so far, in their order.
    pub(crate) fn past_asked(&self) -> Vec<String> {
        self.state().past_asked.clone()
    }

    /// The API answers this from now on, whatever is asked; or again what it should.
    pub(crate) fn answer_instead(&self, answer: Option<(u16, &'static str, &str)>) {
        self.state().instead = answer.map(|(status, kind, body)| (status, kind, body.to_owned()));
    }

    /// How often the API was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// How often the API gave the answer that stands in for every other.
    pub(crate) fn answers(&self) -> u64 {
        self.shared.instead.load(Ordering::SeqCst)
    }

    /// How often the API answered 304.
    pub(crate) fn not_modified(&self) -> u64 {
        self.shared.not_modified.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no test panics while it holds this")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// What the viewer puts in front of a fresh document.
fn fresh(mut document: Value) -> Value {
    document["stale"] = json!(false);
    document["viewer"] = json!({"data": "fresh", "version": "0.1.0"});
    document
}

/// One request, one answer, one connection.
fn answer(mut stream: &TcpStream, shared: &Shared) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let target = request.split(' ').nth(1).unwrap_or("/");
    let path = target.split('?').next().unwrap_or(target);
    let mut state = shared.state.lock().expect("no test panics while it holds this");
    let policy = if state.host_page.is_some() { state.host_policy.clone() } else { POLICY.to_owned() };
    let (status, kind, body, more) = match path {
        "/" | "/admin" => (200, "text/html; charset=utf-8", page(path, &state), String::new()),
        "/static/status.js" => (200, "text/javascript; charset=utf-8", file("status.js"), String::new()),
        "/static/status.css" => (200, "text/css; charset=utf-8", file("status.css"), String::new()),
        "/favicon.svg" => (200, "image/svg+xml", file("favicon.svg"), String::new()),
        _ if path.starts_with("/api/") && state.instead.is_some() => {
            shared.instead.fetch_add(1, Ordering::SeqCst);
            let (status, kind, body) = state.instead.clone().expect("it was looked at");
            (status, kind, body, OPEN.to_owned())
        }
        "/api/incidents" => past(&state, ""),
        _ if path.starts_with("/api/history/") => {
            let key = path.trim_start_matches("/api/history/").to_owned();
            state.past_asked.push(key.clone());
            past(&state, &key)
        }
        "/api/status" => {
            shared.asked.fetch_add(1, Ordering::SeqCst);
            let answer = status(&state, &head);
            shared.not_modified.fetch_add(u64::from(answer.0 == 304), Ordering::SeqCst);
            answer
        }
        _ => (404, "text/plain", "no such page".to_owned(), String::new()),
    };
    drop(state);
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\
         Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: {policy}\r\n{more}\r\n{body}"
    );
}

type Answer = (u16, &'static str, String, String);

/// Pages of every origin may ask.
const OPEN: &str = "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: Age\r\n";

fn past(state: &State, key: &str) -> Answer {
    match state.past.get(key) {
        Some(past) => (200, "application/json", past.to_string(), OPEN.into()),
        None => (404, "application/json", json!({"error": "no such address"}).to_string(), OPEN.into()),
    }
}

fn status(state: &State, head: &[String]) -> Answer {
    if state.broken {
        return (500, "application/json", state.document.to_string(), OPEN.into());
    }
    let body = state.document.to_string();
    let tag = format!(
        "\"{:x}\"",
        body.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
    );
    let more = format!("{OPEN}Age: {}\r\nETag: {tag}\r\n", state.age);
    let known = head
        .iter()
        .any(|line| line.to_ascii_lowercase().starts_with("if-none-match:") && line.contains(&tag));
    if known { (304, "application/json", String::new(), more) } else { (200, "application/json", body, more) }
}

fn page(path: &str, state: &State) -> String {
    match (&state.host_page, path) {
        (Some(page), _) => page.clone(),
        (None, "/admin") => filled("admin.html"),
        (None, _) => filled("index.html"),
    }
}

fn filled(name: &str) -> String {
    file(name)
        .replace("{{title}}", "web-1.example.org")
        .replace("{{refresh_s}}", "1")
        .replace("{{announcements}}", "")
        .replace("{{plain}}", "")
}

fn file(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/static/");
    std::fs::read_to_string(format!("{path}{name}")).expect("a file of static/")
}
