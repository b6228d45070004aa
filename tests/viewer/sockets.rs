//! Getting a port, keeping it, and what clients do to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use socket2::SockRef;
use wellkeep::config::Listen;
use wellkeep::viewer::{Inherited, Options, Viewer};

use crate::stage::{Reply, Stage, document, run};

fn at(stage: &Stage, address: SocketAddr) -> Options {
    Options { listen: Listen::Tcp(address), ..stage.options() }
}

/// A port that is taken while the listener lives.
fn taken() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn error_of(options: Options) -> String {
    match Viewer::bind(options) {
        Ok(viewer) => panic!("it listens on {:?}", viewer.address()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_taken_port_is_told_with_the_process_that_has_it_and_what_to_do() {
    let stage = Stage::new();
    let (_listener, address) = taken();
    let known = Options {
        owner_of: Box::new(move |asked| (asked == address).then(|| "nginx (pid 812)".to_owned())),
        ..at(&stage, address)
    };
    assert_eq!(
        error_of(known),
        format!(
            "cannot listen on {address}: nginx (pid 812) has the port. Choose another with --listen, or set \
             `port_fallback: true` under `viewer:` to take the next free one"
        )
    );
    let unknown = error_of(at(&stage, address));
    assert!(unknown.contains("another process (root can see which: ss -ltnp) has the port"), "{unknown}");
}

#[test]
fn with_port_fallback_the_next_free_port_is_taken_and_written_down() {
    let stage = Stage::with(&document(&["flask_web"]));
    let (_listener, address) = taken();
    let addr_file = stage.folder.path().join("viewer.addr");
    let viewer = Viewer::bind(Options {
        port_fallback: true,
        addr_file: Some(addr_file.clone()),
        ..at(&stage, address)
    });
    let viewer = run(viewer.unwrap());
    let ports = address.port() + 1..=address.port().saturating_add(20);
    assert!(ports.contains(&viewer.address.port()), "{}", viewer.address);
    assert_eq!(std::fs::read_to_string(&addr_file).unwrap(), format!("{}\n", viewer.address));
    assert_eq!(viewer.get("/livez").status, 200);
    viewer.stop().unwrap();
    assert!(!addr_file.exists(), "it would point to nobody");
}

#[test]
fn an_address_file_that_cannot_be_written_is_no_reason_not_to_run() {
    let stage = Stage::new();
    let viewer =
        Viewer::bind(Options { addr_file: Some("/nonexistent/viewer.addr".into()), ..stage.options() });
    assert_eq!(run(viewer.unwrap()).get("/livez").status, 200);
}

#[test]
fn an_address_of_another_machine_is_refused_with_advice() {
    let error = error_of(at(&Stage::new(), "192.0.2.7:0".parse().unwrap()));
    assert!(error.contains("This machine has no address 192.0.2.7"), "{error}");
}

#[test]
fn a_restarted_viewer_gets_its_port_back_at_once() {
    let stage = Stage::new();
    let first = stage.run();
    let address = first.address;
    let kept = first.connect();
    first.get("/livez");
    first.stop().unwrap();
    let second = run(Viewer::bind(at(&stage, address)).unwrap());
    assert_eq!(second.get("/livez").status, 200);
    drop(kept);
}

#[test]
fn a_unix_socket_serves_and_goes_away_and_a_leftover_is_replaced() {
    let stage = Stage::with(&document(&["flask_web"]));
    let path = stage.folder.path().join("viewer.sock");
    let options = || Options { listen: Listen::Unix(path.clone()), ..stage.options() };
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let viewer = run(Viewer::bind(options()).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    let mut connection = UnixStream::connect(&path).unwrap();
    connection
        .write_all(b"GET /health HTTP/1.1\r\nHost: status.example.com\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply).unwrap();
    assert_eq!(Reply::parse(&reply).status, 200);

    let error = error_of(options());
    assert!(error.contains("somebody answers there already"), "{error}");
    viewer.stop().unwrap();
    assert!(!path.exists());
}

/// As systemd hands it over.
fn inherited(fds: Vec<OwnedFd>) -> Option<Inherited> {
    let name = Some("wellkeep-viewer.socket".to_owned());
    Some(Inherited { handed_over: fds.into_iter().map(|fd| (name.clone(), fd)).collect() })
}

/// A viewer on a socket of systemd, of which systemd, here the test, keeps its own end.
fn activated(stage: &Stage, socket: OwnedFd) -> Viewer {
    // It would be refused if it were asked.
    let elsewhere = at(stage, "192.0.2.7:0".parse().unwrap());
    Viewer::bind(Options { inherited: inherited(vec![socket]), ..elsewhere }).unwrap()
}

const ASKING: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn a_socket_of_systemd_outlives_the_viewer_and_who_waits_in_it_is_served_by_the_next() {
    let stage = Stage::with(&document(&["flask_web"]));
    let (systemd, address) = taken();
    let socket = || systemd.try_clone().unwrap().into();
    let first = run(activated(&stage, socket()));
    assert_eq!(first.address, address);
    assert_eq!(first.get("/livez").status, 200);
    first.stop().unwrap();

    // Nobody accepts. A client that was refused could not ask.
    let mut waiting = std::net::TcpStream::connect(address).unwrap();
    waiting.write_all(ASKING).unwrap();
    let second = run(activated(&stage, socket()));
    let mut reply = Vec::new();
    waiting.read_to_end(&mut reply).unwrap();
    assert_eq!(Reply::parse(&reply).status, 200);
    assert!(SockRef::from(&systemd).tcp_nodelay().unwrap(), "an answer would wait for a delayed ACK");
    second.stop().unwrap();
    assert!(SockRef::from(&systemd).is_listener().unwrap());
}

#[test]
fn the_file_of_a_unix_socket_of_systemd_stays() {
    let stage = Stage::with(&document(&["flask_web"]));
    let path = stage.folder.path().join("viewer.sock");
    let systemd = UnixListener::bind(&path).unwrap();
    for _ in 0..2 {
        let viewer = activated(&stage, systemd.try_clone().unwrap().into());
        assert_eq!(viewer.address(), &Listen::Unix(path.clone()));
        let viewer = run(viewer);
        let mut connection = UnixStream::connect(&path).unwrap();
        connection.write_all(ASKING).unwrap();
        let mut reply = Vec::new();
        connection.read_to_end(&mut reply).unwrap();
        assert_eq!(Reply::parse(&reply).status, 200);
        viewer.stop().unwrap();
        assert!(path.exists());
    }
}

#[test]
fn the_self_probe_is_content_with_a_socket_of_systemd() {
    let stage = Stage::new();
    let (systemd, address) = taken();
    let viewer = Viewer::bind(Options {
        inherited: inherited(vec![systemd.try_clone().unwrap().into()]),
        self_probe: Duration::from_millis(1),
        ..at(&stage, address)
    });
    let viewer = run(viewer.unwrap());
    for _ in 0..100 {
        assert_eq!(viewer.get("/livez").status, 200);
    }
    viewer.stop().unwrap();
}

#[test]
fn what_is_no_single_stream_socket_that_listens_is_refused_with_what_to_write() {
    let stage = Stage::new();
    let refusal = |fds| error_of(Options { inherited: inherited(fds), ..stage.options() });
    let (connected, _other_end) = UnixStream::pair().unwrap();
    let unconnected = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let path = stage.folder.path().join("file");
    for (what, fd) in [
        ("no stream socket", OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap())),
        ("no stream socket", UnixDatagram::unbound().unwrap().into()),
        ("a socket that does not listen", connected.into()),
        ("a socket that does not listen", unconnected.into()),
        ("no socket that can be used", std::fs::File::create(path).unwrap().into()),
    ] {
        let error = refusal(vec![fd]);
        assert!(error.starts_with(&format!("cannot listen on what systemd handed over: {what}")), "{error}");
        assert!(error.contains("a single ListenStream="), "{error}");
    }
    let (one, _) = taken();
    let (two, _) = taken();
    let error = refusal(vec![one.into(), two.into()]);
    assert!(error.contains("handed over: 2 sockets or files"), "{error}");
}

/// `wellkeep serve` with its stdin moved to where systemd puts sockets, and these variables.
fn serve_with(stdin: OwnedFd, variables: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("{variables} exec \"$0\" serve --config /nonexistent 3<&0 </dev/null");
    command.args(["-c", &script]).arg(env!("CARGO_BIN_EXE_wellkeep"));
    command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env_remove("JOURNAL_STREAM").env_remove("WELLKEEP_LISTEN").env_remove("NOTIFY_SOCKET");
    command
}

#[test]
fn the_command_takes_the_socket_and_says_that_it_decides() {
    let (systemd, address) = taken();
    let variables =
        "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=wellkeep-viewer.socket WELLKEEP_LISTEN=192.0.2.7:1";
    let mut viewer = serve_with(systemd.into(), variables).spawn().unwrap();
    // It connects whether or not somebody accepts yet.
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.write_all(ASKING).unwrap();
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).unwrap();
    assert_eq!(Reply::parse(&reply).status, 200);
    let id = viewer.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    let mut log = String::new();
    viewer.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(viewer.wait().unwrap().success(), "{log}");
    let told = format!("serving on the socket of wellkeep-viewer.socket, which is http://{address}/");
    assert!(log.contains(&told), "{log}");
}

#[test]
fn the_command_ends_with_2_when_it_is_handed_something_else() {
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let end = serve_with(datagrams.into(), "LISTEN_FDS=1 LISTEN_PID=$$").output().unwrap();
    assert_eq!(end.status.code(), Some(2));
    let log = String::from_utf8(end.stderr).unwrap();
    assert!(log.contains("handed over: no stream socket"), "{log}");
}

#[test]
fn a_socket_for_another_process_is_not_taken() {
    let (systemd, _) = taken();
    // So it wants to listen by itself, where it cannot.
    let end = serve_with(systemd.into(), "LISTEN_FDS=1 LISTEN_PID=1 WELLKEEP_LISTEN=192.0.2.7:1").output();
    let log = String::from_utf8(end.unwrap().stderr).unwrap();
    assert!(log.contains("This machine has no address 192.0.2.7"), "{log}");
}

#[test]
fn whoever_was_let_in_is_answered_although_the_viewer_ends() {
    let stage = Stage::with(&document(&["flask_web"]));
    for _ in 0..20 {
        let viewer = stage.run();
        let mut connection = viewer.connect();
        connection.write_all(ASKING).unwrap();
        // This one is accepted after the first, so the first was accepted, and may be anywhere on its way.
        assert_eq!(viewer.get("/livez").status, 200);
        viewer.stop().unwrap();
        let mut reply = Vec::new();
        connection.read_to_end(&mut reply).unwrap();
        assert_eq!(Reply::parse(&reply).status, 200);
    }
}

#[test]
fn a_kept_connection_answers_request_after_request() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    let mut connection = viewer.connect();
    for _ in 0..200 {
        connection.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut reply = [0; 4096];
        let mut filled = 0;
        while !reply[..filled].ends_with(b"}\n") {
            let read = connection.read(&mut reply[filled..]).unwrap();
            assert_ne!(read, 0, "the connection was closed");
            filled += read;
        }
        assert!(reply.starts_with(b"HTTP/1.1 200"));
    }
}

#[test]
fn clients_that_say_nothing_or_stop_in_the_middle_keep_nobody_waiting() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    let silent: Vec<_> = (0..100).map(|_| viewer.connect()).collect();
    let half: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = viewer.connect();
            connection.write_all(b"GET /api/status HTTP/1.1\r\nHost: loc").unwrap();
            connection
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(viewer.get("/api/status").status, 200);
    }
    drop((silent, half));
}

