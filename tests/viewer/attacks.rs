//! What an enemy does with real sockets, against the real command. In between, and afterwards, a client with a plain
//! question is answered, nothing panics, and the threads are as few as before. How fast is for `tests/bench/serve`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, SockRef, Socket, Type};
use tempfile::TempDir;

use crate::stage::{Reply, document};

/// Addresses of this machine: the enemy's, and that of everybody else.
const ENEMY: [u8; 4] = [127, 0, 0, 66];
const GOOD: [u8; 4] = [127, 0, 0, 1];

/// Far more than a good answer takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Threads that are there with nobody to serve, and those of all places.
const THREADS: usize = 192 + 32;

/// `wellkeep serve` with a document of so many services.
struct Victim {
    child: Child,
    address: SocketAddr,
    log: Option<JoinHandle<Vec<String>>>,
    _folder: TempDir,
}

impl Victim {
    fn start(services: usize) -> Victim {
        Victim::start_after("", services)
    }

    /// After a command of the shell, such as `ulimit`.
    fn start_after(command: &str, services: usize) -> Victim {
        // Each attack needs more sockets than a test usually may have.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
        let keys: Vec<String> = (0..services).map(|number| format!("service_{number}")).collect();
        let mut document = document(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        document.boot_id.clear();
        let folder = tempfile::tempdir().unwrap();
        let status_file = folder.path().join("status.json");
        std::fs::write(&status_file, serde_json::to_vec(&document).unwrap()).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{command}\nexec \"$@\""), "sh", env!("CARGO_BIN_EXE_wellkeep"), "serve"])
            .args(["--listen", "127.0.0.1:0", "--status-file"])
            .arg(status_file)
            .arg("--config")
            .arg(folder.path().join("none.yml"))
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let serving =
            lines.find_map(|line| Some(line.split_once("serving on http://")?.1.to_owned())).unwrap();
        let address = serving.trim_end_matches('/').parse().unwrap();
        let log = Some(std::thread::spawn(|| lines.collect()));
        let victim = Victim { child, address, log, _folder: folder };
        // Its workers are there once it answers.
        victim.answers(1);
        victim
    }

    /// A connection from one of this machine's addresses.
    fn connect(&self, from: [u8; 4]) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let connection = TcpStream::from(socket);
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// All that comes back for this; nothing, when the viewer hung up before it was sent.
    fn ask(&self, from: [u8; 4], request: &[u8]) -> Vec<u8> {
        let mut connection = self.connect(from);
        let mut reply = Vec::new();
        if connection.write_all(request).is_ok() {
            let _ = connection.read_to_end(&mut reply);
        }
        reply
    }

    /// Everybody good is answered.
    fn answers(&self, times: usize) {
        for _ in 0..times {
            let reply =
                self.ask(GOOD, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            assert!(reply.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&reply));
        }
    }

    /// A figure of `/proc/PID/status`.
    fn figure(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The attack is over: it is as if it had not been.
    fn survives(mut self, threads_before: usize) {
        self.answers(20);
        let deadline = Instant::now() + PATIENCE;
        while self.figure("Threads") > threads_before {
            assert!(Instant::now() < deadline, "{} threads, {threads_before} before", self.figure("Threads"));
            std::thread::yield_now();
        }
        // A debug build; the release build has its figure in the benchmark.
        assert!(self.figure("VmHWM") < 80 * 1024, "{} KiB", self.figure("VmHWM"));
        let log = self.end();
        for fault in ["panicked", "gave no answer", "fault", "does not answer", "cannot be read"] {
            assert!(!log.iter().any(|line| line.contains(fault)), "{log:#?}");
        }
    }

    fn end(&mut self) -> Vec<String> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
        let log = self.log.take().unwrap().join().unwrap();
        assert!(self.child.wait().unwrap().success(), "{log:#?}");
        log
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does it again and again until the sender is gone, with a little rest, so that others get the processor, too.
fn until(end: &Receiver<()>, mut doing: impl FnMut()) {
    while end.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
        doing();
    }
}

/// Statuses of the answers in what came back.
fn statuses(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(reply);
    let statuses = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]);
    // The hint of a refusal has the word, too.
    statuses.filter(|status| status.parse::<u16>().is_ok()).map(str::to_owned).collect()
}

#[test]
fn two_thousand_idle_connections_give_way_to_who_has_a_question() {
    let victim = Victim::start(1);
    let before = victim.figure("Threads");
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.extend((0..100).map(|_| victim.connect(ENEMY)));
        victim.answers(5);
        assert!(victim.figure("Threads") <= THREADS);
    }
    let mut nothing = Vec::new();
    idle[0].read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty(), "the first was closed for the later ones");
    drop(idle);
    victim.survives(before);
}

#[test]
fn idle_connections_of_one_address_never_cost_another_its_own() {
    let victim = Victim::start(1);
    let mut kept = victim.connect(GOOD);
    let _idle: Vec<_> = (0..500).map(|_| victim.connect(ENEMY)).collect();
    victim.answers(1);
    // It has been silent for longer than any of them, and is the only one of its address.
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = Vec::new();
    kept.read_to_end(&mut reply).unwrap();
    assert_eq!(statuses(&reply), ["200"]);
}

