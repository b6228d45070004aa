use std::collections::VecDeque;

use crate::status::{State, Timestamp};

/// What time in a state counts as. `unknown` counts as nothing at all, like time in which nobody watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Well.
    Up,
    /// Not well.
    Down,
    /// Neither: a person held or stopped the service. A maintenance that was planned must not spoil its uptime, and a
    /// service that does not run on purpose must not improve it.
    Not,
}

impl Counted {
    /// What time in this state counts as; none when it is unknown. The verdict decides, so uptime and `ok` never tell
    /// different stories: what is `starting` is down for whoever asks it in vain.
    pub fn of(state: State, ok: bool) -> Option<Counted> {
        match state {
            State::Unknown => None,
            State::Held | State::Stopped => Some(Counted::Not),
            State::Up | State::Degraded => Some(Counted::Up),
            State::Down | State::Unstable | State::Blocked => Some(Counted::Down),
            State::Starting if ok => Some(Counted::Up),
            State::Starting => Some(Counted::Down),
        }
    }
}

/// What is known of a span of time: an hour, a day, five minutes. Its parts are never longer than it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// For how long the service was well, in milliseconds.
    pub up_ms: u32,
    /// For how long it was not.
    pub down_ms: u32,
    /// For how long it was held or stopped.
    pub not_counted_ms: u32,
    /// How often systemd restarted it by itself.
    pub restarts: u16,
    /// How many heals were made, whether they helped or not.
    pub heals: u16,
    /// The worst state it was in, but for `unknown`.
    pub worst: Option<State>,
}

impl Tally {
    /// For how long something is known, in milliseconds.
    pub fn known_ms(&self) -> u32 {
        self.up_ms.saturating_add(self.down_ms).saturating_add(self.not_counted_ms)
    }

    /// Both together, within a span of so many milliseconds. What comes twice, as an hour does when the clock is set back,
    /// shares the span: the later time takes its part from all that was there.
    pub(super) fn plus(&self, other: &Tally, width_ms: u32) -> Tally {
        let mut sum = Tally {
            up_ms: self.up_ms.saturating_add(other.up_ms),
            down_ms: self.down_ms.saturating_add(other.down_ms),
            not_counted_ms: self.not_counted_ms.saturating_add(other.not_counted_ms),
            restarts: self.restarts.saturating_add(other.restarts),
            heals: self.heals.saturating_add(other.heals),
            worst: worse(self.worst, other.worst),
        };
        let known = sum.known_ms();
        if known > width_ms {
            let part = |ms: &mut u32| *ms = (u64::from(*ms) * u64::from(width_ms) / u64::from(known)) as u32;
            [&mut sum.up_ms, &mut sum.down_ms, &mut sum.not_counted_ms].into_iter().for_each(part);
        }
        sum
    }
}

/// The worse of two states.
pub(super) fn worse(one: Option<State>, other: Option<State>) -> Option<State> {
    one.into_iter().chain(other).min()
}

/// The sum of many tallies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// In milliseconds.
    pub up_ms: u64,
    /// In milliseconds.
    pub down_ms: u64,
    /// In milliseconds.
    pub not_counted_ms: u64,
    /// How often systemd restarted it by itself.
    pub restarts: u32,
    /// How many heals were made, whether they helped or not.
    pub heals: u32,
}

impl Total {
    /// This and a tally.
    #[must_use]
    pub fn plus(self, tally: &Tally) -> Total {
        Total {
            up_ms: self.up_ms + u64::from(tally.up_ms),
            down_ms: self.down_ms + u64::from(tally.down_ms),
            not_counted_ms: self.not_counted_ms + u64::from(tally.not_counted_ms),
            restarts: self.restarts + u32::from(tally.restarts),
            heals: self.heals + u32::from(tally.heals),
        }
    }
}

/// What is known of spans of one width, each with its number since 1970, of which the latest are kept. A span of which
/// nothing is known takes no room, so it is bounded by what was watched and not by what the clock says: a clock that jumps
/// forth and back costs one span at the old end and no more.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spans<T> {
    kept: usize,
    /// In the order of their numbers.
    known: VecDeque<(i32, T)>,
}

