//! What was: how long each service was well, by hour and by day, how often it failed, and what was done about it.
//!
//! - `tally`: time by what it counts as, and sums of it. `latency`: how fast it answered. `days`: the shape of the files
//!   below `history/`.
//! - here: what readers get of it, in the document (`uptime`) and from `/api/history/KEY`.

mod days;
mod latency;
mod tally;

pub use days::{Day, Past, ServiceDay, ServicePast};
pub use latency::{Latencies, Latency};
pub use tally::{Account, Counted, Tally, Total};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Incident, State, Timestamp, Transition};

/// An hour, in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;

/// A day, in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// The last hour is kept by slots of five minutes, in milliseconds.
pub const SLOT_MS: i64 = 300_000;

/// So many incidents are told, of all services.
pub const INCIDENTS_KEPT: usize = 200;

/// So many changes of state of a service are told. One that fails every other second has more in a day than anybody reads.
pub const TRANSITIONS_TOLD: usize = 1000;

/// So many days are remembered, today among them.
pub const DAYS: usize = 90;

/// How large a share of its time a service was well, up to now. Hours and days are those of UTC. Each window begins with
/// a whole part of it, so it may be that much shorter than its name says: 12 slots of five minutes, 24 hours, 7, 30 and
/// 90 days, the one that is under way among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Uptime {
    /// The last hour.
    #[serde(rename = "1h")]
    pub hour: Window,
    /// The last 24 hours.
    #[serde(rename = "24h")]
    pub day: Window,
    /// The last 7 days.
    #[serde(rename = "7d")]
    pub week: Window,
    /// The last 30 days.
    #[serde(rename = "30d")]
    pub month: Window,
    /// The last 90 days.
    #[serde(rename = "90d")]
    pub quarter: Window,
}

/// One window. What is neither `known` nor `not_counted` is unknown: nobody watched, or the probes could not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// The share, from 0 to 1, of the known time in which the service was well. Never rounded up: 1 means no failure at
    /// all. Absent when nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// How large a part of the window `ratio` is about, from 0 to 1.
    pub known: f64,
    /// How large a part of it the service was held or stopped on purpose, from 0 to 1; absent when it was not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_counted: f64,
}

fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

impl Window {
    /// The shares of a window that lasted so long until now.
    pub fn of(total: &Total, length_ms: u64) -> Window {
        let known = total.up_ms + total.down_ms;
        Window {
            ratio: share(total.up_ms, known),
            known: share(known, length_ms).unwrap_or(0.0),
            not_counted: share(total.not_counted_ms, length_ms).unwrap_or(0.0),
        }
    }
}

/// A share with five digits, rounded down: 99.9996 % is not 100 %. None of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    let digits = 100_000;
    let share = (u128::from(part) * digits).checked_div(u128::from(whole))?.min(digits);
    Some(share as f64 / digits as f64)
}

/// All that is kept of a service's past: the answer of `/api/history/KEY`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// The service's key.
    pub key: String,
    /// The last 90 days, oldest first, today last. A day of which nothing is known is there, too.
    pub days: Vec<Bar>,
    /// The last 24 hours, oldest first, the one that is under way last.
    pub hours: Vec<Bar>,
    /// How fast it answered in those hours. Absent when that was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyOfHours>,
    /// How often it failed, and how fast that was found and mended.
    pub failures: Failures,
    /// The changes of state of the last 24 hours, newest first; the latest 1,000 if there are more.
    pub transitions: Vec<Transition>,
    /// Its incidents, newest first, as far as they are among the latest 200 of all services.
    pub incidents: Vec<PastIncident>,
}

/// A day or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bar {
    /// When it began.
    pub from: Timestamp,
    /// How much of it the service was well.
    #[serde(flatten)]
    pub window: Window,
    /// The worst state it was in; absent when nothing is known, and for hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst: Option<State>,
    /// How often systemd restarted it by itself.
    #[serde(default, skip_serializing_if = "is_none_at_all")]
    pub restarts: u32,
    /// How many heals were made: those after which it was well again, and those that failed, whether the step itself did or it
    /// did not help. Not those that were called off or only observed.
    #[serde(default, skip_serializing_if = "is_none_at_all")]
    pub heals: u32,
}

fn is_none_at_all(count: &u32) -> bool {
    *count == 0
}

/// How fast a service answered in the last 24 hours: its HTTP check, else its port check, in the probes that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyOfHours {
    /// The mean of all probes, in milliseconds.
    pub mean_ms: u32,
    /// What the slowest took, in milliseconds.
    pub max_ms: u32,
    /// The mean of each of the 24 hours, in milliseconds, oldest first, the one that is under way last; null where nothing
    /// was measured.
    pub hours_ms: Vec<Option<u32>>,
}

impl LatencyOfHours {
    /// None when nothing was measured.
    fn of(latencies: &Latencies, now: Timestamp) -> Option<LatencyOfHours> {
        let each = latencies.each(now);
        let all = each.iter().flatten().fold(Latency::default(), |all, hour| all.plus(*hour));
        let hours_ms = each.iter().map(|hour| hour.as_ref().and_then(Latency::mean_ms)).collect();
        Some(LatencyOfHours { mean_ms: all.mean_ms()?, max_ms: all.max_ms, hours_ms })
    }
}

