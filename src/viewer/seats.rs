//! Who sits at the table, and who gives way when it is full: nobody can keep others out by taking all the places.
//!
//! A place more is taken from the address that has the most, so an attacker displaces himself. There is no limit for
//! an address: a reverse proxy is one address, and so are all who share a router; while there are places, everybody may
//! have them. For the same reason there is no limit to the requests on a connection.

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{SockAddr, Socket};

use super::newcomers::has_spoken;
use super::source::lock;

/// A client that has taken nothing of its answer for so long counts as one that does not want it, when others wait. A
/// lost packet alone takes 200 ms.
const STALLED: Duration = Duration::from_millis(250);

/// A client that asks without a pause has its place at least for so long, and so has one that has begun to.
const TURN: Duration = Duration::from_millis(100);

/// After so long without a free place one more guest is asked to go: who was asked may be waiting for live checks.
const STEP: Duration = Duration::from_millis(20);

/// Who is responsible for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// An address, or the 64 bits of an IPv6 address that name a network: in there everybody has as many as he likes.
    Network(IpAddr),
    /// Somebody on this machine, over a unix socket.
    Local,
}

/// What a guest is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing yet, or between two requests.
    Waiting,
    /// It has begun to ask.
    Speaking,
    /// It has asked, and the answer is being made.
    Asking,
    /// It is being sent an answer.
    Taking,
    /// It has got the last answer.
    Leaving,
}

/// The places.
pub(super) struct Seats {
    count: usize,
    guests: Mutex<Guests>,
    fewer: Condvar,
}

#[derive(Default)]
struct Guests {
    seated: HashMap<u64, Guest>,
    next: u64,
}

struct Guest {
    client: Arc<Socket>,
    stay: Stay,
}

/// What is known of a guest.
#[derive(Debug, Clone, Copy)]
struct Stay {
    origin: Origin,
    doing: Doing,
    /// Since when it does that; while it takes an answer, when it last took something of it.
    since: Instant,
    seated: Instant,
    asked_to_go: bool,
}

/// One place. It is free again when this goes.
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Origin {
    pub(super) fn of(address: &SockAddr) -> Origin {
        let Some(address) = address.as_socket() else { return Origin::Local };
        Origin::Network(match address.ip().to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
        })
    }
}

impl Seats {
    pub(super) fn new(count: usize) -> Arc<Seats> {
        Arc::new(Seats { count, guests: Mutex::default(), fewer: Condvar::new() })
    }

