//! The few connections into the server: opened at the start, kept, and each used for one request at a time.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::mpsc::{SendError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::http::Body;
use super::source::lock;
use crate::log::Kind;

/// How long a request waits for a free line.
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer may take. Nothing in our own server takes so long: live checks are waited for 4 s at most
/// (`live.rs`), all else comes from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The head of an answer that is longer than this is none of ours.
const HEAD_BYTES: usize = 8 * 1024;

/// The header in which the server is told over which line a request comes. No client can send it: see `front.rs`.
pub(super) const LINE: &str = "Wellkeep-Line";

/// Where the server leaves the bodies of its answers, a place for each line. Over the line comes only the head: who asks
/// is in the same process, and a copy of the document of a thousand services for each line was most of the memory that
/// clients could make the viewer take.
pub(super) struct Bodies(Vec<Mutex<Option<Body>>>);

impl Bodies {
    /// For so many lines.
    pub(super) fn new(count: usize) -> Bodies {
        Bodies((0..count).map(|_| Mutex::default()).collect())
    }

    /// Leaves a body, before its head is sent.
    pub(super) fn leave(&self, line: usize, body: Body) {
        if let Some(place) = self.0.get(line) {
            *lock(place) = Some(body);
        }
    }

    fn take(&self, line: usize) -> Option<Body> {
        lock(self.0.get(line)?).take()
    }
}

/// The lines. One that breaks is not replaced, since the server accepts nobody after the start: when all are gone the
/// self-probe gets no answer, and the viewer ends.
pub(super) struct Lines {
    state: Mutex<State>,
    bodies: Arc<Bodies>,
}

struct Line {
    number: usize,
    stream: UnixStream,
}

struct State {
    free: Vec<Line>,
    /// Who waits for one, in their order. With a lock alone whoever asks without a pause gets the line that it has just
    /// returned, and others wait until they are told that the viewer is stuck.
    queue: VecDeque<Sender<Line>>,
}

/// An answer, whole in memory.
pub(super) struct Answer {
    /// From the status to the empty line.
    pub(super) head: Vec<u8>,
    /// Apart from the head, which is never the same twice, so that clients can share it.
    pub(super) body: Body,
}

/// A new address for the server: without a file, so that it works where nothing can be written, and not to be
/// guessed in the moment that it exists.
pub(super) fn new_address() -> io::Result<SocketAddr> {
    let number = RandomState::new().hash_one(std::process::id());
    SocketAddr::from_abstract_name(format!("wellkeep-viewer-{number:016x}"))
}

