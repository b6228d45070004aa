use super::HOUR_MS;
use super::tally::{Spans, number};
use crate::status::Timestamp;

/// So many hours are told, the one that is under way among them.
const HOURS: i32 = 24;

/// How fast a service answered, in a number of probes that passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// So many probes.
    pub probes: u32,
    /// All of them together, in milliseconds: one at a time, so an hour of them has no more than an hour.
    pub sum_ms: u32,
    /// The slowest, in milliseconds.
    pub max_ms: u32,
}

impl Latency {
    /// Of one probe.
    pub fn of(ms: u32) -> Latency {
        Latency { probes: 1, sum_ms: ms, max_ms: ms }
    }

    /// The mean in milliseconds; none without a probe.
    pub fn mean_ms(&self) -> Option<u32> {
        let half = u64::from(self.probes) / 2;
        let mean = (u64::from(self.sum_ms) + half).checked_div(u64::from(self.probes))?;
        u32::try_from(mean).ok()
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Latency) -> Latency {
        Latency {
            probes: self.probes.saturating_add(other.probes),
            sum_ms: self.sum_ms.saturating_add(other.sum_ms),
            max_ms: self.max_ms.max(other.max_ms),
        }
    }
}

/// How fast a service answered hour by hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies(Spans<Latency>);

impl Latencies {
    /// Nothing was measured. So many hours are kept; 24 are enough but for files that a clock which was ahead left behind.
    pub fn new(kept: usize) -> Latencies {
        Latencies(Spans::new(kept))
    }

    /// A probe passed after so many milliseconds.
    pub fn measured(&mut self, at: Timestamp, ms: u64) {
        let hour = self.0.slot(number(at.as_millis(), HOUR_MS));
        *hour = hour.plus(Latency::of(u32::try_from(ms).unwrap_or(u32::MAX)));
    }

    /// Takes in what was written down of the hour with this number since 1970. The same may be written in two files: of two the one that knows more is
    /// kept.
    pub fn recall(&mut self, hour: i32, latency: Latency) {
        let known = self.0.slot(hour);
        if latency.probes > known.probes {
            *known = latency;
        }
    }

    /// The hours in which something was measured, of the last 24 until now, by their number since 1970.
    pub fn hours(&self, now: Timestamp) -> impl Iterator<Item = (i32, Latency)> {
        let next = number(now.as_millis(), HOUR_MS) + 1;
        self.0.range(next - HOURS, next)
    }

    /// Each of the last 24 hours, also those in which nothing was measured.
    pub fn each(&self, now: Timestamp) -> Vec<Option<Latency>> {
        let first = number(now.as_millis(), HOUR_MS) + 1 - HOURS;
        let mut each = vec![None; HOURS as usize];
        for (hour, latency) in self.hours(now) {
            each[(hour - first) as usize] = Some(latency);
        }
        each
    }
}
