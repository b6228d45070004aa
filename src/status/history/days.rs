use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::tally::worse;
use super::{Account, DAY_MS, DAYS, HOUR_MS, Latencies, Latency, SLOT_MS, Tally};
use crate::status::{State, Timestamp, Transition};

/// One day of UTC: the content of `history/2026-11-23.jsonl`, a line for each service.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// Its number since 1970.
    pub number: i32,
    /// What is known of it.
    pub services: Vec<ServiceDay>,
}

impl Day {
    /// The number of the day that a moment is in.
    pub fn number_of(at: Timestamp) -> i32 {
        i32::try_from(at.as_millis().div_euclid(DAY_MS)).unwrap_or(0)
    }

    /// `2026-11-23`
    pub fn name(&self) -> String {
        let start = Timestamp::from_millis(i64::from(self.number) * DAY_MS).to_string();
        start.split('T').next().unwrap_or_default().to_owned()
    }

    /// The number of the day with this name; none if it is not one.
    pub fn number_of_name(name: &str) -> Option<i32> {
        let start: jiff::Timestamp = format!("{name}T00:00:00Z").parse().ok()?;
        let number = i32::try_from(start.as_millisecond().div_euclid(DAY_MS)).ok()?;
        (Day { number, services: Vec::new() }.name() == name).then_some(number)
    }

    /// Takes in what is on disk of the same day, but of services that are not here any more `departed` at most: those that were
    /// here last, since each writing puts them behind the others. Of two tallies of an hour the one that knows more is kept, so a monitor
    /// that has forgotten (or has just been given back) a service makes nothing worse than it is.
    pub fn join(&mut self, other: Day, departed: usize) {
        let places: HashMap<String, usize> =
            self.services.iter().zip(0..).map(|(service, place)| (service.service.clone(), place)).collect();
        let most = self.services.len() + departed;
        for old in other.services {
            match places.get(&old.service) {
                None if self.services.len() < most => self.services.push(old),
                None => {}
                Some(&place) => self.services[place].join(&old),
            }
        }
    }
}

/// A day of a service: a line of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceDay {
    /// Its key.
    pub service: String,
    /// The worst state that it was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<State>,
    /// The hours of the day, from 0.
    #[serde(default)]
    pub hours: Vec<Run>,
    /// The last hour in slots of five minutes, by their number since 1970, for the window of an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Run>,
    /// How fast it answered in the last 24 hours: those of yesterday, too, so that earlier files need not have any. An
    /// older reader passes this field over, and an older monitor leaves it out when it writes the day anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<Pace>,
}

/// How fast it answered in hours in a row: the number since 1970 of the first, and of each of them how many probes passed,
/// the mean of what they took and the most that one did, in ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace(Vec<i32>);

/// What one line knows of equal hours in a row: the first, how many, and of each of them: seconds up, seconds down, seconds
/// not counted, restarts, heals. Zeros at the end are left out, so a day without trouble is `[0,24,3600]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run(Vec<i32>);

/// More than a day of slots in a row is none of ours.
const LONGEST_RUN: i32 = 288;

impl ServiceDay {
    /// The day of a service with these hours and slots, all by their number since 1970.
    pub fn of(
        service: &str,
        worst: Option<State>,
        day: i32,
        hours: impl Iterator<Item = (i32, Tally)>,
        slots: impl Iterator<Item = (i32, Tally)>,
    ) -> ServiceDay {
        let hours = hours.map(|(number, tally)| (number - 24 * day, tally));
        ServiceDay {
            service: service.to_owned(),
            worst,
            hours: runs(hours),
            slots: runs(slots),
            latency: Vec::new(),
        }
    }

    /// The same with how fast it answered, in hours by their number since 1970 and in that order.
    #[must_use]
    pub fn with_latency(self, hours: impl Iterator<Item = (i32, Latency)>) -> ServiceDay {
        ServiceDay { latency: paces(hours), ..self }
    }

    /// Its hours by their number in the day, 0 to 23.
    pub fn hours(&self) -> impl Iterator<Item = (i32, Tally)> {
        self.hours.iter().flat_map(|run| run.tallies(HOUR_MS)).filter(|(number, _)| (0..24).contains(number))
    }

    /// All its hours together.
    pub fn sum(&self) -> Tally {
        let worst = Tally { worst: self.worst, ..Tally::default() };
        self.hours().fold(worst, |sum, (_, tally)| sum.plus(&tally, DAY_MS as u32))
    }

    /// Its slots by their number since 1970.
    pub fn slots(&self) -> impl Iterator<Item = (i32, Tally)> {
        self.slots.iter().flat_map(|run| run.tallies(SLOT_MS))
    }

    /// How fast it answered, in hours by their number since 1970.
    pub fn latency(&self) -> impl Iterator<Item = (i32, Latency)> {
        self.latency.iter().flat_map(Pace::hours)
    }

    fn join(&mut self, old: &ServiceDay) {
        // What an hour is given back in whole seconds may be a little more than it was.
        let slack = 1000;
        let mut hours: BTreeMap<i32, Tally> = self.hours().collect();
        for (number, tally) in old.hours() {
            let known = hours.entry(number).or_default();
            if tally.known_ms() > known.known_ms() + slack {
                *known = tally;
            }
        }
        self.hours = runs(hours.into_iter());
        self.worst = worse(self.worst, old.worst);
    }
}

