//! `wellkeep probe`

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigFile, Exit, complain, print, runtime, style};
use crate::config::{CheckConfig, Config, Service};
use crate::probe::{Detail, Failure, Outcome, Report, Severity, round};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep probe                      every service of the configuration, once\n  \
    wellkeep probe web --config ./monitor.yml\n  \
    wellkeep probe --json | jq '.[].checks[] | select(.outcome != \"pass\")'\n\n\
    Nothing is written, and a running monitor does not notice.\n\n\
    Exit codes: 0 every critical check passes, 1 one fails, 2 one cannot tell, 78 wrong configuration.")]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// As JSON: a list of services with their checks, steps and times
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let mut config = match arguments.config.load() {
        Ok(config) => config,
        Err(problems) => {
            complain(format_args!("{problems:#}"));
            return Exit::WrongConfig;
        }
    };
    if let Err(problem) = narrow(&mut config, &arguments.keys) {
        complain(problem);
        return Exit::CannotTell;
    }
    let reports = match runtime::block_on(round::probe(&config, "/proc".as_ref())) {
        Ok(reports) => reports,
        Err(error) => {
            complain(format!("the runtime cannot start: {error}"));
            return Exit::CannotTell;
        }
    };
    let reports: Vec<(&Service, Vec<(&CheckConfig, Report)>)> = assign(&config, reports);
    if arguments.json {
        let services: Vec<Value> = reports.iter().map(|(service, checks)| as_json(service, checks)).collect();
        print(&(serde_json::to_string_pretty(&services).expect("plain JSON") + "\n"));
    } else {
        let texts: Vec<String> = reports.iter().map(|(service, checks)| as_text(service, checks)).collect();
        print(&texts.join("\n"));
    }
    verdict(&reports)
}

fn narrow(config: &mut Config, keys: &[String]) -> Result<(), String> {
    if keys.is_empty() {
        return Ok(());
    }
    let known: Vec<String> = config.services.iter().map(|service| service.key.clone()).collect();
    if let Some(key) = keys.iter().find(|key| !known.contains(key)) {
        return Err(format!("there is no service {key:?}; the keys are: {}", known.join(", ")));
    }
    config.services.retain(|service| keys.contains(&service.key));
    Ok(())
}

/// The reports stand in the order of the configuration.
fn assign(config: &Config, reports: Vec<Report>) -> Vec<(&Service, Vec<(&CheckConfig, Report)>)> {
    let mut reports = reports.into_iter();
    let of = |service: &'_ Service, reports: &mut std::vec::IntoIter<Report>| -> Vec<Report> {
        reports.take(service.checks.len()).collect()
    };
    config
        .services
        .iter()
        .map(|service| (service, service.checks.iter().zip(of(service, &mut reports)).collect()))
        .collect()
}

fn verdict(reports: &[(&Service, Vec<(&CheckConfig, Report)>)]) -> Exit {
    let mut outcomes = reports
        .iter()
        .flat_map(|(_, checks)| checks)
        .filter(|(check, _)| check.severity == Severity::Critical)
        .map(|(_, report)| &report.outcome);
    let mut blind = false;
    if outcomes.any(|outcome| {
        blind |= matches!(outcome, Outcome::Unknown { .. });
        matches!(outcome, Outcome::Fail { .. })
    }) {
        return Exit::NotWell;
    }
    if blind { Exit::CannotTell } else { Exit::Well }
}

fn as_text(service: &Service, checks: &[(&CheckConfig, Report)]) -> String {
    let mut text = format!(
        "{}  {}\n",
        style::paint(style::BOLD, &service.name),
        style::paint(style::FAINT, &service.key)
    );
    for (check, report) in checks {
        let (word, colour, note) = match &report.outcome {
            Outcome::Pass { warning: None } => ("pass", style::PASS, String::new()),
            Outcome::Pass { warning: Some(warning) } => ("pass", style::WARNING, warning.clone()),
            Outcome::Fail { reason, .. } => ("FAIL", style::ERROR, reason.clone()),
            Outcome::Unknown { reason } => ("?", style::WARNING, reason.clone()),
        };
        let word = style::paint(colour, format!("{word:<4}"));
        let facts = facts(&report.detail);
        let note =
            if note.is_empty() { facts } else { format!("{note}  {}", style::paint(style::FAINT, facts)) };
        text += &format!("  {word}  {:<8} {note}\n", check.check.kind());
        for step in &report.steps {
            let line = format!("{:>10}  {:<12} {}", millis(step.took), step.name, step.note);
            text += &format!("                  {}\n", style::paint(style::FAINT, line.trim_end()));
        }
    }
    text
}

