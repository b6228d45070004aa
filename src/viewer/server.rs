//! The only file that knows tiny_http, and the life of the viewer around it: start, watch, stop.
//!
//! tiny_http 0.12 is good at HTTP and helpless against clients (see `front.rs`), so it never sees one: it listens on
//! a private address just long enough for the front to open its [`Lines`], and answers over those.
//!
//! Whatever else may go wrong, the viewer asks itself for `/livez` through the front door, and ends when it gets no
//! answer twice: systemd starts it anew.

use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tiny_http::{Header, Server};

use super::front::Front;
use super::http::{Body, Method, Request, Response};
use super::lines::{self, Bodies, LINE, Lines};
use crate::config::Listen;
use crate::log::Kind;

/// Requests that are answered at a time, each over a line of its own. All answers come from memory, but for one that
/// waits a little for live checks.
const WORKERS: usize = 8;

/// How long the self-probe waits for each of connect, write and read.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the self-probe comes from, where it has the choice.
const PROBE_FROM: Ipv4Addr = Ipv4Addr::new(127, 93, 55, 1);

/// So many self-probes in a row without an answer end the viewer. One may be lost in a burst of connections.
const PROBE_FAILURES: u32 = 2;

/// How long an orderly stop waits for clients that are being answered, and then for the workers.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// A handler of requests, called by several workers at a time.
pub(super) type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

/// Serves until `stop` says so or its sender is gone, or until the viewer is found dead; the error says how. Then the
/// socket is closed; one that systemd holds as well lives on there, with all who wait in its queue.
pub(super) fn serve(
    socket: Socket,
    handler: &Handler,
    stop: &Receiver<()>,
    probe_every: Duration,
    address: &Listen,
) -> Result<(), String> {
    let stopping = Arc::new(AtomicBool::new(false));
    let cannot = |error: io::Error| format!("it cannot start: {error}");
    let crew = Crew::start(handler, &stopping).map_err(cannot)?;
    let end = match Front::open(socket, crew.lines.clone()) {
        Ok(front) => {
            let end = supervise(stop, probe_every, || self_probe(address, PROBE_TIMEOUT));
            front.close(STOP_WITHIN);
            end
        }
        Err(error) => Err(cannot(error)),
    };
    stopping.store(true, Ordering::Release);
    crew.dismiss();
    end
}

/// The server, its workers and the lines to it.
struct Crew {
    /// Its drop panics on an address without a file.
    server: Arc<ManuallyDrop<Server>>,
    lines: Arc<Lines>,
    /// Hangs up when the last worker is gone.
    at_work: Receiver<()>,
}

impl Crew {
    fn start(handler: &Handler, stopping: &Arc<AtomicBool>) -> io::Result<Crew> {
        let address = lines::new_address()?;
        let listener = UnixListener::bind_addr(&address)?;
        let door = listener.try_clone()?;
        let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
        let server = Arc::new(ManuallyDrop::new(server));
        let bodies = Arc::new(Bodies::new(WORKERS));
        let (working, at_work) = channel();
        for number in 0..WORKERS {
            let (server, handler, bodies) = (server.clone(), handler.clone(), bodies.clone());
            let (stopping, working) = (stopping.clone(), working.clone());
            std::thread::Builder::new().name(format!("viewer-{number}")).spawn(move || {
                work(&server, &handler, &bodies, &stopping);
                drop(working);
            })?;
        }
        let lines = Arc::new(Lines::open(bodies, &address)?);
        // Nobody else will ever be accepted. The accept thread ends on it, which it tells one worker.
        SockRef::from(&door).shutdown(Shutdown::Both)?;
        Ok(Crew { server, lines, at_work })
    }

    /// Ends the workers. Answers that are still being written to slow readers go on until the process ends.
    fn dismiss(self) {
        for _ in 0..WORKERS {
            self.server.unblock();
        }
        // Nothing is ever sent: it is an error either way, at the latest after the limit.
        let _ = self.at_work.recv_timeout(STOP_WITHIN);
    }
}

/// One worker: answers requests until it is told to stop.
fn work(server: &Server, handler: &Handler, bodies: &Bodies, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Acquire) {
        // An error is the end of the accept thread, which is meant, or the wake-up for the stop.
        let Ok(request) = server.recv() else {
            continue;
        };
        if catch_unwind(AssertUnwindSafe(|| answer(request, handler, bodies))).is_err() {
            tracing::error!(event = %Kind::Fault, "a request could not be answered because of a fault in the viewer");
        }
    }
}

fn answer(request: tiny_http::Request, handler: &Handler, bodies: &Bodies) {
    let header = |name: &'static str| {
        let found: Vec<&str> = request
            .headers()
            .iter()
            .filter(|header| header.field.equiv(name))
            .map(|header| header.value.as_str())
            .collect();
        Some(found.join(", ")).filter(|_| !found.is_empty())
    };
    let method = match request.method() {
        tiny_http::Method::Get => Method::Get,
        tiny_http::Method::Head => Method::Head,
        tiny_http::Method::Options => Method::Options,
        _ => Method::Other,
    };
    let line = header(LINE).and_then(|number| number.parse().ok());
    let response = handler(Request::new(method, request.url().to_owned(), header));
    let (head, body) = parts(response);
    if let Some(line) = line {
        bodies.leave(line, body);
    }
    let mut writer = request.into_writer();
    // An error means that the front has given this line up, and says so.
    let _ = writer.write_all(&head).and_then(|()| writer.flush());
}

