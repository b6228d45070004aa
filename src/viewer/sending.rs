//! Sending answers to clients that may be slow: none holds its answer for ever, and all together hold little memory.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::source::lock;

/// A client that takes nothing for so long is let go; without it, it would keep its place among the connections.
const STALL: Duration = Duration::from_secs(5);

/// A client that has not taken the whole answer after so long is let go, however busily it trickles: 1.6 MB, the
/// document of a thousand services, at 55 kB/s.
const WHOLE: Duration = Duration::from_secs(30);

/// What is written at a time. On a unix socket the system's limit counts anew for each 32 KiB of one call.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the system may hold of an answer for one client, which counts as the viewer's memory, too. By itself it starts
/// at 2.5 MB on loopback and goes up to 4 MB. The kernel doubles this for its own book-keeping.
const BUFFER_BYTES: usize = 64 * 1024;

/// Bodies up to this size are not counted: the pages and single services, which are always to be had.
const SMALL_BYTES: usize = 64 * 1024;

/// What all other bodies that are being sent may take together. The unit's MemoryMax is 128 MiB.
const BODIES_BYTES: usize = 32 * 1024 * 1024;

/// The large bodies that are being sent. Clients that ask for the same document share one.
#[derive(Debug, Default)]
pub(super) struct Sending {
    bodies: Mutex<Vec<Weak<Vec<u8>>>>,
}

impl Sending {
    /// The body to send; none while others take all the memory. One body alone is sent whatever its size.
    pub(super) fn share(&self, body: Vec<u8>) -> Option<Arc<Vec<u8>>> {
        if body.len() <= SMALL_BYTES {
            return Some(Arc::new(body));
        }
        let mut bodies = lock(&self.bodies);
        bodies.retain(|body| body.strong_count() > 0);
        let mut held = 0;
        for other in bodies.iter().filter_map(Weak::upgrade) {
            if *other == body {
                return Some(other);
            }
            held += other.len();
        }
        if held > 0 && held + body.len() > BODIES_BYTES {
            return None;
        }
        let body = Arc::new(body);
        bodies.push(Arc::downgrade(&body));
        Some(body)
    }
}

/// Bounds what the system holds for a client.
pub(super) fn bound_buffer(client: &Socket) {
    // Not being able to only costs memory.
    let _ = client.set_send_buffer_size(BUFFER_BYTES);
}

/// Sends these parts one after the other; `progress` is called after each piece that the client took. The error says that
/// the client went away or was too slow.
pub(super) fn send(client: &Socket, parts: &[&[u8]], progress: impl Fn()) -> io::Result<()> {
    send_within(client, parts, progress, STALL, WHOLE)
}

fn send_within(
    mut client: &Socket,
    parts: &[&[u8]],
    progress: impl Fn(),
    stall: Duration,
    whole: Duration,
) -> io::Result<()> {
    let deadline = Instant::now() + whole;
    for mut chunk in parts.iter().flat_map(|part| part.chunks(CHUNK_BYTES)) {
        while !chunk.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Set on the accepted socket: a unix one inherits nothing from its listener.
            client.set_write_timeout(Some(left.min(stall)))?;
            match client.write(chunk) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    chunk = &chunk[written..];
                    progress();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pair() -> (Socket, Socket) {
        Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap()
    }

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(30);

    #[test]
    fn a_client_that_takes_all_gets_all_in_its_order() {
        let (mut client, viewer) = pair();
        let body: Vec<u8> = (0..1_000_000u32).map(|number| number as u8).collect();
        let sent = body.clone();
        let thread = std::thread::spawn(move || send_within(&viewer, &[b"head", &sent], || (), LONG, LONG));
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        thread.join().unwrap().unwrap();
        assert!(received.starts_with(b"head") && received[4..] == body);
    }

    #[test]
    fn a_client_that_takes_nothing_is_let_go_also_on_a_unix_socket() {
        let (_client, viewer) = pair();
        let error = send_within(&viewer, &[&[0; 1_000_000]], || (), SHORT, LONG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_client_that_trickles_is_let_go_when_the_whole_takes_too_long() {
        let (mut client, viewer) = pair();
        let answer = vec![0; 1_000_000];
        let thread = std::thread::spawn(move || send_within(&viewer, &[&answer], || (), LONG, SHORT));
        // At this pace the whole would take eight times as long; it ends when the viewer hangs up.
        let mut some = [0; 4096];
        while client.read(&mut some).unwrap() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn clients_share_a_body_and_all_together_hold_a_bounded_amount() {
        let sending = Sending::default();
        let document = |number: u8| vec![number; BODIES_BYTES / 4];
        let first: Vec<_> = (0..100).map(|_| sending.share(document(0)).unwrap()).collect();
        assert!(first.iter().all(|body| Arc::ptr_eq(body, &first[0])));
        let others: Vec<_> = (1..4).map(|number| sending.share(document(number)).unwrap()).collect();
        assert!(sending.share(document(4)).is_none(), "that would be too much");
        assert!(sending.share(document(3)).is_some(), "this one is there already");
        assert!(sending.share(vec![9; SMALL_BYTES]).is_some(), "a small one always goes");
        drop((first, others));
        assert!(sending.share(vec![9; BODIES_BYTES + 1]).is_some(), "alone it goes whatever its size");
    }
}
