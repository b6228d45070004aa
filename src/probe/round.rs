//! One round, now: for `wellkeep probe`, and for a viewer on a machine without a monitor.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::Report;
use super::runner::Runner;
use crate::config::Config;
use crate::engine::{Command, Edition, Engine, Event, Identity, Now, ProbeId, Request};
use crate::host::Figures;
use crate::host::processes::with_ancestors;
use crate::monitor::wall_clock;
use crate::status::read::Boot;
use crate::status::{Document, Mode, MonitorState};
use crate::systemd::BusAddress;

/// How long a check may take when somebody waits for a page: configured timeouts may be minutes, which suits a monitor.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Probes every check once. The reports are in the order of the configuration: by service, then by check.
pub async fn probe(config: &Config, proc_root: &Path) -> Vec<Report> {
    let mut runner =
        Runner::new(proc_root, BusAddress::System, with_ancestors(proc_root, std::process::id()));
    runner.configure(config);
    let checks = config
        .services
        .iter()
        .flat_map(|service| service.checks.iter().map(|check| (check.check.clone(), service.timing.timeout)));
    let requests: Vec<Request> = checks
        .zip(1..)
        .map(|((check, timeout), number)| Request { id: ProbeId::new(number), check, timeout })
        .collect();
    let mut reports = BTreeMap::new();
    let expected = requests.len();
    runner.explain();
    runner.start(requests);
    while reports.len() < expected {
        let (id, report) = runner.next().await;
        reports.insert(id, report);
    }
    reports.into_values().collect()
}

/// The document of one round, in which one answer counts: there is no time for thresholds. No check gets more than 10 s.
pub async fn look(config: &Config, proc_root: &Path) -> Document {
    let config = hurried(config);
    let mut runner =
        Runner::new(proc_root, BusAddress::System, with_ancestors(proc_root, std::process::id()));
    runner.configure(&config);
    let identity = Identity {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        boot_id: Boot::of(proc_root).map(|boot| boot.id).unwrap_or_default(),
        mode: Mode::LiveChecks,
    };
    let origin = Instant::now();
    let now = || Now { mono: origin.elapsed(), wall: wall_clock() };
    let mut engine = Engine::new(config, identity, now());
    let mut event = Event::Tick;
    loop {
        let commands = engine.handle(now(), event);
        if engine.has_looked_everywhere() {
            break;
        }
        let probes = commands.into_iter().filter_map(|command| match command {
            Command::Probe(request) => Some(request),
            _ => None,
        });
        runner.start(probes.collect());
        let (id, report) = runner.next().await;
        event = Event::Outcome(id, report);
    }
    let edition = Edition {
        sequence: 1,
        host: Figures::new().read(),
        state: MonitorState::Running,
        needs_restart: None,
    };
    engine.document(now(), edition)
}

/// The configuration for a single look.
fn hurried(config: &Config) -> Config {
    let mut config = config.clone();
    for service in &mut config.services {
        service.timing.failure_threshold = 1;
        service.timing.success_threshold = 1;
        service.timing.timeout = service.timing.timeout.min(LOOK_TIMEOUT);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_waits_ten_seconds_for_a_check_at_most_and_no_longer_than_configured() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("monitor.yml");
        std::fs::write(
            &file,
            "services:\n  - {key: slow, port: 1, interval: 2m, timeout: 45s}\n  - {key: quick, port: 1, timeout: 1s}\n",
        )
        .unwrap();
        let config = hurried(&crate::config::load(&file, &|_| None).unwrap());
        let timeouts: Vec<u64> =
            config.services.iter().map(|service| service.timing.timeout.as_secs()).collect();
        assert_eq!(timeouts, [10, 1]);
    }
}
