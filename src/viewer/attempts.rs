//! Failed logins slow down whoever makes them, and nobody else: no thread waits, the next attempt is refused unseen.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// So many failures in a row are a person who mistypes.
const AT_ONCE: u32 = 10;

/// One failure is forgotten after so long: 17,280 guesses a day, where a token has 16 characters at least.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// Addresses that are remembered; beyond them, all others count as one.
const CLIENTS: usize = 1024;

/// Who failed how lately. Behind a proxy everybody has the address of the proxy; there it is the proxy's part to tell
/// them apart (nginx: limit_req).
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// When all failures of a client will be forgotten.
    debts: HashMap<Client, Instant>,
}

/// Who counts as one: an address, or a network of the size that a single customer gets. None for a unix socket, and for
/// all who come when there is no room.
type Client = Option<IpAddr>;

impl Attempts {
    /// How long a client must wait for its next attempt; none when it may try now.
    pub(super) fn wait(&self, now: Instant, address: Option<IpAddr>) -> Option<Duration> {
        let debt = self.debts.get(&self.client(address))?.saturating_duration_since(now);
        let wait = debt.saturating_sub(FORGOTTEN_AFTER * (AT_ONCE - 1));
        (!wait.is_zero()).then_some(wait)
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, now: Instant, address: Option<IpAddr>) {
        if self.debts.len() >= CLIENTS {
            self.debts.retain(|_, until| *until > now);
        }
        let client = self.client(address);
        let until = self.debts.entry(client).or_insert(now);
        *until = (*until).max(now) + FORGOTTEN_AFTER;
    }

    fn client(&self, address: Option<IpAddr>) -> Client {
        let client = address.map(|address| match address.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            ip => ip,
        });
        client.filter(|_| self.debts.len() < CLIENTS || self.debts.contains_key(&client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn after_ten_failures_a_client_waits_and_another_does_not() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..AT_ONCE {
            assert_eq!(attempts.wait(now, address("192.0.2.1")), None);
            attempts.failed(now, address("192.0.2.1"));
        }
        assert_eq!(attempts.wait(now, address("192.0.2.1")), Some(FORGOTTEN_AFTER));
        assert_eq!(attempts.wait(now, address("::ffff:192.0.2.1")), Some(FORGOTTEN_AFTER));
        assert_eq!(attempts.wait(now, address("192.0.2.2")), None);
        assert_eq!(attempts.wait(now, None), None);
    }

    #[test]
    fn a_failure_is_forgotten_after_five_seconds_and_ten_after_fifty() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let one = address("192.0.2.1");
        (0..AT_ONCE).for_each(|_| attempts.failed(now, one));
        let later = now + FORGOTTEN_AFTER;
        assert_eq!(attempts.wait(later - Duration::from_millis(1), one), Some(Duration::from_millis(1)));
        assert_eq!(attempts.wait(later, one), None);
        attempts.failed(later, one);
        assert_eq!(attempts.wait(later, one), Some(FORGOTTEN_AFTER), "only one was forgotten");
        let much_later = now + FORGOTTEN_AFTER * 20;
        (0..AT_ONCE - 1).for_each(|_| attempts.failed(much_later, one));
        assert_eq!(attempts.wait(much_later, one), None);
    }

    #[test]
    fn the_addresses_of_one_network_are_one_client() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for host in 0..AT_ONCE {
            attempts.failed(now, address(&format!("2001:db8:0:1::{host}")));
        }
        assert!(attempts.wait(now, address("2001:db8:0:1:ffff::1")).is_some());
        assert_eq!(attempts.wait(now, address("2001:db8:0:2::1")), None);
    }

    #[test]
    fn however_many_fail_the_memory_is_bounded_and_the_last_are_slowed_down_too() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let nth = |n: u32| Some(IpAddr::V4(std::net::Ipv4Addr::from_bits(n)));
        (0..2000).for_each(|n| attempts.failed(now, nth(n)));
        assert_eq!(attempts.debts.len(), CLIENTS + 1);
        assert!(attempts.wait(now, nth(5000)).is_some(), "all who find no room count as one");
        assert_eq!(attempts.wait(now, nth(0)), None);
        attempts.failed(now + FORGOTTEN_AFTER * 2000, nth(5000));
        assert_eq!(attempts.debts.len(), 1, "what is forgotten makes room");
    }
}
