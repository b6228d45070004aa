//! The machine: one scan of `/proc` for all process checks, who listens where, who ends when, and the
//! figures of the document.

pub mod processes;
pub mod listeners;
pub mod discover;
mod deaths;
mod figures;
mod pressure;

pub use deaths::Deaths;
pub use figures::Figures;
pub use pressure::pressure;

/// The kernel's monotonic clock in microseconds: the one that systemd's `...TimestampMonotonic` properties are on.
/// Setting the wall clock does not touch it, and it stands still while the machine sleeps.
pub fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    u64::try_from(micros).expect("the monotonic clock starts at 0")
}
