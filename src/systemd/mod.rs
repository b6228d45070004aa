//! The few D-Bus members of systemd that are used, and what they say of a unit in types of our own.

mod bus;
mod unit;

pub use bus::{Bus, BusAddress, BusError, ClockSync, InstalledUnit, RunningService, Survey, Watch};
pub use unit::{Details, Exit, Permission, Sign, Told, UnitCall, UnitState};
