//! The `port` probe against real listeners.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on ends its test")]

mod common;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use common::servers::{free_port, full_queue, python, python_on_a_unix_socket};
use wellkeep::probe::port::{Settings, probe};
use wellkeep::probe::{Detail, Outcome, Report};

fn run(settings: &Settings, timeout: Duration) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(probe(settings, timeout));
    runtime.shutdown_background();
    report
}

fn tcp(host: &str, port: u16) -> Report {
    let host = host.to_owned();
    run(&Settings::Tcp { host, port }, Duration::from_secs(3))
}

fn reason(report: &Report) -> &str {
    match &report.outcome {
        Outcome::Fail { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_port_that_accepts_passes_with_its_latency_and_steps() {
    let Some(server) = python() else { return };
    let report = tcp("127.0.0.1", server.port);
    assert_eq!(report.outcome, Outcome::PASS);
    let Detail::Port(detail) = &report.detail else { panic!() };
    assert_eq!((detail.host.as_deref(), detail.port), (Some("127.0.0.1"), Some(server.port)));
    assert!(detail.latency_ms.is_some());
    let steps: Vec<_> = report.steps.iter().map(|step| (step.name, step.note.as_str())).collect();
    assert_eq!(steps, [("connect", format!("127.0.0.1:{}", server.port).as_str())]);
}

#[test]
fn a_port_on_ipv6_passes() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return common::skip("this host has no IPv6 loopback");
    };
    assert_eq!(tcp("::1", listener.local_addr().unwrap().port()).outcome, Outcome::PASS);
}

#[test]
fn a_name_passes_when_one_of_its_addresses_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let report = tcp("localhost", listener.local_addr().unwrap().port());
    assert_eq!(report.outcome, Outcome::PASS);
    assert_eq!(report.steps[0].name, "resolve");
}

#[test]
fn a_port_on_which_nobody_listens_is_refused() {
    let port = free_port();
    let report = tcp("127.0.0.1", port);
    assert_eq!(reason(&report), format!("connection refused by 127.0.0.1:{port}"));
    let Detail::Port(detail) = &report.detail else { panic!() };
    assert_eq!(detail.latency_ms, None);
}

#[test]
fn a_name_that_nobody_has_is_named() {
    // A label of 70 letters: no name server is asked, so this holds on a machine without one.
    let nobody = format!("{}.invalid", "nobody-".repeat(10));
    assert!(reason(&tcp(&nobody, 80)).starts_with(&format!("name {nobody} does not resolve: ")));
}

#[test]
fn a_listener_whose_queue_is_full_times_out_in_connect() {
    let (address, _full) = full_queue();
    let settings = Settings::Tcp { host: "127.0.0.1".into(), port: address.port() };
    let report = run(&settings, Duration::from_millis(200));
    assert_eq!(reason(&report), format!("timed out after 200 ms in connect to {address}"));
}

#[test]
fn a_unix_socket_passes_while_somebody_listens() {
    let Some((server, path)) = python_on_a_unix_socket() else {
        return;
    };
    let settings = Settings::Unix { path: path.clone() };
    assert_eq!(run(&settings, Duration::from_secs(3)).outcome, Outcome::PASS);
    drop(server);
    let gone = run(&settings, Duration::from_secs(3));
    assert_eq!(reason(&gone), format!("there is no socket {}", path.display()));
}

#[test]
fn a_socket_file_left_behind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    let report = run(&Settings::Unix { path: path.clone() }, Duration::from_secs(3));
    let expected = format!("connection refused by {}: nobody listens on it", path.display());
    assert_eq!(reason(&report), expected);
}
