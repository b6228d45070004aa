//! What everybody may see where the details are not for everybody: names, states, and since when. It is a list of what is
//! let through and not of what is held back, so that a field that a later version adds is held back until somebody decides.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::{Data, Snapshot};
use crate::status::{Mode, State, Timestamp};

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