impl Lines {
    /// Opens a line for each place of a body.
    pub(super) fn open(bodies: Arc<Bodies>, address: &SocketAddr) -> io::Result<Lines> {
        let mut free = Vec::new();
        for number in 0..bodies.0.len() {
            let mut line = Line { number, stream: UnixStream::connect_addr(address)? };
            line.stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            // Each is answered before the next is opened, so that the server's pool cannot put two on one thread, where
            // the second would wait for ever.
            line.ask(&bodies, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", false)?;
            free.push(line);
        }
        Ok(Lines { state: Mutex::new(State { free, queue: VecDeque::new() }), bodies })
    }

    /// The answer to a request; none when no line became free, or it broke.
    pub(super) fn ask(&self, request: &str, is_head: bool) -> Option<Answer> {
        let mut line = self.take(TURN_WITHIN)?;
        match line.ask(&self.bodies, request, is_head) {
            Ok(answer) => {
                self.give_back(line);
                Some(answer)
            }
            Err(error) => {
                tracing::error!(event = %Kind::Viewer, "the viewer's server gave no answer: {error}");
                None
            }
        }
    }

    fn take(&self, patience: Duration) -> Option<Line> {
        let turn = {
            let mut state = lock(&self.state);
            if let Some(line) = state.free.pop() {
                return Some(line);
            }
            let (sender, turn) = channel();
            state.queue.push_back(sender);
            turn
        };
        turn.recv_timeout(patience).ok().or_else(|| {
            // Lines are given away under this lock: one that came at the last moment is here, and none comes any more.
            let _state = lock(&self.state);
            let last = turn.try_recv().ok();
            drop(turn);
            last
        })
    }

    fn give_back(&self, mut line: Line) {
        let mut state = lock(&self.state);
        while let Some(next) = state.queue.pop_front() {
            match next.send(line) {
                Ok(()) => return,
                // It has given up.
                Err(SendError(returned)) => line = returned,
            }
        }
        state.free.push(line);
    }
}

impl Line {
    /// Sends a request and reads the head of the one answer to it, of which our own server always tells the length.
    fn ask(&mut self, bodies: &Bodies, request: &str, is_head: bool) -> io::Result<Answer> {
        let request = request.strip_suffix("\r\n").ok_or(io::ErrorKind::InvalidInput)?;
        self.stream.write_all(format!("{request}{LINE}: {}\r\n\r\n", self.number).as_bytes())?;
        let mut head = Vec::with_capacity(1024);
        let mut chunk = [0; 1024];
        let lengths = loop {
            if let Some(lengths) = lengths(&head, is_head)? {
                break lengths;
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => head.extend_from_slice(&chunk[..read]),
            }
        };
        // Left there also where none is sent. Where none was left, a handler had a fault, and the answer says so without one.
        let left = bodies.take(self.number).filter(|_| lengths.body > 0);
        let body = left.unwrap_or(Body::Static(&[]));
        // Requests go over a line one at a time: whatever else there is belongs to no answer.
        if head.len() != lengths.head || body.len() != lengths.body {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Answer { head, body })
    }
}

/// How long the two parts of an answer are.
#[derive(Debug, PartialEq)]
pub(super) struct Lengths {
    pub(super) head: usize,
    pub(super) body: usize,
}

/// The lengths of an answer, as soon as its head is there.
pub(super) fn lengths(answer: &[u8], is_head: bool) -> io::Result<Option<Lengths>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(answer).map_err(io::Error::other)? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial if answer.len() > HEAD_BYTES => {
            return Err(io::ErrorKind::InvalidData.into());
        }
        httparse::Status::Partial => return Ok(None),
    };
    if is_head || matches!(response.code, Some(204 | 304)) {
        return Ok(Some(Lengths { head, body: 0 }));
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Content-Length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let body = length.ok_or_else(|| io::Error::other("an answer without its length"))?;
    Ok(Some(Lengths { head, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_to_who_has_waited_longest_and_not_to_who_has_given_up() {
        let line = Line { number: 0, stream: UnixStream::pair().unwrap().0 };
        let state = State { free: vec![line], queue: VecDeque::new() };
        let lines = Lines { state: Mutex::new(state), bodies: Arc::new(Bodies::new(1)) };
        let line = lines.take(Duration::ZERO).unwrap();
        assert!(lines.take(Duration::ZERO).is_none(), "and gives up");
        let (first, turn) = channel();
        let (second, later) = channel();
        lock(&lines.state).queue.extend([first, second]);
        lines.give_back(line);
        assert!(turn.try_recv().is_ok() && later.try_recv().is_err());
    }

    #[test]
    fn an_answer_is_as_long_as_it_says_unless_it_has_no_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let head = answer.len() - 3;
        assert_eq!(lengths(&answer[..head], false).unwrap(), Some(Lengths { head, body: 3 }));
        assert_eq!(lengths(answer, true).unwrap(), Some(Lengths { head, body: 0 }));
        assert_eq!(lengths(&answer[..10], false).unwrap(), None);
        let known = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(lengths(known, false).unwrap(), Some(Lengths { head: known.len(), body: 0 }));
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(lengths(empty, false).unwrap(), Some(Lengths { head: empty.len(), body: 0 }));
        assert!(lengths(b"HTTP/1.1 200 OK\r\n\r\n", false).is_err());
    }
}