#[test]
fn five_hundred_who_send_a_byte_now_and_then_keep_nobody_waiting() {
    let victim = Victim::start(1);
    let before = victim.figure("Threads");
    let (stop, end) = channel();
    std::thread::scope(|scope| {
        let victim = &victim;
        scope.spawn(move || {
            let mut slow: Vec<_> = (0..500).map(|_| victim.connect(ENEMY)).collect();
            let mut head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
            until(&end, || {
                let byte = head.next().unwrap();
                for client in &mut slow {
                    if client.write_all(&[*byte]).is_err() {
                        *client = victim.connect(ENEMY);
                    }
                }
            });
        });
        victim.answers(300);
        assert!(victim.figure("Threads") <= THREADS);
        drop(stop);
    });
    victim.survives(before);
}

#[test]
fn three_hundred_who_never_read_their_large_answer_keep_nobody_waiting() {
    // 1.6 MB
    let victim = Victim::start(4_000);
    let before = victim.figure("Threads");
    let deaf: Vec<_> = (0..300)
        .map(|_| {
            let mut client = victim.connect(ENEMY);
            SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
            client.write_all(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            client
        })
        .collect();
    victim.answers(100);
    assert!(victim.figure("Threads") <= THREADS);
    drop(deaf);
    victim.survives(before);
}

#[test]
fn who_asks_without_a_pause_on_every_place_must_share_them() {
    let victim = Victim::start(1);
    let before = victim.figure("Threads");
    let (stop, end) = channel();
    std::thread::scope(|scope| {
        let victim = &victim;
        scope.spawn(move || {
            let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
            let mut greedy: Vec<_> = (0..250).map(|_| victim.connect(ENEMY)).collect();
            for client in &greedy {
                client.set_nonblocking(true).unwrap();
            }
            let mut replies = vec![0; 64 * 1024];
            until(&end, || {
                for client in &mut greedy {
                    let _ = client.write(request.as_bytes());
                    if matches!(client.read(&mut replies), Ok(0)) {
                        *client = victim.connect(ENEMY);
                        client.set_nonblocking(true).unwrap();
                    }
                }
            });
        });
        victim.answers(100);
        assert!(victim.figure("Threads") <= THREADS);
        drop(stop);
    });
    victim.survives(before);
}

#[test]
fn a_storm_of_resets_in_every_moment_of_a_request_harms_nobody() {
    let victim = Victim::start(500);
    let before = victim.figure("Threads");
    let request: &[u8] = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for round in 0..3_000 {
        let mut client = victim.connect(ENEMY);
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        let _ = client.write_all(&request[..round % (request.len() + 1)]);
        if round % 100 == 0 {
            victim.answers(1);
        }
    }
    victim.survives(before);
}

#[test]
fn a_hundred_megabytes_are_neither_read_to_the_end_nor_held() {
    let victim = Victim::start(1);
    let before = victim.figure("Threads");
    for (head, status) in [
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n", "405"),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n6400000\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: ", "431"),
    ] {
        let mut client = victim.connect(ENEMY);
        client.write_all(head.as_bytes()).unwrap();
        let mut theirs = client.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            let megabyte = vec![b'x'; 1024 * 1024];
            (0..100).all(|_| theirs.write_all(&megabyte).is_ok())
        });
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes());
        victim.answers(5);
        // Whether it still got rid of all of it or was cut off is a matter of how fast it is.
        let _ = sending.join().unwrap();
    }
    victim.survives(before);
}

#[test]
fn thousands_of_quick_requests_leave_nothing_behind() {
    let victim = Victim::start(10);
    let before = victim.figure("Threads");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let request = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                    assert_eq!(statuses(&victim.ask(ENEMY, request)), ["200"]);
                }
            });
        }
        victim.answers(200);
    });
    victim.survives(before);
}

