//! The `http` probe against real servers, good and bad.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on ends its test")]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod bad_servers;
mod redirects;
mod tls;

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use common::servers::*;
use wellkeep::probe::http::{Client, Detail, JsonCondition, JsonExpect, Settings, probe, probe_with_steps};
use wellkeep::probe::{self, Outcome, Report};
use wellkeep::status::Timestamp;

/// 2024-02-23T12:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_708_689_600_000);

const SHORT: Duration = Duration::from_millis(300);

fn get(url: &str) -> Settings {
    Settings::get(url.parse().unwrap())
}

fn at(address: SocketAddr) -> Settings {
    get(&format!("http://{address}/health"))
}

fn run_for(settings: &Settings, timeout: Duration) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new();
    let begun = Instant::now();
    let report = runtime.block_on(probe(&client, settings, timeout, NOW));
    // Without its timeout none of the servers here would ever end it; the seconds are for machines that are busy.
    assert!(begun.elapsed() < timeout + Duration::from_secs(10), "took {:?}", begun.elapsed());
    runtime.shutdown_background();
    report
}

fn run(settings: &Settings) -> Report {
    run_for(settings, Duration::from_secs(10))
}

fn reason(report: &Report) -> &str {
    match &report.outcome {
        Outcome::Fail { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn failure(settings: &Settings) -> String {
    reason(&run(settings)).to_owned()
}

fn unknown(report: &Report) -> &str {
    match &report.outcome {
        Outcome::Unknown { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn detail(report: &Report) -> &Detail {
    match &report.detail {
        probe::Detail::Http(detail) => detail,
        other => panic!("{other:?}"),
    }
}

/// The environment, and the limits, are those of a process: runs one test again in a process of its own, where it finds
/// `mark` set.
fn in_a_process_of_its_own(test: &str, mark: (&str, &str), prepare: impl FnOnce(&mut Command)) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n ${DESCRIPTORS:-1024}; exec \"$0\" --exact \"$1\""]);
    shell.arg(std::env::current_exe().unwrap()).arg(test).env(mark.0, mark.1);
    prepare(&mut shell);
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
