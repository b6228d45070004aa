//! Who has come and has no place yet. The system's own queue knows only who came first: behind a flood of connections from
//! one address everybody else would wait for the whole of it. Here the one whose address has the fewest goes first, and who
//! says nothing waits without a thread for as long as others have something to say.

use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

use super::seats::{Origin, Seat, Seats};

/// Who has found no place after so long is told so.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who has just come may be about to speak.
const FIRST_WORD: Duration = Duration::from_millis(20);

/// How often it is looked for those, and for places that have become free meanwhile.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A client without a place.
struct Newcomer {
    client: Arc<Socket>,
    origin: Origin,
    came: Instant,
    has_spoken: bool,
}

/// Those who wait, in the order in which they came.
pub(super) struct Newcomers {
    room: usize,
    waiting: Vec<Newcomer>,
}

impl Newcomers {
    /// Room for so many.
    pub(super) fn new(room: usize) -> Newcomers {
        Newcomers { room, waiting: Vec::new() }
    }

    /// Waits until there is something to do. False at the end. Another way to end a thread that accepts is to shut its
    /// socket down. But a socket of systemd is shared with it, and would be shut down for systemd and for all who wait in
    /// its queue: this way the next viewer serves them.
    pub(super) fn wait(&mut self, listener: &Socket, end: &PipeReader, seats: &Seats) -> bool {
        let limit = match self.waiting.is_empty() {
            true => None,
            false if seats.has_free() => Some(&AT_ONCE),
            false => Some(&LOOK_EVERY),
        };
        // Where there is no room, who knocks must wait.
        let knocks = if self.waiting.len() < self.room { PollFlags::IN } else { PollFlags::empty() };
        let others = self.listen(vec![PollFd::new(end, PollFlags::IN), PollFd::new(listener, knocks)], limit);
        !others[0]
    }

    /// Notes who has spoken, and forgets who is gone: it asked for nothing that could still be given. Says of the others, too,
    /// whether something happened there.
    fn listen(&mut self, others: Vec<PollFd<'_>>, limit: Option<&Timespec>) -> Vec<bool> {
        let count = others.len();
        let clients = self.waiting.iter().map(|newcomer| newcomer.client.as_fd());
        let mut all = others;
        all.extend(clients.map(|client| PollFd::from_borrowed_fd(client, PollFlags::IN)));
        // Interrupted it is asked again.
        let _ = poll(&mut all, limit);
        let happened: Vec<PollFlags> = all.iter().map(PollFd::revents).collect();
        let (others, clients) = happened.split_at(count);
        let mut clients = clients.iter();
        self.waiting.retain_mut(|newcomer| {
            let happened = clients.next().copied().unwrap_or(PollFlags::empty());
            newcomer.has_spoken |= !happened.is_empty();
            !happened.intersects(PollFlags::HUP | PollFlags::ERR)
        });
        others.iter().map(|happened| !happened.is_empty()).collect()
    }

