//! systemd restarts what crashes. Wellkeep restarts what hangs, and shows you both.
//!
//! ```text
//!  monitor.yml -> config -> engine --Probe--> probe (http, port, systemd, process)
//!                             ^                 |
//!                             +----Outcome------+
//!                             |
//!                             +---Publish---> status.json -> viewer -> page, widget, API, `wellkeep status`
//! ```
//!
//! One direction: nothing downstream is read back by the loop. The engine is a value without clock, files or tasks;
//! `monitor` is the loop around it. Read the modules in this order:

pub mod config;
pub mod engine;
pub mod probe;
pub mod systemd;
pub mod host;
pub mod status;
pub mod monitor;
pub mod viewer;
pub mod cli;
