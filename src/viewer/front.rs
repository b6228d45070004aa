//! What stands before the server: it accepts the connections, reads the head of each request itself, and passes on
//! what is left of it, one harmless request at a time, over a few connections that it opened at the start.
//!
//! The server by itself hands a new connection to a pool of threads that miscounts in a burst: with a hundred silent
//! clients, a good one waited over 10 s in 2 of 15 runs, and a browser opens silent connections just in case. A
//! connection that is reset early panics a thread of that pool. Neither a body nor an endless head is limited there.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::net::{IpAddr, Shutdown};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getrlimit};
use socket2::Socket;

use super::http::SECURITY_HEADERS;
use super::lines::Lines;
use super::newcomers::Newcomers;
use super::seats::{Doing, Seat, Seats};
use super::sending::{self, Sending, Share};
use super::under_way::{Pass, UnderWay};

/// Connections at a time. Each costs a thread with a small stack; a silent one is closed after [`FIRST_WAIT`], and
/// before when its place is needed. The unit's TasksMax leaves room for as many and the viewer's own threads.
const CONNECTIONS: usize = 192;

/// Connections at a time that have no place yet; these cost a file descriptor each. systemd allows 1024 of those.
const NEWCOMERS: usize = 512;

/// File descriptors that are not for clients: the viewer itself has 41 open, and reads the status file now and then.
const OWN_DESCRIPTORS: u64 = 64;

const STACK_BYTES: usize = 128 * 1024;

/// A request's head may be so long.
const HEAD_BYTES: usize = 8 * 1024;
pub(super) const HEADERS: usize = 64;

/// How long a head may take: of a new connection from its begin, of a kept one from its first byte.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How long a kept connection may say nothing.
const NEXT_WAIT: Duration = Duration::from_secs(30);

/// How long a client that was answered may go on sending what nobody reads.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long to wait when the system gives no connection (no file descriptors left): it may again.
const PAUSE: Duration = Duration::from_millis(50);

/// Headers that are passed on. No other has a meaning to the viewer.
const PASSED_ON: [&str; 8] = [
    "Host",
    "Accept",
    "Accept-Encoding",
    "If-None-Match",
    "If-Modified-Since",
    "Origin",
    "Access-Control-Request-Method",
    "Authorization",
];

/// The header in which the front tells the server who asks. It is none of [`PASSED_ON`], so no client can send it.
pub(super) const CLIENT: &str = "Wellkeep-Client";

/// The front at work.
pub(super) struct Front {
    /// Ends the thread that accepts by going away.
    going_on: PipeWriter,
    accepting: JoinHandle<()>,
    under_way: Arc<UnderWay>,
}

impl Front {
    /// Accepts from now on. It never gives up by itself: whether anybody is reached is for the self-probe to tell.
    ///
    /// # Errors
    /// When the system is at its limit of file descriptors or threads.
    pub(super) fn open(listener: Socket, lines: Arc<Lines>) -> io::Result<Front> {
        // Who is gone again before being accepted must not keep the others, and the end, waiting.
        listener.set_nonblocking(true)?;
        let (end, going_on) = io::pipe()?;
        let under_way = Arc::new(UnderWay::default());
        let counted = under_way.clone();
        let thread = std::thread::Builder::new().name("viewer-front".to_owned());
        let accepting = thread.spawn(move || accept(&listener, &end, &lines, &counted))?;
        Ok(Front { going_on, accepting, under_way })
    }

    /// Accepts nobody any more, closes the socket, and waits for the requests that are under way, at most so long.
    pub(super) fn close(self, patience: Duration) {
        drop(self.going_on);
        // A fault in that thread has ended it, which is all that is wanted.
        let _ = self.accepting.join();
        self.under_way.end(patience);
    }
}

