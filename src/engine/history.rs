//! What is remembered of a service, bounded: its latest changes of state, how long it was well, by hour and day, and how
//! fast it answered in the last hours.
//!
//! The monotonic clock says how much time went by, the wall clock only in which hour. What nobody watched is not booked
//! at all, and so unknown: time without a monitor, of a monitor that hung, of a machine that slept. After 90 days all this
//! takes 6 KB for a service.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::status::history::{
    Account, Counted, DAY_MS, DAYS, Day, HOUR_MS, Latencies, Past, SLOT_MS, ServiceDay, Tally, Window,
};
use crate::status::{STALE_AFTER_S, State, Timestamp, Transition, Uptime};

use super::{Command, Engine, Now};

#[cfg(test)]
mod tests;

/// So many transitions are kept of a service.
const TRANSITIONS: usize = 20;

/// What was booked is written down so often. A monitor that is killed loses no more than that.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// A clock that is adjusted runs a little faster or slower. One that is this much off from one event to the next was set,
/// or the machine slept.
const TOLERANCE_MS: i64 = 2000;

/// A failure that is not confirmed yet is booked only then, so a day gets a last word until so long after its end.
const AFTERMATH_MS: i64 = 15 * 60_000;

/// The past of a service.
#[derive(Debug)]
pub(super) struct History {
    transitions: VecDeque<Transition>,
    slots: Account,
    hours: Account,
    days: Account,
    latencies: Latencies,
    /// Up to then all is booked, by the wall clock. Within a stretch of watching that has no leap, both clocks agree.
    booked: Timestamp,
}

impl History {
    /// Of a service that is watched from now on.
    pub(super) fn new(now: Now) -> History {
        History {
            transitions: VecDeque::new(),
            slots: Account::new(SLOT_MS, 12),
            // Yesterday's are written down once more after midnight.
            hours: Account::new(HOUR_MS, 48),
            days: Account::new(DAY_MS, DAYS),
            latencies: Latencies::new(24),
            booked: now.wall,
        }
    }

    /// Remembers a transition, and forgets the oldest if there are too many.
    pub(super) fn push(&mut self, transition: Transition) {
        if self.transitions.len() == TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition);
    }

    /// The transitions, newest last.
    pub(super) fn transitions(&self) -> Vec<Transition> {
        self.transitions.iter().cloned().collect()
    }

    /// Books the time until now as spent in this state.
    pub(super) fn book(&mut self, now: Now, state: State, ok: bool) {
        if let Some(counted) = Counted::of(state, ok) {
            for account in [&mut self.slots, &mut self.hours, &mut self.days] {
                account.book(self.booked, now.wall, counted, state);
            }
        }
        self.booked = now.wall;
    }

    /// Leaves out what is not booked: nobody was there, or nobody can tell when it was.
    fn leave_out(&mut self, now: Now) {
        self.booked = now.wall;
    }

    /// systemd restarted it so often, or it was healed.
    pub(super) fn count(&mut self, now: Now, restarts: u16, heals: u16) {
        if restarts == 0 && heals == 0 {
            return;
        }
        let tally = Tally { restarts, heals, ..Tally::default() };
        for account in [&mut self.hours, &mut self.days] {
            account.merge(account.number(now.wall), tally);
        }
    }

    /// It answered, and that took so long.
    pub(super) fn measured(&mut self, now: Now, ms: u64) {
        self.latencies.measured(now.wall, ms);
    }

    /// The windows, up to what is booked.
    pub(super) fn uptime(&self) -> Uptime {
        let until = self.booked;
        let window = |account: &Account, count: usize| {
            let length_ms = until.as_millis() - account.from(count, until).as_millis();
            Window::of(&account.total(count, until), length_ms.unsigned_abs())
        };
        Uptime {
            hour: window(&self.slots, 12),
            day: window(&self.hours, 24),
            week: window(&self.days, 7),
            month: window(&self.days, 30),
            quarter: window(&self.days, DAYS),
        }
    }

    /// What is known of a day; none if that is nothing.
    fn day(&self, key: &str, day: i32, now: Now) -> Option<ServiceDay> {
        let is_today = day == Day::number_of(now.wall);
        let hours = self.hours.range(24 * day, 24 * (day + 1));
        let slots = self.slots.range(i32::MIN, i32::MAX).filter(|_| is_today);
        let worst = self.days.range(day, day + 1).find_map(|(_, tally)| tally.worst);
        let latency = self.latencies.hours(now.wall).filter(|_| is_today);
        let day = ServiceDay::of(key, worst, day, hours, slots).with_latency(latency);
        // Right after midnight nothing is booked yet, and yesterday's line does not have the latency any more.
        (!day.hours.is_empty() || !day.latency.is_empty()).then_some(day)
    }

    fn recall(&mut self, day: i32, past: &ServiceDay, today: i32) {
        for (hour, tally) in past.hours() {
            // Older hours are not kept.
            if day >= today - 2 {
                self.hours.merge(24 * day + hour, tally);
            }
            self.days.merge(day, Tally { worst: past.worst, ..tally });
        }
        past.slots().for_each(|(number, tally)| self.slots.merge(number, tally));
        // A later day is of a clock that was ahead.
        let latency = past.latency().filter(|_| (today - 1..=today).contains(&day));
        latency.for_each(|(hour, latency)| self.latencies.recall(hour, latency));
    }
}