/// Failures, in windows as those of [`Uptime`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failures {
    /// The last 24 hours.
    #[serde(rename = "24h")]
    pub day: Failing,
    /// The last 7 days.
    #[serde(rename = "7d")]
    pub week: Failing,
    /// The last 30 days.
    #[serde(rename = "30d")]
    pub month: Failing,
}

/// Failures in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failing {
    /// How many incidents began.
    pub incidents: u32,
    /// Older incidents are not kept any more (200 are, of all services), so there may have been more than these, and the
    /// means are of these alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_before: bool,
    /// From leaving `up` until that was confirmed, in seconds: the mean of these incidents. Absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_time_to_detect_s: Option<f64>,
    /// From leaving `up` until being `up` again, in seconds: the mean of those that have ended. Absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_time_to_recover_s: Option<f64>,
    /// How many heals were made: those after which it was well again, and those that failed, whether the step itself did or it
    /// did not help. Not those that were called off or only observed.
    pub heals: u32,
    /// How often systemd restarted it by itself.
    pub restarts: u32,
    /// Heals and restarts together, for each hour that was watched. Absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts_an_hour: Option<f64>,
}

/// The latest incidents of all services: the answer of `/api/incidents`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incidents {
    /// Newest first, at most 200. Of each the latest 20 heals are told, and no evidence.
    pub incidents: Vec<PastIncident>,
}

/// An incident with its times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PastIncident {
    /// What happened, and what was done.
    #[serde(flatten)]
    pub incident: Incident,
    /// From leaving `up` until that was confirmed, in seconds.
    pub time_to_detect_s: u64,
    /// From leaving `up` until being `up` again, in seconds; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_recover_s: Option<u64>,
}

impl From<Incident> for PastIncident {
    fn from(incident: Incident) -> PastIncident {
        let lasted = |until: Timestamp| {
            u64::try_from(until.as_millis().saturating_sub(incident.began.as_millis()) / 1000).unwrap_or(0)
        };
        let (time_to_detect_s, time_to_recover_s) = (lasted(incident.detected), incident.ended.map(lasted));
        PastIncident { incident, time_to_detect_s, time_to_recover_s }
    }
}

impl History {
    /// Puts it together from what is on disk. `incidents` are the latest of all services, newest first.
    pub fn of(key: &str, past: ServicePast, incidents: &[Incident], now: Timestamp) -> History {
        let ServicePast { hours, days, latencies, mut transitions } = past;
        let is_full = incidents.len() >= INCIDENTS_KEPT;
        let oldest = incidents.last().map(|incident| incident.began).filter(|_| is_full);
        let own: Vec<PastIncident> =
            incidents.iter().filter(|incident| incident.service == key).cloned().map(Into::into).collect();
        let failing = |account: &Account, count| {
            let (total, from) = (account.total(count, now), account.from(count, now));
            Failing::of(&total, &own, from, oldest.is_some_and(|oldest| oldest > from))
        };
        let failures =
            Failures { day: failing(&hours, 24), week: failing(&days, 7), month: failing(&days, 30) };
        let since = now.plus_millis(-DAY_MS);
        transitions.retain(|transition| transition.at >= since);
        transitions.reverse();
        transitions.truncate(TRANSITIONS_TOLD);
        History {
            key: key.to_owned(),
            days: bars(&days, DAYS, now),
            hours: bars(&hours, 24, now),
            latency: LatencyOfHours::of(&latencies, now),
            failures,
            transitions,
            incidents: own,
        }
    }
}

fn bars(account: &Account, count: usize, now: Timestamp) -> Vec<Bar> {
    let bar = |(from, length_ms, tally): (Timestamp, u64, Tally)| Bar {
        from,
        window: Window::of(&Total::default().plus(&tally), length_ms),
        worst: tally.worst,
        restarts: tally.restarts.into(),
        heals: tally.heals.into(),
    };
    account.each(count, now).map(bar).collect()
}

impl Failing {
    fn of(total: &Total, incidents: &[PastIncident], from: Timestamp, more_before: bool) -> Failing {
        let within: Vec<&PastIncident> =
            incidents.iter().filter(|incident| incident.incident.began >= from).collect();
        let made = total.restarts + total.heals;
        let watched_ms = total.up_ms + total.down_ms + total.not_counted_ms;
        let an_hour = made as f64 * HOUR_MS as f64 / watched_ms as f64;
        Failing {
            incidents: within.len() as u32,
            more_before,
            mean_time_to_detect_s: mean(within.iter().map(|incident| incident.time_to_detect_s)),
            mean_time_to_recover_s: mean(within.iter().filter_map(|incident| incident.time_to_recover_s)),
            heals: total.heals,
            restarts: total.restarts,
            restarts_an_hour: (watched_ms > 0).then(|| hundredths(an_hour)),
        }
    }
}

fn mean(seconds: impl Iterator<Item = u64> + Clone) -> Option<f64> {
    let count = seconds.clone().count();
    (count > 0).then(|| hundredths(seconds.sum::<u64>() as f64 / count as f64))
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