#[test]
fn a_viewer_that_may_open_few_files_is_not_blinded_by_idle_connections() {
    let victim = Victim::start_after("ulimit -n 90", 1);
    let before = victim.figure("Threads");
    let idle: Vec<_> = (0..300).map(|_| victim.connect(ENEMY)).collect();
    for _ in 0..50 {
        let reply =
            victim.ask(GOOD, b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(statuses(&reply), ["200"]);
        assert!(String::from_utf8_lossy(&reply).contains("\"total\":1"), "it has read the file");
    }
    drop(idle);
    victim.survives(before);
}

#[test]
fn at_the_limit_of_open_files_the_idle_are_let_go() {
    // Fewer than it takes for granted.
    let victim = Victim::start_after("ulimit -n 46", 1);
    let before = victim.figure("Threads");
    let idle: Vec<_> = (0..100).map(|_| victim.connect(ENEMY)).collect();
    // With a place or two it may be taken for one of them and must try again, but it gets through.
    let ask = || victim.ask(GOOD, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let deadline = Instant::now() + PATIENCE;
    while !ask().starts_with(b"HTTP/1.1 200 ") {
        assert!(Instant::now() < deadline);
    }
    drop(idle);
    victim.survives(before);
}

#[test]
fn a_request_that_could_be_two_is_refused_and_what_follows_it_is_never_answered() {
    let victim = Victim::start(1);
    let before = victim.figure("Threads");
    let next = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let host = "Host: localhost\r\n";
    for (request, status) in [
        (
            format!(
                "GET / HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            "400",
        ),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 0\r\nContent-Length: 44\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 0x2c\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 0, 44\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}X: a\r\n Content-Length: 44\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length : 44\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\n{host}\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}\n{next}"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        // Refused by name; and these are clear, and their bodies just not read.
        (format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "200"),
        (format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n"), "200"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 44\r\n\r\n"), "200"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 44\r\n\r\n"), "405"),
        (format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{host}"), "400"),
        (format!("GET / HTTP/1.0\r\n{host}Connection: keep-alive\r\n\r\n"), "200"),
        (format!("GET / HTTP/1.1\r\n{host}Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n"), "200"),
    ] {
        let reply = victim.ask(ENEMY, format!("{request}{next}").as_bytes());
        assert_eq!(statuses(&reply), [status], "{request:?}");
    }
    victim.survives(before);
}

#[test]
fn odd_addresses_methods_and_hosts_find_nothing() {
    let victim = Victim::start(1);
    let before = victim.figure("Threads");
    let ask = |line: &[u8], host: &[u8]| {
        let parts: [&[u8]; 4] = [line, b" HTTP/1.1\r\nConnection: close\r\nHost: ", host, b"\r\n\r\n"];
        let request = parts.concat();
        let reply = victim.ask(ENEMY, &request);
        // Eight lines to the server: one that breaks at each would be gone by the end.
        assert!(reply.ends_with(b"}\n") || reply.ends_with(b"}"), "{:?}", String::from_utf8_lossy(&reply));
        statuses(&reply).join(" ")
    };
    for path in [
        "/../../etc/passwd",
        "/static/../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2fetc/passwd",
        "/static/status.js%00",
        "/%00",
        "/%ff%fe",
        "/api/status/%c0%af",
        "//",
        "/.",
        "*",
        "http://localhost/",
        "?",
        "/#",
        "/api/status/../status",
    ] {
        assert_eq!(ask(format!("GET {path}").as_bytes(), b"localhost"), "404", "{path}");
    }
    assert_eq!(ask(&[b"GET /".as_slice(), &[b'a'; 7_000]].concat(), b"localhost"), "404");
    for line in [&b"GET /\xff\xfe"[..], b"GET /\0", b"GET /\x7f", b"GET / x", b"GET", b"G\xc3\xa4T /"] {
        assert_eq!(ask(line, b"localhost"), "400", "{:?}", String::from_utf8_lossy(line));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "head", "get", "!"] {
        assert_eq!(ask(format!("{method} /").as_bytes(), b"localhost"), "405", "{method}");
    }
    assert_eq!(ask(&[[b'M'; 7_000].as_slice(), b" /"].concat(), b"localhost"), "405");
    for (host, status) in [
        (&b"evil.example"[..], "421"),
        (b"", "421"),
        (b"localhost\r\nHost: localhost", "400"),
        (b"local\xffhost", "400"),
        (b"localhost\0", "400"),
        (b"localhost, evil.example", "421"),
        (b"\t", "421"),
    ] {
        assert_eq!(ask(b"GET /", host), status, "{:?}", String::from_utf8_lossy(host));
    }
    victim.survives(before);
}

#[test]
fn five_hundred_requests_sent_ahead_are_all_answered_in_their_order() {
    let victim = Victim::start(1);
    let before = victim.figure("Threads");
    let mut client = victim.connect(ENEMY);
    let mut theirs = client.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        for round in 0..500 {
            let path = if round % 2 == 0 { "livez" } else { "nowhere" };
            theirs.write_all(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        }
        // Half-closed: it goes on reading.
        theirs.shutdown(Shutdown::Write).unwrap();
    });
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).unwrap();
    sending.join().unwrap();
    assert_eq!(statuses(&reply), ["200", "404"].repeat(250));
    victim.survives(before);
}

#[test]
fn who_has_closed_its_half_is_answered_and_who_did_it_too_early_is_let_go() {
    let victim = Victim::start(4_000);
    let before = victim.figure("Threads");
    for (request, is_whole) in [
        ("GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n", true),
        ("GET /api/status HTTP/1.1\r\nHo", false),
    ] {
        let mut client = victim.connect(ENEMY);
        client.write_all(request.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).unwrap();
        assert_eq!(!reply.is_empty(), is_whole);
        if is_whole {
            assert_eq!(Reply::parse(&reply).json()["total"], 4_000);
        }
    }
    victim.survives(before);
}