impl<T: Copy + Default> Spans<T> {
    /// So many at most.
    pub(super) fn new(kept: usize) -> Spans<T> {
        Spans { kept, known: VecDeque::new() }
    }

    /// The one with this number, made if need be.
    pub(super) fn slot(&mut self, number: i32) -> &mut T {
        let mut place = match self.known.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => return &mut self.known[place].1,
            Err(place) => place,
        };
        if self.known.len() == self.kept && place == 0 {
            // All that is known is later than now: the clock was ahead when the latest of it was told.
            self.known.pop_back();
        } else if self.known.len() == self.kept {
            self.known.pop_front();
            place -= 1;
        }
        self.known.insert(place, (number, T::default()));
        &mut self.known[place].1
    }

    /// Those from one number until before another.
    pub(super) fn range(&self, from: i32, until: i32) -> impl Iterator<Item = (i32, T)> {
        let place = |wanted: i32| self.known.partition_point(|(number, _)| *number < wanted);
        self.known.range(place(from)..place(until).max(place(from))).copied()
    }
}

/// Tallies of spans of one width, of which the latest are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    width_ms: i64,
    tallies: Spans<Tally>,
}

impl Account {
    /// An empty account of spans of so many milliseconds.
    pub fn new(width_ms: i64, kept: usize) -> Account {
        Account { width_ms, tallies: Spans::new(kept) }
    }

    /// The number of the span that a moment is in.
    pub fn number(&self, at: Timestamp) -> i32 {
        number(at.as_millis(), self.width_ms)
    }

    /// Adds to the span with this number.
    pub fn merge(&mut self, number: i32, tally: Tally) {
        let width_ms = self.width_ms as u32;
        let known = self.tallies.slot(number);
        *known = known.plus(&tally, width_ms);
    }

    /// Adds time of one kind, from one moment to a later one.
    pub fn book(&mut self, from: Timestamp, until: Timestamp, counted: Counted, state: State) {
        let (mut from, until) = (from.as_millis(), until.as_millis());
        while from < until {
            let number = number(from, self.width_ms);
            let end = ((i64::from(number) + 1) * self.width_ms).min(until);
            let ms = (end - from) as u32;
            let mut tally = Tally { worst: Some(state), ..Tally::default() };
            match counted {
                Counted::Up => tally.up_ms = ms,
                Counted::Down => tally.down_ms = ms,
                Counted::Not => tally.not_counted_ms = ms,
            }
            self.merge(number, tally);
            from = end;
        }
    }

    /// The tallies from one number until before another.
    pub fn range(&self, from: i32, until: i32) -> impl Iterator<Item = (i32, Tally)> {
        self.tallies.range(from, until)
    }

    /// When the window of the latest `count` spans began, the one of now among them.
    pub fn from(&self, count: usize, now: Timestamp) -> Timestamp {
        let first = i64::from(self.number(now)) - count as i64 + 1;
        Timestamp::from_millis(first * self.width_ms)
    }

    /// The sum of that window.
    pub fn total(&self, count: usize, now: Timestamp) -> Total {
        let (first, next) = (self.number(self.from(count, now)), self.number(now) + 1);
        self.range(first, next).fold(Total::default(), |total, (_, tally)| total.plus(&tally))
    }

    /// Each span of that window, also those of which nothing is known: when it began, how long it lasted until now in
    /// milliseconds, and what is known of it.
    pub fn each(&self, count: usize, now: Timestamp) -> impl Iterator<Item = (Timestamp, u64, Tally)> {
        let (first, last) = (self.number(self.from(count, now)), self.number(now));
        (first..=last).map(move |number| {
            let from = Timestamp::from_millis(i64::from(number) * self.width_ms);
            let length_ms = (now.as_millis() - from.as_millis()).clamp(0, self.width_ms).unsigned_abs();
            let tally = self.range(number, number + 1).next().map(|(_, tally)| tally).unwrap_or_default();
            (from, length_ms, tally)
        })
    }
}

/// The number since 1970 of the span of this width that a moment is in.
pub(super) fn number(at_ms: i64, width_ms: i64) -> i32 {
    i32::try_from(at_ms.div_euclid(width_ms)).unwrap_or(if at_ms < 0 { i32::MIN / 2 } else { i32::MAX / 2 })
}