/// The engine's part of the accounting.
#[derive(Debug)]
pub(super) struct Books {
    /// The latest event.
    seen: Now,
    saved: Duration,
    /// The days that something was booked in since then, or still may be.
    days: BTreeSet<i32>,
    /// The past of services that a reload took away, for the case that one brings them back.
    departed: HashMap<String, History>,
}

/// More services that went away are not remembered.
const DEPARTED: usize = 1000;

impl Books {
    pub(super) fn new(now: Now) -> Books {
        Books { seen: now, saved: now.mono, days: BTreeSet::new(), departed: HashMap::new() }
    }

    /// A service is not watched any more.
    pub(super) fn keep(&mut self, key: String, history: History) {
        if self.departed.len() < DEPARTED {
            self.departed.insert(key, history);
        }
    }

    /// The past of a service that is watched from now on.
    pub(super) fn take(&mut self, key: &str, now: Now) -> History {
        let mut history = self.departed.remove(key).unwrap_or_else(|| History::new(now));
        history.leave_out(now);
        history
    }
}

impl Engine {
    /// Time went by. When nobody was there to see it, or the wall clock leapt, what is not booked is left out.
    pub(super) fn keep_books(&mut self, now: Now) {
        let seen = std::mem::replace(&mut self.books.seen, now);
        let went_by = now.mono.saturating_sub(seen.mono);
        let by_wall_ms = now.wall.as_millis().saturating_sub(seen.wall.as_millis());
        let leap_ms = by_wall_ms.saturating_sub(went_by.as_millis() as i64);
        // As long as readers believe the last document, so do we.
        let limit = Duration::from_secs(self.stale_after_s().into());
        if leap_ms.abs() <= TOLERANCE_MS && went_by <= limit {
            return;
        }
        self.books.days.insert(Day::number_of(seen.wall));
        for service in &mut self.services {
            service.book(seen);
            service.history.leave_out(now);
        }
    }

    /// After how many seconds readers call a document stale.
    pub(super) fn stale_after_s(&self) -> u32 {
        STALE_AFTER_S.max(3 * self.heartbeat.as_secs() as u32)
    }

    /// Books the time until now, for a document. From time to time it is written down.
    pub(super) fn balance(&mut self, now: Now, commands: &mut Vec<Command>) {
        self.services.iter_mut().for_each(|service| service.book(now));
        if now.mono >= self.books.saved + SAVE_EVERY {
            commands.push(Command::History(self.history(now)));
        }
    }

    /// What is to be written down of the days in which something was booked.
    pub fn history(&mut self, now: Now) -> Vec<Day> {
        self.books.saved = now.mono;
        self.services.iter_mut().for_each(|service| service.book(now));
        let today = Day::number_of(now.wall);
        let before = Day::number_of(now.wall.plus_millis(-AFTERMATH_MS));
        let mut numbers = std::mem::replace(&mut self.books.days, [before, today].into());
        numbers.insert(today);
        let of = |number: i32| {
            let services = self.services.iter().map(|service| (&service.config.key, &service.history));
            let day = |(key, history): (&String, &History)| history.day(key, number, now);
            Day { number, services: services.filter_map(day).collect() }
        };
        numbers.into_iter().map(of).filter(|day| !day.services.is_empty()).collect()
    }

    /// Takes up the past that an earlier monitor wrote down, or the next piece of it.
    pub fn remember(&mut self, now: Now, past: &Past) {
        let mut known: HashMap<&str, &mut History> = self
            .services
            .iter_mut()
            .map(|service| (service.config.key.as_str(), &mut service.history))
            .collect();
        for day in &past.days {
            for service in &day.services {
                let Some(history) = known.get_mut(service.service.as_str()) else { continue };
                history.recall(day.number, service, Day::number_of(now.wall));
            }
        }
        for (key, transition) in &past.transitions {
            if let Some(history) = known.get_mut(key.as_str()) {
                history.push(transition.clone());
            }
        }
        known.into_values().for_each(|history| history.leave_out(now));
    }
}
