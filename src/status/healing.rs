//! What the document says of healing: the policy and its next step, a hold, an incident.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Healing of a service: what may be done, what was done, what will be done next, or why nothing is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealStatus {
    /// Whether the call is really made.
    pub mode: HealMode,
    /// The unit that is healed; absent when a program heals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The ladder in words: `restart`, `reload`, `run /usr/local/bin/fix`.
    pub steps: Vec<String>,
    /// How many heals were made within the last hour.
    pub heals_within_an_hour: u32,
    /// How many are allowed within an hour.
    pub budget: u32,
    /// What is going on.
    pub phase: HealPhase,
    /// Since when the unit is looked at again, just before a step; only while that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looking_since: Option<Timestamp>,
    /// How the heals of this service ended, ever since it has been watched.
    #[serde(default)]
    pub totals: HealTotals,
    /// The latest heal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastHeal>,
    /// What will be done next, while the service is down and nothing is in the way but time: `restart` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// When that will be done, or looked at again; while a heal is verified, until when it may prove itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Why nothing is done now, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// Whether healing really acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealMode {
    /// It does.
    Act,
    /// Everything but the call.
    Observe,
}

/// What is going on with the healing of a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealPhase {
    /// Nothing: the service is not down.
    #[default]
    Idle,
    /// It is down, and something must pass first: see `why_not` and `next_at`.
    Waiting,
    /// The unit is looked at again, just before the step: what changed calls it off. Nothing was done yet.
    Looking,
    /// The step is being made.
    Acting,
    /// The step was made, and it is not known yet whether it helped.
    Verifying,
}

/// A heal that is over, or under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LastHeal {
    /// When it was begun.
    pub at: Timestamp,
    /// What was done: `restart` ...
    pub step: String,
    /// Its number within the incident, from 1.
    pub attempt: u32,
    /// How it ended; absent while it is under way or being verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<HealResult>,
}

/// How a heal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealResult {
    /// The service was well again within `verify_within`.
    Healed,
    /// It was not, or the step itself failed.
    Failed,
    /// Nothing was done: something changed just before, or it was not permitted.
    Cancelled,
    /// Everything but the call was done.
    Observed,
    /// The monitor ended in the middle of it: nobody knows.
    Interrupted,
}

/// How many heals ended in which way. They only grow, also across restarts of the monitor, so that whoever reads them
/// now and then misses none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HealTotals {
    /// After which the service was well again.
    pub healed: u64,
    /// Which did not help, or could not be made.
    pub failed: u64,
    /// Which were called off.
    pub cancelled: u64,
    /// Of which everything but the call was done.
    pub observed: u64,
    /// In the middle of which the monitor ended.
    pub interrupted: u64,
}

impl HealTotals {
    /// One more.
    pub fn count(&mut self, result: HealResult) {
        let total = match result {
            HealResult::Healed => &mut self.healed,
            HealResult::Failed => &mut self.failed,
            HealResult::Cancelled => &mut self.cancelled,
            HealResult::Observed => &mut self.observed,
            HealResult::Interrupted => &mut self.interrupted,
        };
        *total = total.saturating_add(1);
    }

    /// Whether there was none at all.
    pub fn is_none(&self) -> bool {
        *self == HealTotals::default()
    }
}

/// What all services together may be healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostHeals {
    /// How many heals were made within the last hour.
    pub within_an_hour: u32,
    /// How many are allowed within an hour.
    pub budget: u32,
}

/// A pause of healing and notices that a person asked for; it always ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// When it began.
    pub since: Timestamp,
    /// When it ends by itself; at most 24 h after it began.
    pub until: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// From leaving `up` until being `up` again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Names it, and its folder under `incidents/`: the time of its detection and the service's key.
    pub id: String,
    /// The service's key.
    pub service: String,
    /// When the service left `up`, or was first seen not to be well.
    pub began: Timestamp,
    /// When it was confirmed.
    pub detected: Timestamp,
    /// When the service was well again; absent while the incident is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What was first seen, in words.
    pub cause: String,
    /// How it ended, in words; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The heals, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heals: Vec<LastHeal>,
}