fn accept(listener: &Socket, end: &PipeReader, lines: &Arc<Lines>, under_way: &Arc<UnderWay>) {
    let room = Room::of(getrlimit(Resource::Nofile).current);
    let seats = Seats::new(room.places);
    let mut newcomers = Newcomers::new(room.newcomers);
    let sending = Arc::new(Sending::default());
    let serve = |client, seat| {
        let (lines, sending, under_way) = (lines.clone(), sending.clone(), under_way.clone());
        // Under way from here on: its request may be here already.
        let pass = under_way.begin();
        let conversation = move |client: &Socket| {
            converse(&Guest { client, seat, lines: &lines, sending: &sending }, &under_way, pass);
        };
        attend(client, conversation, |job| {
            let thread = std::thread::Builder::new().name("viewer-client".to_owned());
            thread.stack_size(STACK_BYTES).spawn(job).map(drop)
        });
    };
    while newcomers.wait(listener, end, &seats) {
        if newcomers.let_in(listener, &seats).is_err() {
            newcomers.thin_out(&seats);
            seats.make_room();
            std::thread::sleep(PAUSE);
        }
        newcomers.forget_gone();
        // Once the places are taken, each one more is waited for, and others may come meanwhile.
        while let Some((client, seat)) = newcomers.seat_next(&seats) {
            serve(client, seat);
            if !seats.has_free() {
                break;
            }
        }
        newcomers.too_late().for_each(|client| turn_away(&client));
    }
    // Nobody else would answer those who were let in.
    while let Some((client, seat)) = newcomers.seat_next(&seats) {
        serve(client, seat);
    }
}

/// Has a client answered by a thread of its own, which `spawn` starts. One for which there is none is told so.
fn attend(
    client: Arc<Socket>,
    conversation: impl FnOnce(&Socket) + Send + 'static,
    spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
) {
    let theirs = client.clone();
    if spawn(Box::new(move || conversation(&theirs))).is_err() {
        // Not a word to the log: it would be one for each of a flood of clients.
        turn_away(&client);
    }
}

/// Refuses a client without a farewell: the thread that accepts waits for nobody.
fn turn_away(client: &Socket) {
    let _ = refuse(client, &CROWDED);
}

/// How many clients there may be.
#[derive(Debug, PartialEq)]
struct Room {
    places: usize,
    newcomers: usize,
}

impl Room {
    /// When the process may open so many files. A viewer without one left would call a good status file unreadable.
    fn of(descriptors: Option<u64>) -> Room {
        let left = descriptors.map_or(u64::MAX, |limit| limit.saturating_sub(OWN_DESCRIPTORS));
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let places = (left / 2).clamp(1, CONNECTIONS);
        Room { places, newcomers: left.saturating_sub(places).clamp(1, NEWCOMERS) }
    }
}

/// A client with a place, and what it takes to answer it.
struct Guest<'a> {
    client: &'a Socket,
    seat: Seat,
    lines: &'a Lines,
    sending: &'a Sending,
}

/// Answers one client until it, or what it sent, or the viewer's end, ends the conversation.
fn converse(guest: &Guest<'_>, under_way: &Arc<UnderWay>, mut pass: Option<Pass>) {
    sending::bound_buffer(guest.client);
    let mut received = Vec::new();
    if !says_something(guest.client, FIRST_WAIT) {
        pass = None;
    }
    while pass.is_some()
        && guest.seat.goes_on(Doing::Speaking)
        && let Ok(Conversation::GoesOn) = turn(guest, &mut received)
        && guest.seat.goes_on(Doing::Waiting)
    {
        // Nobody waits for a client that has nothing to ask.
        drop(pass.take());
        if !received.is_empty() || says_something(guest.client, NEXT_WAIT) {
            pass = under_way.begin();
        }
    }
    drop(pass);
    guest.seat.goes_on(Doing::Leaving);
    hang_up(guest.client);
}

/// Waits for the client's next byte, or its end. False when there was none in time.
fn says_something(client: &Socket, wait: Duration) -> bool {
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    poll(&mut [PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN)], Some(&wait))
        .is_ok_and(|count| count > 0)
}

/// Whether another request can follow.
enum Conversation {
    GoesOn,
    Over,
}

