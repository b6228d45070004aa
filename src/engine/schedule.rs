//! When which service is due.
//!
//! Waking up is most of the cost of a cheap probe (measured: one wake-up a probe costs three times the probe), so
//! everything happens in ticks of 250 ms: a thousand services with an interval of 5 s are twenty wake-ups of fifty
//! probes. A service keeps its phase in the interval, and the phases are spread by a hash of the key.

use std::collections::BTreeSet;
use std::time::Duration;

/// The length of a tick.
const TICK: Duration = Duration::from_millis(250);

/// A moment in whole ticks since the engine was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    /// The latest tick that is not after `time`.
    pub(super) fn at_or_before(time: Duration) -> Tick {
        Tick((time.as_millis() / TICK.as_millis()) as u64)
    }

    /// The first tick that is not before `time`.
    pub(super) fn at_or_after(time: Duration) -> Tick {
        Tick(time.as_nanos().div_ceil(TICK.as_nanos()) as u64)
    }

    /// When it is.
    pub(super) fn time(self) -> Duration {
        Duration::from_millis(self.0.saturating_mul(TICK.as_millis() as u64))
    }
}

/// The services, by their places, that wait for their next round, the first due first.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BTreeSet<(Tick, usize)>,
}

impl Schedule {
    /// A service is due at this tick. The caller sees to it that a service waits only once.
    pub(super) fn insert(&mut self, tick: Tick, service: usize) {
        self.due.insert((tick, service));
    }

    /// A service does not wait for this tick any more.
    pub(super) fn remove(&mut self, tick: Tick, service: usize) {
        self.due.remove(&(tick, service));
    }

    /// Takes out one service that is due by now.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<usize> {
        let &(tick, service) = self.due.first()?;
        if tick.time() > now {
            return None;
        }
        self.due.remove(&(tick, service));
        Some(service)
    }

    /// When the next service is due.
    pub(super) fn next(&self) -> Option<Tick> {
        self.due.first().map(|&(tick, _)| tick)
    }
}

/// The next regular round of a service after `now`: at its phase of the interval, so that an overrun delays a round
/// and the rounds missed meanwhile are not made up for.
pub(super) fn next_regular(key: &str, interval: Duration, now: Duration) -> Tick {
    let interval = interval.as_millis().max(1) as u64;
    let phase = hash(key) % interval;
    let now = now.as_millis() as u64;
    let rounds = (now + interval - phase) / interval;
    let next = Tick::at_or_after(Duration::from_millis(phase + rounds * interval));
    // The grid is finer than the ticks: the point after `now` may round up to the tick we are in.
    if next.time().as_millis() as u64 <= now { Tick(next.0 + 1) } else { next }
}

/// FNV-1a of 64 bits: the same phase in every run, on every machine.
pub(super) fn hash(key: &str) -> u64 {
    key.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_round_comes_exactly_once_an_interval_also_when_ticks_do_not_divide_it() {
        for interval in [1000, 1100, 1999, 5000, 10_000] {
            let mut now = ms(0);
            let mut rounds = 0;
            while now < ms(interval * 100) {
                now = next_regular("web", ms(interval), now).time();
                rounds += 1;
            }
            assert!((99..=101).contains(&rounds), "{rounds} rounds in 100 intervals of {interval} ms");
        }
    }

    #[test]
    fn the_next_round_is_always_in_the_future_and_at_most_an_interval_and_a_tick_away() {
        for now in (0..20_000).step_by(7) {
            let next = next_regular("web", ms(1300), ms(now)).time();
            assert!(next > ms(now) && next <= ms(now + 1300 + 250), "at {now} ms: {next:?}");
        }
    }

    #[test]
    fn a_thousand_services_spread_over_the_ticks_of_their_interval() {
        let mut counts = std::collections::BTreeMap::new();
        for service in 0..1000 {
            let tick = next_regular(&format!("service-{service}"), ms(5000), ms(0));
            *counts.entry(tick).or_insert(0) += 1;
        }
        assert!(counts.len() >= 20, "{} ticks used", counts.len());
        assert!(counts.values().all(|&count| count < 100), "{counts:?}");
    }
}
