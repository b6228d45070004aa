//! The state directory: what must survive the monitor, and what people write for it.
//!
//! ```text
//! state.json                counters, budgets, open incidents: for the next monitor
//! ledger.jsonl, .1, .2      every decision, one a line: `wellkeep why`
//! incidents/ID/             what happened, what was done, evidence: `wellkeep history`
//! history/                  how long each service was well, and its changes of state: for the viewer, too
//! holds/KEY.json            pauses that people asked for: `wellkeep hold`
//! ```
//!
//! The monitor alone writes all of it but the holds. Each file is written so that a kill at any moment leaves a whole one,
//! and is bounded. Whatever is read may have been torn or put there by somebody: it is read with limits, and never
//! through a link.

pub mod state;
pub mod ledger;
pub mod incidents;
pub mod history;
pub mod holds;
mod keeper;
mod archive;
mod watch;
mod standing;
mod lines;
mod files;

pub use self::keeper::Store;
pub use self::watch::HoldWatch;