/// One request and its answer.
fn turn(guest: &Guest<'_>, received: &mut Vec<u8>) -> io::Result<Conversation> {
    let Guest { client, seat, lines, sending } = guest;
    let request = match read_head(client, received, FIRST_WAIT) {
        Ok(head) => Passed::parse(&head, address(client)),
        Err(Interruption::Gone) => return Ok(Conversation::Over),
        Err(Interruption::Refused(refusal)) => Err(refusal),
    };
    if !seat.goes_on(Doing::Asking) {
        return Ok(Conversation::Over);
    }
    let answer = request.and_then(|request| {
        let answer = lines.ask(&request.text, request.is_head).ok_or(STUCK)?;
        let body = sending.share(answer.body).ok_or(CROWDED)?;
        Ok((request.is_last, answer.head, body))
    });
    match answer {
        Ok((is_last, head, body)) => {
            let is_last = !seat.goes_on(Doing::Taking) || is_last;
            sending::send(client, &with_connection(&head, is_last), &body, || {
                seat.goes_on(Doing::Taking);
            })?;
            Ok(if is_last { Conversation::Over } else { Conversation::GoesOn })
        }
        Err(refusal) => {
            refuse(client, &refusal)?;
            Ok(Conversation::Over)
        }
    }
}

/// Who a client is, by its address; none behind a unix socket.
fn address(client: &Socket) -> Option<IpAddr> {
    Some(client.peer_addr().ok()?.as_socket()?.ip())
}

/// Why no request was read.
enum Interruption {
    /// The client went away, or never said anything.
    Gone,
    /// It said something that is not answered.
    Refused(Refusal),
}

/// An answer that does not come from the routes.
pub(super) struct Refusal {
    status: &'static str,
    error: &'static str,
    hint: &'static str,
}

const CROWDED: Refusal =
    Refusal { status: "503 Service Unavailable", error: "too many connections", hint: "try again later" };
const STUCK: Refusal = Refusal {
    status: "500 Internal Server Error",
    error: "the viewer is stuck",
    hint: "it restarts itself when this goes on",
};
const TOO_LONG: Refusal = Refusal {
    status: "431 Request Header Fields Too Large",
    error: "the head is longer than 8 KiB",
    hint: "send fewer headers",
};
const TOO_SLOW: Refusal = Refusal {
    status: "408 Request Timeout",
    error: "the head did not arrive in time",
    hint: "send it at once",
};

const TOO_MANY: Refusal = Refusal {
    status: "431 Request Header Fields Too Large",
    error: "the head has more than 64 headers",
    hint: "send fewer headers",
};
/// Two readers could see different ends of such a request, and the second of them another request in the rest.
const UNCLEAR: Refusal = Refusal {
    status: "400 Bad Request",
    error: "it is not clear how long the body is",
    hint: "send GET requests without a body",
};

fn bad(error: &'static str) -> Refusal {
    Refusal { status: "400 Bad Request", error, hint: "send a plain HTTP/1.1 request" }
}