#[test]
fn clients_that_hang_up_in_every_moment_do_not_end_it() {
    let keys: Vec<String> = (0..500).map(|number| format!("service_{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let viewer = Stage::with(&document(&keys)).run();
    for round in 0..200 {
        let mut connection = viewer.connect();
        if round % 2 == 0 {
            // Closing with this answers whatever arrives with a reset.
            SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
        }
        let request: &[u8] = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
        connection.write_all(&request[..request.len().min(round)]).unwrap();
        if round % 3 == 0 {
            connection.write_all(request).unwrap();
        }
    }
    assert_eq!(viewer.get("/api/status").json()["total"], 500);
    viewer.stop().unwrap();
}

#[test]
fn a_body_is_neither_waited_for_nor_held_whatever_length_is_announced() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    for length in ["1025", "1000000000", "1000000000000", "9223372036854775808"] {
        for method in ["GET", "POST"] {
            let mut connection = viewer.connect();
            let head = format!(
                "{method} /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\nbody"
            );
            connection.write_all(head.as_bytes()).unwrap();
            let mut reply = Vec::new();
            connection.read_to_end(&mut reply).unwrap();
            assert_eq!(Reply::parse(&reply).status, if method == "GET" { 200 } else { 405 }, "{length}");
        }
    }
}

#[test]
fn an_endless_head_is_cut_off() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    let mut connection = viewer.connect();
    connection.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    connection.write_all(&[b'x'; 9 * 1024]).unwrap();
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply).unwrap();
    assert_eq!(Reply::parse(&reply).status, 431);
}

