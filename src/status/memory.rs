//! What must survive a restart of the monitor: the content of `state.json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HealResult, HealTotals, Incident, LastHeal, STALE_AFTER_S, State, Timestamp};

/// Counters, budgets and open incidents. Every time in it is a span that is left from the moment of saving, so no clock
/// can make it wrong.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// For each heal of the last hour, how long it still counts against the host's budget, in milliseconds.
    pub spent_ms: Vec<u64>,
    /// The services that went down of late, by key: for how long each still counts towards a common cause, in milliseconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub downs_ms: BTreeMap<String, u64>,
    /// A common cause was found: for how long nothing is healed because of it, in milliseconds; afterwards one at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub braked_ms: Option<u64>,
    /// The services of which there is something to remember, by key.
    pub services: BTreeMap<String, ServiceMemory>,
}

/// What is remembered of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceMemory {
    /// For each heal of the last hour, how long it still counts, in milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spent_ms: Vec<u64>,
    /// How many heals in a row did not keep it well: the backoff's exponent.
    pub attempts: u32,
    /// The next heal is not before this is over, in milliseconds.
    pub pause_ms: u64,
    /// The budget was used up: from then on one trial an hour.
    pub exhausted: bool,
    /// How its heals ended.
    #[serde(skip_serializing_if = "HealTotals::is_none")]
    pub totals: HealTotals,
    /// A heal that was decided and of which the end is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<LastHeal>,
    /// The latest heal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastHeal>,
    /// The open incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    /// How its unit came to its end, if that was witnessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<EndMemory>,
    /// What the thresholds had counted, by kind of check.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, CheckMemory>,
    /// What was believed of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub believed: Option<BelievedMemory>,
}

/// What was believed of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BelievedMemory {
    /// Its state.
    pub state: State,
    /// Its verdict.
    pub ok: bool,
    /// Since when it was in that state.
    pub since: Timestamp,
    /// For how long it has been, in milliseconds.
    pub lasted_ms: u64,
}

/// How a unit came to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndMemory {
    /// Its `ActiveState` since then.
    pub active: String,
    /// Whether somebody ordered it.
    pub ordered: bool,
    /// Since when it has been so, by systemd's account.
    pub since: Option<Timestamp>,
}

/// What the thresholds of a check had counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckMemory {
    /// Failures in a row.
    pub failures: u32,
    /// Passes in a row.
    pub passes: u32,
    /// What was confirmed, if anything.
    pub confirmed: Option<bool>,
}

impl Memory {
    /// The same after this much time without a monitor. Counters of probes, and how a unit ended, say nothing of now when
    /// they are older than five minutes. What was believed goes on to be believed for as long as readers would not have
    /// called the last document stale: nobody is told more than that said.
    pub fn after(mut self, elapsed: Duration) -> Memory {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let less = |spans: &mut Vec<u64>| {
            spans.iter_mut().for_each(|span| *span = span.saturating_sub(elapsed_ms));
            spans.retain(|span| *span > 0);
        };
        less(&mut self.spent_ms);
        self.downs_ms.values_mut().for_each(|left| *left = left.saturating_sub(elapsed_ms));
        self.downs_ms.retain(|_, left| *left > 0);
        self.braked_ms = self.braked_ms.map(|left| left.saturating_sub(elapsed_ms));
        for service in self.services.values_mut() {
            less(&mut service.spent_ms);
            service.pause_ms = service.pause_ms.saturating_sub(elapsed_ms);
            if elapsed > Duration::from_secs(STALE_AFTER_S.into()) {
                service.believed = None;
            }
            if let Some(believed) = service.believed.as_mut() {
                believed.lasted_ms = believed.lasted_ms.saturating_add(elapsed_ms);
            }
            if elapsed > Duration::from_secs(300) {
                service.checks.clear();
                service.end = None;
            }
            // Whoever did it is gone; what came of it, nobody saw.
            if let Some(heal) = service.under_way.as_mut() {
                heal.result = Some(HealResult::Interrupted);
            }
        }
        self
    }

    /// The same in another boot: whatever was believed then, everything has been started anew.
    pub fn of_an_earlier_boot(mut self) -> Memory {
        self.services.values_mut().for_each(|service| service.believed = None);
        self
    }
}