/// Reads up to the empty line. What the client sent beyond it stays in `received` for the next turn.
fn read_head(mut client: &Socket, received: &mut Vec<u8>, wait: Duration) -> Result<Vec<u8>, Interruption> {
    let deadline = Instant::now() + wait;
    let mut chunk = [0; 2048];
    loop {
        if let Some(end) = find_end(received) {
            let rest = received.split_off(end);
            return Ok(std::mem::replace(received, rest));
        }
        if received.len() > HEAD_BYTES {
            return Err(Interruption::Refused(TOO_LONG));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // A timeout of zero would be none.
        let waited = left.is_zero() || client.set_read_timeout(Some(left)).is_err();
        match if waited { Err(io::ErrorKind::TimedOut.into()) } else { client.read(&mut chunk) } {
            Ok(0) => return Err(Interruption::Gone),
            Ok(length) => received.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if !is_timeout(&error) || received.is_empty() => return Err(Interruption::Gone),
            Err(_) => return Err(Interruption::Refused(TOO_SLOW)),
        }
    }
}

/// Where a head ends: behind the empty line.
pub(super) fn find_end(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|end| end + 4)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What is passed on of a request: nothing that could confuse whoever reads it next, and no body.
#[derive(Debug, PartialEq)]
pub(super) struct Passed {
    pub(super) text: String,
    pub(super) is_head: bool,
    /// No request follows: the client said so, or sends a body, which is not read.
    pub(super) is_last: bool,
}

impl Passed {
    pub(super) fn parse(head: &[u8], client: Option<IpAddr>) -> Result<Passed, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            // A head that ends before its end has another request in it for whoever counts lines differently.
            Ok(httparse::Status::Complete(length)) if length == head.len() && !has_bare_line_end(head) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(TOO_MANY),
            _ => return Err(bad("this is not HTTP/1")),
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version)
        else {
            return Err(bad("this is not HTTP/1"));
        };
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("the address has characters that must be percent-encoded"));
        }
        let mut passed = Passed {
            text: format!("{method} {target} HTTP/1.1\r\n"),
            is_head: method == "HEAD",
            is_last: version == 0,
        };
        let mut hosts = 0;
        let (mut length, mut is_encoded) = (None, false);
        for header in request.headers {
            let named = |name: &&str| header.name.eq_ignore_ascii_case(name);
            hosts += usize::from(named(&"Host"));
            is_encoded |= named(&"Transfer-Encoding");
            if named(&"Content-Length") {
                let is_clear = length.is_none_or(|known| known == header.value)
                    && !header.value.is_empty()
                    && header.value.iter().all(u8::is_ascii_digit);
                if !is_clear {
                    return Err(UNCLEAR);
                }
                length = Some(header.value);
            }
            passed.is_last |= named(&"Transfer-Encoding") || named(&"Upgrade") || named(&"Expect");
            passed.is_last |= named(&"Content-Length") && header.value != b"0";
            passed.is_last |= named(&"Connection") && says_close(header.value);
            if let Some(name) = PASSED_ON.iter().find(|name| named(name)) {
                let value = std::str::from_utf8(header.value).ok().filter(|value| value.is_ascii());
                let value = value.ok_or(bad("a header has characters beyond ASCII"))?;
                passed.text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if is_encoded && length.is_some() {
            return Err(UNCLEAR);
        }
        match hosts {
            1 => {}
            0 if version == 0 => {}
            0 => return Err(bad("the Host header is missing")),
            _ => return Err(bad("there is more than one Host header")),
        }
        if let Some(client) = client {
            passed.text.push_str(&format!("{CLIENT}: {client}\r\n"));
        }
        passed.text.push_str("\r\n");
        Ok(passed)
    }
}

/// Whether a line ends otherwise than by CR and LF. httparse lets a single LF pass.
fn has_bare_line_end(head: &[u8]) -> bool {
    (0..head.len()).any(|at| head[at] == b'\n' && (at == 0 || head[at - 1] != b'\r'))
}

/// Whether a `Connection` header, which is a list, has the word `close`.
fn says_close(connection: &[u8]) -> bool {
    connection.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// The head of an answer with the word about the connection that the server cannot give.
pub(super) fn with_connection(head: &[u8], is_last: bool) -> Vec<u8> {
    let first_line = head.windows(2).position(|bytes| bytes == b"\r\n").map_or(0, |end| end + 2);
    let (first_line, rest) = head.split_at(first_line);
    let connection: &[u8] = if is_last { b"Connection: close\r\n" } else { b"" };
    [first_line, connection, rest].concat()
}

fn refuse(client: &Socket, problem: &Refusal) -> io::Result<()> {
    sending::send(client, refusal(problem).as_bytes(), &Share::nothing(), || ())
}

/// The whole answer.
pub(super) fn refusal(problem: &Refusal) -> String {
    let Refusal { status, error, hint } = problem;
    let body = serde_json::json!({ "error": error, "hint": hint }).to_string();
    let security: String =
        SECURITY_HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nCache-Control: no-cache\r\nContent-Length: {}\r\n\
         Connection: close\r\nServer: wellkeep\r\nDate: {}\r\n{security}\r\n{body}",
        body.len(),
        httpdate::fmt_http_date(SystemTime::now())
    )
}