    /// Accepts all who are there, or as many as there is room for. Who has said nothing gives way to them.
    ///
    /// # Errors
    /// When the system gives no connection though somebody is there.
    pub(super) fn let_in(&mut self, listener: &Socket, seats: &Seats) -> io::Result<()> {
        loop {
            if self.waiting.len() >= self.room && !self.thin_out(seats) {
                return Ok(());
            }
            match listener.accept() {
                Ok((client, address)) => self.come(client, Origin::of(&address)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn come(&mut self, client: Socket, origin: Origin) {
        let newcomer = Newcomer { client: Arc::new(client), origin, came: Instant::now(), has_spoken: false };
        self.waiting.push(newcomer);
    }

    /// Lets an eighth of those go who came and have said nothing, of the origin with the most connections, the oldest first, and all
    /// who are gone. False when there are as many as before.
    pub(super) fn thin_out(&mut self, seats: &Seats) -> bool {
        let (now, before) = (Instant::now(), self.waiting.len());
        self.listen(Vec::new(), Some(&AT_ONCE));
        if self.waiting.len() < before {
            return true;
        }
        let of_origin = self.by_origin(seats);
        let silent =
            self.waiting.iter().filter(|newcomer| !newcomer.has_spoken && now - newcomer.came >= FIRST_WORD);
        let Some(origin) = silent.map(|newcomer| newcomer.origin).max_by_key(|origin| of_origin[origin])
        else {
            return false;
        };
        let mut left = self.waiting.len().div_ceil(8);
        self.waiting.retain(|newcomer| {
            let is_silent = !newcomer.has_spoken && now - newcomer.came >= FIRST_WORD;
            let goes = left > 0 && is_silent && newcomer.origin == origin;
            left -= usize::from(goes);
            !goes
        });
        true
    }

    /// The next with a place; none while no place has become free, which is waited for a moment. Nobody must leave for one
    /// who says nothing.
    pub(super) fn seat_next(&mut self, seats: &Arc<Seats>) -> Option<(Arc<Socket>, Seat)> {
        let for_all = seats.has_free();
        let of_origin = self.by_origin(seats);
        let may_sit = (0..self.waiting.len()).filter(|index| for_all || self.waiting[*index].has_spoken);
        // Of equals the first, which came first.
        let next = may_sit.min_by_key(|index| of_origin[&self.waiting[*index].origin])?;
        let Newcomer { client, origin, .. } = &self.waiting[next];
        let seat = seats.take(client, *origin)?;
        Some((self.waiting.remove(next).client, seat))
    }

    /// Forgets who came and is gone again already: in a storm of resets a thread for each was most of what the viewer did.
    pub(super) fn forget_gone(&mut self) {
        self.listen(Vec::new(), Some(&AT_ONCE));
    }

    /// Those who have waited for too long.
    pub(super) fn too_late(&mut self) -> impl Iterator<Item = Arc<Socket>> {
        let now = Instant::now();
        self.waiting.extract_if(.., move |newcomer| now - newcomer.came >= PATIENCE).map(|late| late.client)
    }

    /// How many connections each origin has, with and without a place.
    fn by_origin(&self, seats: &Seats) -> std::collections::HashMap<Origin, usize> {
        let mut of_origin = seats.guests_by_origin();
        for newcomer in &self.waiting {
            *of_origin.entry(newcomer.origin).or_default() += 1;
        }
        of_origin
    }
}

/// Whether a client has sent something that is not yet read, or its end.
pub(super) fn has_spoken(client: &Socket) -> bool {
    poll(&mut [PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN)], Some(&AT_ONCE))
        .is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn who_comes_alone_does_not_wait_behind_a_flood_of_another_address() {
        let seats = Seats::new(10);
        let mut newcomers = Newcomers::new(10);
        let socket = || Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap().0;
        for last in [1, 1, 1, 2] {
            newcomers.come(socket(), Origin::Network(IpAddr::from([192, 0, 2, last])));
        }
        let alone = newcomers.waiting[3].client.clone();
        let first_of_flood = newcomers.waiting[0].client.clone();
        let (first, _seat) = newcomers.seat_next(&seats).unwrap();
        let (second, _other) = newcomers.seat_next(&seats).unwrap();
        assert!(Arc::ptr_eq(&first, &alone) && Arc::ptr_eq(&second, &first_of_flood));
    }

    #[test]
    fn in_a_full_house_only_who_has_spoken_is_seated_and_the_silent_give_way_to_more() {
        let seats = Seats::new(0);
        let mut newcomers = Newcomers::new(2);
        let pair = || Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let ((mut speaking, first), (_silent, second)) = (pair(), pair());
        speaking.write_all(b"G").unwrap();
        newcomers.come(first, Origin::Local);
        newcomers.come(second, Origin::Local);
        assert!(newcomers.seat_next(&seats).is_none());
        assert_eq!(newcomers.too_late().count(), 0, "that takes longer");
        assert!(!newcomers.thin_out(&seats), "they have only just come");
        for newcomer in &mut newcomers.waiting {
            newcomer.came -= FIRST_WORD;
        }
        assert!(newcomers.thin_out(&seats));
        assert!(newcomers.waiting.len() == 1 && newcomers.waiting[0].has_spoken);
        assert!(!newcomers.thin_out(&seats));
    }
}
