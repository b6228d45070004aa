//! What everybody may see where the details are not for everybody: names, states, since when, and how much of its time a
//! service was well. It is a list of what is let through and not of what is held back, so that a field that a later version
//! adds is held back until somebody decides.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::{Data, Snapshot};
use crate::status::history::{Bar, History, Incidents, PastIncident, Window};
use crate::status::{Incident, Mode, State, Timestamp, Transition, Uptime};

/// What everybody may see of a document. Whatever else a reader of the whole relies on, the counts and flags are the same.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct PublicDocument {
    /// The version of the document's shape.
    schema: u32,
    /// Where the figures come from.
    mode: Mode,
    /// The worst state of all services.
    overall: State,
    /// How many services are `ok`.
    ok_count: u32,
    /// How many services are not `ok`.
    fail_count: u32,
    /// How many services there are.
    total: u32,
    /// When the document was made.
    generated_at: Timestamp,
    /// After how many seconds without a new document a reader must call this one stale.
    stale_after_s: u32,
    /// The services by key.
    services: IndexMap<String, PublicService>,
}

/// What everybody may see of a service.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct PublicService {
    /// The key, as in `monitor.yml`.
    key: String,
    /// The name for people.
    name: String,
    /// The verdict.
    ok: bool,
    /// What is believed of the service.
    state: State,
    /// Since when it is in this state.
    since: Timestamp,
    /// The group it is shown in.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Whether it drives the page's banner.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    primary: bool,
    /// When a check last ended; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_checked: Option<Timestamp>,
    /// How large a share of its time it was well; absent when no monitor keeps count.
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime: Option<Uptime>,
}

/// What everybody may see of a service's past.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PublicHistory {
    /// The service's key.
    key: String,
    /// The last 90 days, oldest first, today last. A day of which nothing is known is there, too.
    days: Vec<PublicBar>,
    /// The last 24 hours, oldest first, the one that is under way last.
    hours: Vec<PublicBar>,
    /// The changes of state of the last 24 hours, newest first; the latest 1,000 if there are more.
    transitions: Vec<PublicTransition>,
    /// Its incidents, newest first, as far as they are among the latest 200 of all services.
    incidents: Vec<PublicIncident>,
}

/// What everybody may see of a day or an hour.
#[derive(Debug, Serialize, JsonSchema)]
struct PublicBar {
    /// When it began.
    from: Timestamp,
    /// How much of it the service was well.
    #[serde(flatten)]
    window: Window,
    /// The worst state it was in; absent when nothing is known, and for hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    worst: Option<State>,
}

/// What everybody may see of a change of state.
#[derive(Debug, Serialize, JsonSchema)]
struct PublicTransition {
    /// When it was noticed.
    at: Timestamp,
    /// The state before.
    from: State,
    /// The state after.
    to: State,
}

/// What everybody may see of the latest incidents of all services.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PublicIncidents {
    /// Newest first, at most 200.
    incidents: Vec<PublicIncident>,
}

/// What everybody may see of an incident.
#[derive(Debug, Serialize, JsonSchema)]
struct PublicIncident {
    /// The service's key.
    service: String,
    /// When the service left `up`, or was first seen not to be well.
    began: Timestamp,
    /// When the service was well again; absent while the incident is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    /// From leaving `up` until being `up` again, in seconds; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_to_recover_s: Option<u64>,
}

// Each of these takes its original apart field by field, with those that are held back among the `_`: so that a new one
// must be decided about.

impl From<History> for PublicHistory {
    fn from(history: History) -> PublicHistory {
        let History { key, days, hours, latency: _, failures: _, transitions, incidents } = history;
        PublicHistory {
            key,
            days: days.into_iter().map(Into::into).collect(),
            hours: hours.into_iter().map(Into::into).collect(),
            transitions: transitions.into_iter().map(Into::into).collect(),
            incidents: incidents.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Bar> for PublicBar {
    fn from(Bar { from, window, worst, restarts: _, heals: _ }: Bar) -> PublicBar {
        PublicBar { from, window, worst }
    }
}

impl From<Transition> for PublicTransition {
    fn from(Transition { at, from, to, reason: _ }: Transition) -> PublicTransition {
        PublicTransition { at, from, to }
    }
}

impl From<Incidents> for PublicIncidents {
    fn from(Incidents { incidents }: Incidents) -> PublicIncidents {
        PublicIncidents { incidents: incidents.into_iter().map(Into::into).collect() }
    }
}

impl From<PastIncident> for PublicIncident {
    fn from(
        PastIncident { incident, time_to_detect_s: _, time_to_recover_s }: PastIncident,
    ) -> PublicIncident {
        let Incident { id: _, service, began, detected: _, ended, cause: _, outcome: _, heals: _ } = incident;
        PublicIncident { service, began, ended, time_to_recover_s }
    }
}

impl Snapshot {
    /// This snapshot without the details. One that cannot be understood is no data: it may be all details.
    pub(super) fn public(self) -> Snapshot {
        if self.data == Data::None {
            return Snapshot { reason: Some("there is no status at the moment".to_owned()), ..self };
        }
        let Some(document) = self.document.public() else {
            return Snapshot::nothing("the status cannot be understood at the moment".to_owned());
        };
        // The reasons of the other kinds have paths, and what the system said of them.
        let reason = match self.data {
            Data::File(_) => self.reason,
            Data::Kept => Some("new figures cannot be read; these are the last good ones".to_owned()),
            Data::Live | Data::LiveBefore => {
                Some("no monitor is at work; the viewer looked for itself".to_owned())
            }
            Data::None => None,
        };
        Snapshot { reason, document, ..self }
    }
}