/// Closes a connection so that the client can still read the answer: closed with something unread in it, the kernel
/// would answer with a reset, and the client might lose what it has not read yet.
fn hang_up(mut client: &Socket) {
    let deadline = Instant::now() + FAREWELL;
    let _ = client.shutdown(Shutdown::Write);
    let _ = client.set_read_timeout(Some(FAREWELL));
    let mut ignored = [0; 4096];
    while Instant::now() < deadline && client.read(&mut ignored).is_ok_and(|length| length > 0) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn passed(head: &str) -> Passed {
        Passed::parse(head.as_bytes(), None).unwrap_or_else(|refusal| panic!("{head:?}: {}", refusal.error))
    }

    fn pair() -> (Socket, Socket) {
        Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap()
    }

    #[test]
    fn a_client_for_which_there_is_no_thread_is_told_so() {
        let (mut client, viewer) = pair();
        attend(Arc::new(viewer), |_| panic!("nobody is there"), |_| Err(io::ErrorKind::WouldBlock.into()));
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    }

    #[test]
    fn close_is_found_wherever_it_stands_in_the_list() {
        for last in ["close", "Close", "close, TE", "TE,close", "TE , close "] {
            assert!(
                passed(&format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: {last}\r\n\r\n")).is_last,
                "{last}"
            );
        }
        for kept in ["keep-alive", "TE", "closed", "not-close"] {
            assert!(
                !passed(&format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: {kept}\r\n\r\n")).is_last,
                "{kept}"
            );
        }
    }

    #[test]
    fn what_is_passed_on_is_the_address_and_a_few_headers() {
        let request = passed(
            "GET /a?b HTTP/1.1\r\nhost: x\r\nCookie: secret\r\nTE: chunked\r\nACCEPT:  text/html\r\n\r\n",
        );
        assert_eq!(request.text, "GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n");
        assert!(!request.is_last && !request.is_head);
    }

    #[test]
    fn who_asks_is_what_the_front_saw_and_not_what_the_client_says() {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{CLIENT}: 192.0.2.9\r\n\r\n");
        let seen = Some("192.0.2.1".parse().unwrap());
        let request =
            Passed::parse(head.as_bytes(), seen).unwrap_or_else(|refusal| panic!("{}", refusal.error));
        assert_eq!(request.text, format!("GET / HTTP/1.1\r\nHost: x\r\n{CLIENT}: 192.0.2.1\r\n\r\n"));
        assert!(!passed(&head).text.contains(CLIENT));
    }

    #[test]
    fn a_body_is_never_passed_on_and_ends_the_conversation() {
        for header in ["Content-Length: 1000000000000", "Transfer-Encoding: chunked", "Expect: 100-continue"]
        {
            let request = passed(&format!("POST / HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n"));
            assert_eq!(request.text, "POST / HTTP/1.1\r\nHost: x\r\n\r\n", "{header}");
            assert!(request.is_last, "{header}");
        }
        assert!(!passed("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").is_last);
    }

    #[test]
    fn a_head_that_does_not_end_in_time_is_refused_and_a_silent_client_just_let_go() {
        let after = |sent: &[u8]| {
            let (mut client, viewer) = pair();
            client.write_all(sent).unwrap();
            read_head(&viewer, &mut Vec::new(), Duration::from_millis(10))
        };
        assert!(matches!(after(b""), Err(Interruption::Gone)));
        assert!(
            matches!(after(b"GET / HT"), Err(Interruption::Refused(refusal)) if refusal.status.starts_with("408"))
        );
        assert!(after(b"GET / HTTP/1.1\r\n\r\n").is_ok());
    }

    #[test]
    fn a_low_limit_on_open_files_leaves_the_viewer_those_that_it_needs_itself() {
        let room = |descriptors| {
            let Room { places, newcomers } = Room::of(descriptors);
            (places, newcomers)
        };
        assert_eq!(room(None), (CONNECTIONS, NEWCOMERS));
        assert_eq!(room(Some(1024)), (CONNECTIONS, NEWCOMERS));
        assert_eq!(room(Some(300)), (118, 118));
        assert_eq!(room(Some(100)), (18, 18));
        assert_eq!(room(Some(20)), (1, 1));
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\u{e4} HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: \u{e4}\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(Passed::parse(head.as_bytes(), None).is_err(), "{head:?}");
        }
    }
}
