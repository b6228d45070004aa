//! Sending answers to clients that may be slow: none holds its answer for ever, and all together hold little memory.

use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::http::Body;
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

/// What all other bodies that are being sent may take together, or two of them where one is that large. Beyond it the oldest
/// give way: with a document that changes ten times a second, clients that take their time would hold as many versions of it.
const BODIES_BYTES: usize = 8 * 1024 * 1024;

/// How often a client that takes nothing is asked whether it must give way.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The large bodies that are being sent, the oldest first. Clients that ask for the same document share one.
#[derive(Debug, Default)]
pub(super) struct Sending {
    bodies: Mutex<Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    bytes: Weak<Vec<u8>>,
    gives_way: Arc<AtomicBool>,
}

/// A body to be sent, and whether to others.
#[derive(Debug)]
pub(super) struct Share {
    body: Body,
    gives_way: Arc<AtomicBool>,
}

impl Sending {
    /// The body to send; none while others, that have been told to give way, still hold as much again as they may.
    pub(super) fn share(&self, body: Body) -> Option<Share> {
        let bytes = match body {
            Body::Made(bytes) if bytes.len() > SMALL_BYTES => bytes,
            small => return Some(Share { body: small, gives_way: Arc::default() }),
        };
        let mut bodies = lock(&self.bodies);
        bodies.retain(|held| held.bytes.strong_count() > 0);
        let (mut all, mut staying) = (0, Vec::new());
        for held in bodies.iter() {
            let Some(other) = held.bytes.upgrade() else { continue };
            all += other.len();
            if !held.gives_way.load(Ordering::Acquire) {
                if Arc::ptr_eq(&other, &bytes) || other == bytes {
                    return Some(Share { body: other.into(), gives_way: held.gives_way.clone() });
                }
                staying.push((other.len(), &held.gives_way));
            }
        }
        let most = BODIES_BYTES.max(2 * bytes.len());
        if all + bytes.len() > 2 * most {
            return None;
        }
        let mut after = bytes.len() + staying.iter().map(|(length, _)| length).sum::<usize>();
        for (length, gives_way) in staying {
            if after <= most {
                break;
            }
            gives_way.store(true, Ordering::Release);
            after -= length;
        }
        let held = Held { bytes: Arc::downgrade(&bytes), gives_way: Arc::default() };
        let share = Share { body: bytes.into(), gives_way: held.gives_way.clone() };
        bodies.push(held);
        Some(share)
    }
}

impl Share {
    /// What an answer without a body has.
    pub(super) fn nothing() -> Share {
        Share { body: Body::Static(&[]), gives_way: Arc::default() }
    }
}

/// Bounds what the system holds for a client.
pub(super) fn bound_buffer(client: &Socket) {
    // Not being able to only costs memory.
    let _ = client.set_send_buffer_size(BUFFER_BYTES);
}

/// Sends an answer; `progress` is called after each piece that the client took. The error says that the client went away, was
/// too slow, or had to give way.
pub(super) fn send(client: &Socket, head: &[u8], body: &Share, progress: impl Fn()) -> io::Result<()> {
    send_within(client, head, body, progress, STALL, WHOLE)
}

fn send_within(
    mut client: &Socket,
    mut head: &[u8],
    share: &Share,
    progress: impl Fn(),
    stall: Duration,
    whole: Duration,
) -> io::Result<()> {
    let mut body = &*share.body;
    let (deadline, mut stalled) = (Instant::now() + whole, Instant::now() + stall);
    while !(head.is_empty() && body.is_empty()) {
        let left = deadline.min(stalled).saturating_duration_since(Instant::now());
        if left.is_zero() || share.gives_way.load(Ordering::Acquire) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Set on the accepted socket: a unix one inherits nothing from its listener.
        client.set_write_timeout(Some(left.min(LOOK_EVERY)))?;
        let chunk = &body[..body.len().min(CHUNK_BYTES)];
        // In one call, and so in one packet where both fit into it.
        match client.write_vectored(&[IoSlice::new(head), IoSlice::new(chunk)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                let of_head = written.min(head.len());
                head = &head[of_head..];
                body = &body[written - of_head..];
                stalled = Instant::now() + stall;
                progress();
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
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
        let share = Sending::default().share(body.clone().into()).unwrap();
        let thread = std::thread::spawn(move || send_within(&viewer, b"head", &share, || (), LONG, LONG));
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        thread.join().unwrap().unwrap();
        assert!(received.starts_with(b"head") && received[4..] == body);
    }

    #[test]
    fn a_client_that_takes_nothing_is_let_go_also_on_a_unix_socket() {
        let (_client, viewer) = pair();
        let share = Sending::default().share(vec![0; 1_000_000].into()).unwrap();
        let error = send_within(&viewer, &[], &share, || (), SHORT, LONG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_client_that_trickles_is_let_go_when_the_whole_takes_too_long() {
        let (mut client, viewer) = pair();
        let share = Sending::default().share(vec![0; 1_000_000].into()).unwrap();
        let thread = std::thread::spawn(move || send_within(&viewer, &[], &share, || (), LONG, SHORT));
        // At this pace the whole would take eight times as long; it ends when the viewer hangs up.
        let mut some = [0; 4096];
        while client.read(&mut some).unwrap() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn clients_share_a_body_and_all_together_hold_a_bounded_amount_since_the_oldest_give_way() {
        let sending = Sending::default();
        let document = |number: u8| sending.share(vec![number; BODIES_BYTES / 4].into());
        let gives_way = |share: &Share| share.gives_way.load(Ordering::Acquire);
        let first: Vec<_> = (0..100).map(|_| document(0).unwrap()).collect();
        assert!(first.iter().all(|share| share.body.as_ptr() == first[0].body.as_ptr()));
        let mut others: Vec<_> = (1..4).map(|number| document(number).unwrap()).collect();
        assert!(!gives_way(&first[0]));
        others.push(document(4).unwrap());
        assert!(first.iter().all(gives_way) && !others.iter().any(gives_way));
        others.extend((5..8).map(|number| document(number).unwrap()));
        assert!(others[..3].iter().all(gives_way) && !others[3..].iter().any(gives_way));
        assert!(document(8).is_none(), "they have not gone");
        assert!(document(7).is_some(), "this one is there already");
        assert!(sending.share(vec![9; SMALL_BYTES].into()).is_some(), "a small one always goes");
        drop(first);
        assert!(document(8).is_some());
    }

    #[test]
    fn a_large_document_is_sent_whatever_its_size_also_beside_the_one_before() {
        let sending = Sending::default();
        let version = |number: u8| sending.share(vec![number; BODIES_BYTES + 1].into()).unwrap();
        let (before, now) = (version(0), version(1));
        assert!(![&before, &now].into_iter().any(|share| share.gives_way.load(Ordering::Acquire)));
    }

    #[test]
    fn who_takes_nothing_notices_that_it_must_give_way() {
        let (_client, viewer) = pair();
        let share = Sending::default().share(vec![0; 1_000_000].into()).unwrap();
        let told = share.gives_way.clone();
        let thread = std::thread::spawn(move || send_within(&viewer, &[], &share, || (), LONG, LONG));
        told.store(true, Ordering::Release);
        assert!(thread.join().unwrap().is_err());
    }
}
