//! Who has come and has no place yet. The system's own queue knows only who came first: behind a flood of connections from
//! one address everybody else would wait for the whole of it. Here the one whose address has the fewest goes first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::seats::{Origin, Seat, Seats};

/// Who has found no place after so long is told so.
const PATIENCE: Duration = Duration::from_secs(2);

/// A client without a place.
struct Newcomer {
    client: Arc<Socket>,
    origin: Origin,
    came: Instant,
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

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.room
    }

    pub(super) fn come(&mut self, client: Socket, origin: Origin) {
        self.waiting.push(Newcomer { client: Arc::new(client), origin, came: Instant::now() });
    }

    /// The next with a place; none while no place has become free, which is waited for a moment.
    pub(super) fn seat_next(&mut self, seats: &Arc<Seats>) -> Option<(Arc<Socket>, Seat)> {
        let mut guests = seats.guests_by_origin();
        for newcomer in &self.waiting {
            *guests.entry(newcomer.origin).or_default() += 1;
        }
        // Of equals the first, which came first.
        let next = (0..self.waiting.len()).min_by_key(|index| guests[&self.waiting[*index].origin])?;
        let Newcomer { client, origin, .. } = &self.waiting[next];
        let seat = seats.take(client, *origin)?;
        Some((self.waiting.remove(next).client, seat))
    }

    /// Those who have waited for too long.
    pub(super) fn too_late(&mut self) -> impl Iterator<Item = Arc<Socket>> {
        let now = Instant::now();
        self.waiting.extract_if(.., move |newcomer| now - newcomer.came >= PATIENCE).map(|late| late.client)
    }
}

#[cfg(test)]
mod tests {
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
    fn while_nobody_leaves_nobody_is_seated() {
        let seats = Seats::new(0);
        let mut newcomers = Newcomers::new(1);
        let socket = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap().0;
        newcomers.come(socket, Origin::Local);
        assert!(newcomers.is_full() && newcomers.seat_next(&seats).is_none());
        assert_eq!(newcomers.too_late().count(), 0, "that takes longer");
    }
}
