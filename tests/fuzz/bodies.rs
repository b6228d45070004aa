//! What must hold for every input, whoever makes it up: cargo-fuzz (`fuzz_targets/`) or the plain test (`tests/fuzz.rs`).

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::de::IgnoredAny;
use tempfile::TempDir;
use wellkeep::config::{self, Listen};
use wellkeep::status::Timestamp;
use wellkeep::viewer::{Options, Viewer};

/// 2025-10-27T12:00:00Z, when the documents of the corpus were made.
const NOON: Timestamp = Timestamp::from_millis(1_761_566_400_000);

const DOCUMENT: &[u8] = include_bytes!("corpus/document/fresh.json");

/// The statuses that the viewer means. 500 is one of them only where `/metrics` says that it does not understand a service.
const STATUSES: [u16; 10] = [200, 301, 304, 400, 404, 405, 406, 421, 431, 503];

/// A viewer at noon with a folder of its own.
struct Stage {
    folder: TempDir,
    viewer: Viewer,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = config::Viewer {
            listen: Listen::Tcp("127.0.0.1:0".parse().expect("an address")),
            ..config::Viewer::default()
        };
        let viewer = Viewer::bind(Options {
            proc_root: folder.path().join("proc"),
            now: Arc::new(|| NOON),
            ..Options::new(&settings, folder.path().join("status.json"), &|_| None)
                .expect("nothing is secret here")
        });
        Stage { viewer: viewer.expect("a free port"), folder }
    }

    /// Replaces the document as the monitor does: by rename.
    fn write(&self, bytes: &[u8]) {
        let fresh = self.folder.path().join("fresh");
        std::fs::write(&fresh, bytes).expect("room for a file");
        std::fs::rename(fresh, self.folder.path().join("status.json")).expect("the same folder");
    }

    fn get(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Answer::of(&self.viewer.rehearse(request.as_bytes()).expect("a whole request"), false)
    }
}

/// What a document says of itself.
#[derive(serde::Deserialize)]
struct Counts {
    total: u32,
    fail_count: u32,
}

/// An answer that another program could read.
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn of(bytes: &[u8], is_head: bool) -> Answer {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes).expect("HTTP");
        let httparse::Status::Complete(head) = parsed else { panic!("it has no end") };
        let status = response.code.expect("a status");
        let one = |name: &str| {
            let mut named = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            let value = named.next().map(|header| String::from_utf8_lossy(header.value).into_owned());
            assert!(named.next().is_none(), "{name} stands there twice");
            value
        };
        assert_eq!(one("X-Content-Type-Options").as_deref(), Some("nosniff"));
        assert!(
            one("Content-Security-Policy").is_some_and(|policy| policy.starts_with("default-src 'none'"))
        );
        let body = String::from_utf8(bytes[head..].to_vec()).expect("all answers are text");
        let is_meant = STATUSES.contains(&status) || body.contains("the document cannot be understood");
        assert!(is_meant, "{status} {body}");
        // What is no request has no method either; it ends the conversation, and what follows is for nobody.
        let is_refused = status == 400 || status == 431;
        if status == 304 || is_head && !is_refused {
            assert_eq!(body, "");
        } else {
            let length = one("Content-Length").expect("its length is told");
            assert_eq!(body.len().to_string(), length);
        }
        if one("Content-Type").as_deref() == Some("application/json") && !body.is_empty() {
            // Its shape alone: a browser takes half a surrogate pair, which this crate does not.
            serde_json::from_str::<IgnoredAny>(&body).expect("JSON");
        }
        Answer { status, body }
    }
}

/// Whatever a client sends, it gets one answer that can be read, and the server gets one request or none.
pub(crate) fn request(received: &[u8]) {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    let stage = STAGE.get_or_init(|| {
        let stage = Stage::new();
        // It holds for longer than anybody fuzzes.
        let document = String::from_utf8_lossy(DOCUMENT);
        stage.write(document.replacen("\"stale_after_s\":15", "\"stale_after_s\":4000000", 1).as_bytes());
        stage
    });
    if let Some(answer) = stage.viewer.rehearse(received) {
        // Empty lines before a request are no part of it.
        let begin = received.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
        Answer::of(&answer, received[begin..].starts_with(b"HEAD "));
    }
}

/// Whatever is in the file, every address is answered, and `/health` is green only for what says that it is well.
pub(crate) fn document(bytes: &[u8]) {
    // One viewer for all, since a new one takes a tenth of a second in a build for fuzzing. What it keeps of the input before
    // is the last good figures, which are never green.
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| Mutex::new(Stage::new())).lock().unwrap_or_else(PoisonError::into_inner);
    stage.write(bytes);
    let health = stage.get("/health").status;
    let figures = stage.get("/api/status");
    for path in ["/", "/admin", "/metrics", "/api/status/flask_web", "/api/status/%22", "/api/status/"] {
        stage.get(path);
    }
    let said: Option<Counts> = serde_json::from_slice(bytes).ok();
    let is_well = said.is_some_and(|said| said.fail_count == 0 && said.total > 0);
    assert!(health != 200 || is_well, "green without a reason");
    assert!(health != 200 || figures.status == 200);
    assert!(figures.body.contains("\"stale\":"), "it says how far the figures can be believed");
}

/// The inputs that are kept: what each kind looks like, and everything that once did harm.
#[allow(dead_code, reason = "libFuzzer reads the folder itself")]
pub(crate) fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a file")).collect()
}
