//! The ledger: every decision, also every decision not to act, one line each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One decision: one line of `ledger.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// When it was made.
    pub at: Timestamp,
    /// The service's key; absent when it concerns the whole host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// Why, in plain words: a whole sentence for a person.
    pub words: String,
    /// The incident it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// When the matter is looked at again; absent when something must happen first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// The kinds of decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A service is down, confirmed: an incident begins.
    Opened,
    /// It is to be healed: the step is made.
    Heal,
    /// Everything but the call: `observe`.
    WouldHeal,
    /// It is not healed now; looked at again later.
    Wait,
    /// It is not healed, unless a person does something.
    Refuse,
    /// A step that was decided was not made after all.
    Cancel,
    /// A heal helped: verified.
    Healed,
    /// A heal did not help.
    HealFailed,
    /// A person is needed: the budget is used up, or the permission is missing.
    Notice,
    /// A person asked for a pause.
    Hold,
    /// A pause ended.
    Release,
    /// The service is well again, or stopped by its administrator: the incident ends.
    Closed,
}