impl Run {
    fn tallies(&self, width_ms: i64) -> impl Iterator<Item = (i32, Tally)> + use<> {
        let field = |place: usize| self.0.get(place).copied().unwrap_or(0).max(0);
        let milliseconds = |place: usize| (i64::from(field(place)) * 1000).min(width_ms) as u32;
        let count = |place: usize| u16::try_from(field(place)).unwrap_or(u16::MAX);
        let tally = Tally {
            up_ms: milliseconds(2),
            down_ms: milliseconds(3),
            not_counted_ms: milliseconds(4),
            restarts: count(5),
            heals: count(6),
            worst: None,
        };
        let (first, many) = (field(0), field(1).min(LONGEST_RUN));
        (first..first.saturating_add(many)).map(move |number| (number, tally))
    }
}

/// Tallies in the order of their numbers as runs of equal ones. Those of which nothing is known are left out.
fn runs(tallies: impl Iterator<Item = (i32, Tally)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (number, tally) in tallies {
        let [up, down, not_counted] = whole_seconds(&tally);
        let mut fields = vec![number, 1, up, down, not_counted, tally.restarts.into(), tally.heals.into()];
        while fields.last() == Some(&0) && fields.len() > 2 {
            fields.pop();
        }
        match runs.last_mut().map(|run| &mut run.0) {
            _ if fields.len() == 2 => {}
            Some(last) if last[0] + last[1] == number && last[2..] == fields[2..] => last[1] += 1,
            _ => runs.push(Run(fields)),
        }
    }
    runs
}

impl Pace {
    fn hours(&self) -> impl Iterator<Item = (i32, Latency)> {
        let (first, hours) = self.0.split_first().unwrap_or((&0, &[]));
        let latency = |hour: &[i32]| {
            let field = |place: usize| hour[place].max(0).unsigned_abs();
            let (probes, mean_ms, max_ms) = (field(0), field(1), field(2));
            Latency { probes, sum_ms: mean_ms.saturating_mul(probes), max_ms }
        };
        (*first..=i32::MAX).zip(hours.chunks_exact(3).map(latency)).filter(|(_, latency)| latency.probes > 0)
    }
}

fn paces(hours: impl Iterator<Item = (i32, Latency)>) -> Vec<Pace> {
    let mut paces: Vec<Pace> = Vec::new();
    let mut next = None;
    for (number, latency) in hours {
        let Some(mean_ms) = latency.mean_ms() else { continue };
        let fields =
            [latency.probes, mean_ms, latency.max_ms].map(|field| i32::try_from(field).unwrap_or(i32::MAX));
        match paces.last_mut() {
            Some(last) if next == Some(number) => last.0.extend(fields),
            _ => paces.push(Pace([number].into_iter().chain(fields).collect())),
        }
        next = number.checked_add(1);
    }
    paces
}

/// The parts of a tally in seconds. They are rounded so that their sum is the sum's: an hour has 3,600 of them.
fn whole_seconds(tally: &Tally) -> [i32; 3] {
    let seconds = |ms: u32| (ms.saturating_add(500) / 1000) as i32;
    let all = seconds(tally.known_ms());
    let down = seconds(tally.down_ms).min(all);
    let not_counted = seconds(tally.not_counted_ms).min(all - down);
    [all - down - not_counted, down, not_counted]
}

/// What is on disk of the past.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// The days, oldest first.
    pub days: Vec<Day>,
    /// The latest changes of state with the keys of their services, oldest first.
    pub transitions: Vec<(String, Transition)>,
}

/// What is on disk of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePast {
    pub(super) hours: Account,
    pub(super) days: Account,
    pub(super) latencies: Latencies,
    /// Its latest changes of state, oldest first.
    pub transitions: Vec<Transition>,
}

impl Default for ServicePast {
    /// Nothing at all.
    fn default() -> ServicePast {
        ServicePast {
            hours: Account::new(HOUR_MS, 24 * DAYS),
            days: Account::new(DAY_MS, DAYS + 1),
            latencies: Latencies::new(24 * DAYS),
            transitions: Vec::new(),
        }
    }
}

impl ServicePast {
    /// Takes in a piece of what is on disk, as far as it is about this service.
    pub fn take(&mut self, key: &str, piece: Past) {
        for day in &piece.days {
            for service in day.services.iter().filter(|service| service.service == key) {
                for (hour, tally) in service.hours() {
                    self.hours.merge(24 * day.number + hour, tally);
                }
                self.take_sum(day.number, service.sum());
                service.latency().for_each(|(hour, latency)| self.latencies.recall(hour, latency));
            }
        }
        let own = piece.transitions.into_iter().filter(|(service, _)| service == key);
        self.transitions.extend(own.map(|(_, transition)| transition));
    }

    /// Takes in a day of which only the sum is known.
    pub fn take_sum(&mut self, day: i32, sum: Tally) {
        self.days.merge(day, sum);
    }
}
