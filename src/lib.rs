//! systemd restarts what crashes. Wellkeep restarts what hangs, and shows you both.
//!
//! ```text
//!  monitor.yml -> config -> engine --Probe--> probe (http, port, systemd, process)
//!                             ^                 |
//!                             +----Outcome------+
//!                             |
//!                             +---Publish---> status.json -> viewer -> page, widget, API, `wellkeep status`
//!                             |
//!                             +---Heal------> heal (evidence, then the call or a hook)
//!                             |
//!                             +---Note, Save, Incident---> store (ledger, state.json, incidents; holds come back)
//! ```
//!
//! One direction: nothing downstream is read back by the loop, but what it saved for itself and the holds of people. The
//! engine is a value without clock, files or tasks; `monitor` is the loop around it. Read the modules in this order:

pub mod config;
pub mod engine;
pub mod probe;
pub mod systemd;
pub mod host;
pub mod status;
pub mod store;
pub mod heal;
pub mod log;
pub mod monitor;
pub mod viewer;
pub mod cli;
