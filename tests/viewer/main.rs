//! The viewer over real sockets. Each test has its own port, folder and clock; none sleeps.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod stage;

mod access;
mod api;
mod attacks;
mod data;
mod history;
mod routes;
mod sockets;