#[test]
fn a_viewer_full_of_silent_clients_lets_the_oldest_go_and_is_content_with_itself() {
    let stage = Stage::new();
    let viewer = Viewer::bind(Options { self_probe: Duration::from_millis(1), ..stage.options() });
    let viewer = run(viewer.unwrap());
    let mut silent: Vec<_> = (0..200).map(|_| viewer.connect()).collect();
    assert_eq!(viewer.get("/livez").status, 200);
    let mut nothing = Vec::new();
    silent[0].read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty());
    drop(silent);
    viewer.stop().unwrap();
}

#[test]
fn requests_that_are_sent_ahead_are_answered_in_their_order() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    let replies = viewer.ask(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n\
         GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let statuses: Vec<&str> = replies.whole.split("HTTP/1.1 ").skip(1).map(|reply| &reply[..3]).collect();
    assert_eq!(statuses, ["200", "200", "404"]);
}

#[test]
fn nonsense_is_answered_or_dropped_and_does_not_end_it() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    for nonsense in
        ["\r\n\r\n", "GET\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n"]
    {
        let mut connection = viewer.connect();
        connection.write_all(nonsense.as_bytes()).unwrap();
        let mut reply = Vec::new();
        connection.read_to_end(&mut reply).unwrap();
        assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 400"), "{nonsense:?}");
    }
    assert_eq!(viewer.get("/").status, 200);
}

#[test]
fn a_viewer_that_can_accept_nobody_any_more_ends_by_itself_and_says_why() {
    let stage = Stage::new();
    let path = stage.folder.path().join("viewer.sock");
    let viewer = Viewer::bind(Options {
        listen: Listen::Unix(path.clone()),
        self_probe: Duration::from_millis(10),
        ..stage.options()
    });
    let viewer = viewer.unwrap();
    // Nobody finds its socket any more.
    std::fs::remove_file(&path).unwrap();
    let end = run(viewer).end().unwrap_err().to_string();
    assert!(end.contains("does not answer its own requests any more: No such file"), "{end}");
}

#[test]
fn the_self_probe_of_a_viewer_at_work_is_content() {
    let stage = Stage::new();
    let viewer = Viewer::bind(Options { self_probe: Duration::from_millis(1), ..stage.options() });
    let viewer = run(viewer.unwrap());
    for _ in 0..100 {
        assert_eq!(viewer.get("/livez").status, 200);
    }
    viewer.stop().unwrap();
}
