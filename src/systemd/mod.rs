//! The few D-Bus members of systemd that are used, and what they say of a unit in types of our own.

mod bus;
mod unit;

pub use bus::{Bus, BusAddress, BusError, RunningService};
pub use unit::{Details, Exit, UnitState};