    /// A place for a newcomer. When there is none, a guest is asked to go, and waited for a moment; none when it has not left
    /// by then.
    pub(super) fn take(self: &Arc<Seats>, client: &Arc<Socket>, origin: Origin) -> Option<Seat> {
        let mut guests = lock(&self.guests);
        if guests.seated.len() >= self.count {
            guests.ask_one_to_go(Instant::now(), Some(origin));
            let is_full = |guests: &mut Guests| guests.seated.len() >= self.count;
            let waited = self.fewer.wait_timeout_while(guests, STEP, is_full);
            guests = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if guests.seated.len() >= self.count {
            return None;
        }
        let now = Instant::now();
        let stay = Stay { origin, doing: Doing::Waiting, since: now, seated: now, asked_to_go: false };
        let number = guests.next;
        guests.next += 1;
        guests.seated.insert(number, Guest { client: client.clone(), stay });
        Some(Seat { seats: self.clone(), number })
    }

    /// Whether a newcomer would find a place without anybody leaving.
    pub(super) fn has_free(&self) -> bool {
        lock(&self.guests).seated.len() < self.count
    }

    /// How many places each origin has.
    pub(super) fn guests_by_origin(&self) -> HashMap<Origin, usize> {
        let mut of_origin = HashMap::new();
        for guest in lock(&self.guests).seated.values() {
            *of_origin.entry(guest.stay.origin).or_default() += 1;
        }
        of_origin
    }

    /// Asks a guest to go, because the system is at a limit of its own.
    pub(super) fn make_room(&self) {
        lock(&self.guests).ask_one_to_go(Instant::now(), None);
    }
}

impl Guests {
    fn ask_one_to_go(&mut self, now: Instant, newcomer: Option<Origin>) {
        let guests: Vec<(u64, Stay)> =
            self.seated.iter().map(|(number, guest)| (*number, guest.stay)).collect();
        let says_something = |number: &u64| has_spoken(&self.seated[number].client);
        let Some(number) = next_to_go(guests, newcomer, now, says_something) else { return };
        if let Some(guest) = self.seated.get_mut(&number) {
            guest.stay.asked_to_go = true;
            let is_served = guest.stay.doing == Doing::Asking
                || guest.stay.doing == Doing::Taking && now - guest.stay.since < STALLED;
            if !is_served {
                // Its thread waits for it, and notices. Whoever is gone already needs no end.
                let _ = guest.client.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Who goes next, of guests with numbers: from the origin with the most guests and no other, first who waits or leaves, then
/// who takes nothing of its answer, then who was served longest, which goes when it has its answer; of equals the one who has
/// done so longest. Who has said something that is not yet read is not idle, but not yet served. While none of that origin
/// may go, nobody does: they soon may, and in a storm of resets, where all of them seem to have spoken, the one who is alone
/// lost its place to them.
fn next_to_go(
    guests: Vec<(u64, Stay)>,
    newcomer: Option<Origin>,
    now: Instant,
    says_something: impl Fn(&u64) -> bool,
) -> Option<u64> {
    let mut of_origin: HashMap<Origin, u32> = HashMap::new();
    for origin in guests.iter().map(|(_, stay)| stay.origin).chain(newcomer) {
        *of_origin.entry(origin).or_default() += 1;
    }
    let most = guests.iter().map(|(_, stay)| of_origin[&stay.origin]).max()?;
    let mut may_go: Vec<_> = guests
        .into_iter()
        .filter(|(_, stay)| !stay.asked_to_go)
        .filter_map(|(number, stay)| {
            let (rank, since) = match stay.doing {
                Doing::Waiting | Doing::Leaving => (2, stay.since),
                // Its thread may not have got round to what was said; who trickles takes longer.
                Doing::Speaking if now - stay.since >= TURN => (2, stay.since),
                Doing::Taking if now - stay.since >= STALLED => (1, stay.since),
                Doing::Asking | Doing::Taking if now - stay.seated >= TURN => (0, stay.seated),
                Doing::Speaking | Doing::Asking | Doing::Taking => return None,
            };
            Some((of_origin[&stay.origin], rank, now - since, number, stay.doing))
        })
        .collect();
    may_go.retain(|(of_origin, ..)| *of_origin == most);
    may_go.sort_unstable_by_key(|(_, rank, age, ..)| std::cmp::Reverse((*rank, *age)));
    let mut may_go = may_go.into_iter();
    may_go
        .find(|(.., number, doing)| *doing != Doing::Waiting || !says_something(number))
        .map(|(.., number, _)| number)
}

impl Seat {
    /// The guest does something else from now on, or, taking its answer, has taken some more. False when it must go, since
    /// somebody else needs the place.
    pub(super) fn goes_on(&self, doing: Doing) -> bool {
        let mut guests = lock(&self.seats.guests);
        guests.seated.get_mut(&self.number).is_some_and(|guest| {
            guest.stay.doing = doing;
            guest.stay.since = Instant::now();
            !guest.stay.asked_to_go
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.seats.guests).seated.remove(&self.number);
        self.seats.fewer.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const NOBODY: fn(&u64) -> bool = |_| false;

    fn address(last: u8) -> Origin {
        Origin::Network(IpAddr::from([192, 0, 2, last]))
    }

    /// A guest who has done this for so many milliseconds, and came then.
    fn guest(now: Instant, origin: Origin, doing: Doing, ms: u64) -> Stay {
        let since = now - Duration::from_millis(ms);
        Stay { origin, doing, since, seated: since, asked_to_go: false }
    }

    /// Which of these goes, when one of address 9 comes.
    fn goes(guests: impl Fn(Instant) -> Vec<Stay>) -> Option<u64> {
        let now = Instant::now() + Duration::from_secs(3600);
        next_to_go((0..).zip(guests(now)).collect(), Some(address(9)), now, NOBODY)
    }

    #[test]
    fn the_address_with_the_most_places_gives_way_and_there_who_has_waited_longest() {
        let who = goes(|now| {
            vec![
                guest(now, address(1), Doing::Waiting, 9_000),
                guest(now, address(2), Doing::Waiting, 1_000),
                guest(now, address(2), Doing::Waiting, 2_000),
            ]
        });
        assert_eq!(who, Some(2));
    }

    #[test]
    fn a_flood_displaces_itself_and_not_the_one_it_comes_upon() {
        let who = goes(|now| {
            vec![guest(now, address(1), Doing::Waiting, 9_000), guest(now, address(9), Doing::Waiting, 1)]
        });
        assert_eq!(who, Some(1));
    }

    #[test]
    fn behind_a_proxy_the_idle_go_before_the_stalled_and_these_before_those_who_are_served() {
        let all = |now| {
            vec![
                guest(now, address(1), Doing::Asking, 5_000),
                guest(now, address(1), Doing::Taking, 5_000),
                guest(now, address(1), Doing::Leaving, 10),
            ]
        };
        assert_eq!(goes(all), Some(2));
        assert_eq!(goes(|now| all(now)[..2].to_vec()), Some(1));
        assert_eq!(goes(|now| all(now)[..1].to_vec()), Some(0));
    }

    #[test]
    fn who_has_just_come_to_ask_or_has_been_asked_to_go_is_not_asked() {
        let just = |now| vec![guest(now, address(1), Doing::Asking, 50)];
        assert_eq!(goes(just), None);
        let asked = |now| vec![Stay { asked_to_go: true, ..guest(now, address(1), Doing::Waiting, 9_000) }];
        assert_eq!(goes(asked), None);
    }

    #[test]
    fn who_has_begun_to_ask_may_finish_unless_it_takes_too_long() {
        let speaking = |ms| goes(|now| vec![guest(now, address(1), Doing::Speaking, ms)]);
        assert_eq!((speaking(50), speaking(5_000)), (None, Some(0)));
    }

    #[test]
    fn who_has_said_something_that_nobody_has_read_yet_is_not_idle() {
        let now = Instant::now() + Duration::from_secs(3600);
        let guests = vec![
            (0, guest(now, address(1), Doing::Waiting, 9_000)),
            (1, guest(now, address(1), Doing::Waiting, 1)),
        ];
        assert_eq!(next_to_go(guests, None, now, |number| *number == 0), Some(1));
    }

    #[test]
    fn a_flood_of_which_nobody_may_go_never_costs_another_address_its_place() {
        let now = Instant::now() + Duration::from_secs(3600);
        let mut guests: Vec<_> =
            (0..2).map(|number| (number, guest(now, address(1), Doing::Waiting, 9_000))).collect();
        guests.push((2, guest(now, address(2), Doing::Waiting, 9_000)));
        let flood_has_spoken = |number: &u64| *number < 2;
        assert_eq!(next_to_go(guests.clone(), Some(address(1)), now, flood_has_spoken), None);
        assert_eq!(next_to_go(guests, Some(address(2)), now, |number| *number == 0), Some(1));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_a_mapped_address_as_itself() {
        let of =
            |address: &str| Origin::of(&SockAddr::from(address.parse::<std::net::SocketAddr>().unwrap()));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:0:0:2]:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[::ffff:192.0.2.1]:1"), of("192.0.2.1:2"));
    }

    #[test]
    fn the_oldest_idle_connection_is_closed_for_a_newcomer() {
        let seats = Seats::new(2);
        let pair = || Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let clients: Vec<_> = (0..3).map(|_| pair()).collect();
        let theirs: Vec<_> =
            clients.iter().map(|(_, viewer)| Arc::new(viewer.try_clone().unwrap())).collect();
        let first = seats.take(&theirs[0], Origin::Local).unwrap();
        let second = seats.take(&theirs[1], Origin::Local).unwrap();
        let mut watched = theirs[0].try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            assert_eq!(watched.read(&mut [0]).unwrap(), 0, "it is hung up on");
            assert!(!first.goes_on(Doing::Asking));
            drop(first);
        });
        let _third = seats.take(&theirs[2], Origin::Local).unwrap();
        thread.join().unwrap();
        assert!(second.goes_on(Doing::Waiting));
    }
}