/// What the server makes of a response: the head with the length of the body, and the body, which does not go through it.
pub(super) fn parts(response: Response) -> (Vec<u8>, Body) {
    // The crate names itself unless it is told another name.
    let mut headers = vec![("Server", "wellkeep".into())];
    headers.extend(response.headers);
    let headers = headers.iter().map(|(name, value)| {
        Header::from_bytes(name.as_bytes(), value.as_bytes()).expect("all header values are ours, and ASCII")
    });
    let length = Some(response.body.len());
    let translated =
        tiny_http::Response::new(response.status.into(), headers.collect(), io::empty(), length, None)
            // The length is known, so it is told, also for large documents.
            .with_chunked_threshold(usize::MAX);
    let mut head = Vec::with_capacity(1024);
    let printed = translated.raw_print(&mut head, tiny_http::HTTPVersion(1, 1), &[], true, None);
    printed.expect("memory takes everything");
    (head, response.body)
}

/// Waits for the end, and asks the server meanwhile whether it is still there.
fn supervise(
    stop: &Receiver<()>,
    probe_every: Duration,
    probe: impl Fn() -> Result<(), String>,
) -> Result<(), String> {
    let mut failures = 0;
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(probe_every) {
        let Err(reason) = probe() else {
            failures = 0;
            continue;
        };
        failures += 1;
        if failures == PROBE_FAILURES {
            return Err(format!("it does not answer its own requests any more: {reason}"));
        }
        tracing::warn!(event = %Kind::Viewer, "the viewer does not answer its own request: {reason}; once more, and it ends itself");
    }
    Ok(())
}

/// Asks the viewer at `address` whether it is alive. Being turned away for too many connections is a sign of life, and not
/// being let in, by the mode of a socket that is systemd's, is no sign of anything.
fn self_probe(address: &Listen, timeout: Duration) -> Result<(), String> {
    match ask(address, timeout) {
        Ok(status) if status == b"HTTP/1.1 200" || status == b"HTTP/1.1 503" => Ok(()),
        Ok(other) => Err(format!("it answered {:?}", String::from_utf8_lossy(&other))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The first twelve bytes of the answer: version and status.
fn ask(address: &Listen, timeout: Duration) -> io::Result<Vec<u8>> {
    let (domain, address) = match address {
        Listen::Tcp(address) => (Domain::for_address(*address), SockAddr::from(reachable(*address))),
        Listen::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let mut socket = Socket::new(domain, Type::STREAM, None)?;
    if address.as_socket_ipv4().is_some_and(|address| address.ip().is_loopback()) {
        // Behind a proxy on this machine all clients have its address. In a flood of them the probe must not be one more. Where
        // there is no such address, it is.
        let _ = socket.bind(&SocketAddr::from((PROBE_FROM, 0)).into());
    }
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))?;
    socket.connect_timeout(&address, timeout)?;
    socket.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = vec![0; b"HTTP/1.1 200".len()];
    socket.read_exact(&mut status)?;
    Ok(status)
}

/// Where a listener on all addresses is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    /// Supervises with these answers of the self-probe, and stops in good order after them.
    fn supervised(answers: &[bool]) -> Result<(), String> {
        let (sender, stop) = channel();
        let sender = Cell::new(Some(sender));
        let mut answers = answers.to_vec();
        answers.reverse();
        let answers = Cell::new(answers);
        supervise(&stop, SHORT, || {
            let mut left = answers.take();
            let answer = left.pop();
            if left.is_empty() {
                drop(sender.take());
            }
            answers.set(left);
            answer.filter(|alive| *alive).map(|_| ()).ok_or("silence".to_owned())
        })
    }

    #[test]
    fn two_self_probes_in_a_row_without_an_answer_end_the_viewer_and_one_does_not() {
        assert_eq!(supervised(&[true, false, true, false, true]), Ok(()));
        let end = supervised(&[true, false, false, true]);
        assert_eq!(end, Err("it does not answer its own requests any more: silence".to_owned()));
    }

    #[test]
    fn the_self_probe_notices_a_socket_behind_which_nobody_accepts() {
        // The kernel completes the connection by itself: only a missing answer tells.
        let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Listen::Tcp(deaf.local_addr().unwrap());
        assert!(self_probe(&address, Duration::from_millis(20)).is_err());
        drop(deaf);
        let refused = self_probe(&address, Duration::from_millis(20)).unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
    }

    #[test]
    fn a_listener_on_all_addresses_is_probed_over_loopback() {
        assert_eq!(reachable("0.0.0.0:9355".parse().unwrap()), "127.0.0.1:9355".parse().unwrap());
        assert_eq!(reachable("[::]:9355".parse().unwrap()), "[::1]:9355".parse().unwrap());
        assert_eq!(reachable("192.0.2.7:9355".parse().unwrap()), "192.0.2.7:9355".parse().unwrap());
    }
}