/// What was read, in a few words.
fn facts(detail: &Detail) -> String {
    match detail {
        Detail::Http(detail) => {
            let status = detail.status_code.map(|status| format!("{status}, ")).unwrap_or_default();
            let latency = detail.latency_ms.map(|latency| format!("{latency} ms, ")).unwrap_or_default();
            let certificate = detail
                .certificate
                .as_ref()
                .map(|certificate| format!(", certificate until {}", certificate.not_after))
                .unwrap_or_default();
            format!("{status}{latency}{}{certificate}", detail.url)
        }
        Detail::Port(detail) => match (&detail.host, detail.port, &detail.path) {
            (Some(host), Some(port), _) if host.contains(':') => format!("[{host}]:{port}"),
            (Some(host), Some(port), _) => format!("{host}:{port}"),
            (_, _, path) => path.clone().unwrap_or_default(),
        },
        Detail::Systemd(detail) => {
            let sub = detail.sub_state.as_ref().map(|sub| format!(" ({sub})")).unwrap_or_default();
            let pid = detail.main_pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
            let restarts = detail.restarts.map(|count| format!(", {count} restarts")).unwrap_or_default();
            format!("{} {}{sub}{pid}{restarts}", detail.unit, detail.state)
        }
        Detail::Process(detail) => {
            let memory = detail
                .memory_bytes
                .map(|bytes| format!(", {}", bytesize::ByteSize(bytes)))
                .unwrap_or_default();
            let pids: Vec<String> = detail.pids.iter().map(u32::to_string).collect();
            let pids = if pids.is_empty() { String::new() } else { format!(", pid {}", pids.join(" ")) };
            format!("{} running{memory}{pids}", detail.count)
        }
    }
}

fn as_json(service: &Service, checks: &[(&CheckConfig, Report)]) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|(check, report)| {
            let (outcome, reason, failure) = match &report.outcome {
                Outcome::Pass { warning } => ("pass", warning.as_deref(), None),
                Outcome::Fail { reason, kind } => ("fail", Some(reason.as_str()), Some(word(*kind))),
                Outcome::Unknown { reason } => ("unknown", Some(reason.as_str()), None),
            };
            let steps: Vec<Value> = report
                .steps
                .iter()
                .map(|step| json!({"name": step.name, "took_us": step.took.as_micros() as u64, "note": step.note}))
                .collect();
            json!({
                "kind": check.check.kind(),
                "outcome": outcome,
                "reason": reason,
                "failure": failure,
                "running_for_s": report.running_for.map(|time| time.as_secs()),
                "detail": detail_json(&report.detail),
                "steps": steps,
            })
        })
        .collect();
    json!({"key": service.key, "name": service.name, "checks": checks})
}

/// What the monitor would make of a failure: `ordinary` counts towards `failure_threshold`, `late` (no
/// answer in time) as well, `certain` needs no second
/// look, `stopped` and `starting` are no failures of the service.
fn word(kind: Failure) -> &'static str {
    match kind {
        Failure::Ordinary => "ordinary",
        Failure::Late => "late",
        Failure::Certain => "certain",
        Failure::Stopped => "stopped",
        Failure::Unexplained => "unexplained",
        Failure::Stopping => "stopping",
        Failure::Starting => "starting",
    }
}

fn detail_json(detail: &Detail) -> Value {
    match detail {
        Detail::Http(detail) => json!(detail),
        Detail::Port(detail) => json!(detail),
        Detail::Systemd(detail) => json!(detail),
        Detail::Process(detail) => json!(detail),
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
