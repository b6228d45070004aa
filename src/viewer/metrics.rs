//! `/metrics`: the document, retold for Prometheus.
//!
//! Only what holds now is told. Of a document that is old, of an earlier boot or missing there is `wellkeep_monitor_up 0`
//! with its age and nothing of any service: Prometheus then ends their series at once, graphs show a gap, and no alert
//! rests on figures that nobody stands behind. The same goes for live checks, which know no thresholds.
//!
//! There are about thirty series for each service, and the number depends on nothing but the configuration: no reason,
//! process id or address becomes a label. States are gauges, one series for each state, and no OpenMetrics stateset, which
//! must have its label named like the metric; `state` is what people expect.

use serde::Deserialize;

use super::exposition::{Exposition, Family, Format};
use super::http::{Problem, Response};
use super::source::{Data, Snapshot};
use crate::probe::{CheckStatus, Verdict};
use crate::status::{HealTotals, Monitor, Service, State, Timestamp};

const BUILD: Family =
    Family::info("wellkeep_build_info", "The version of the viewer that answers, always 1.");

const MONITOR_UP: Family = Family::gauge(
    "wellkeep_monitor_up",
    "Whether a monitor is at work: 1 while its document is fresh. At 0 there are no figures of services.",
);
const DOCUMENT_STATE: Family = Family::gauge(
    "wellkeep_document_state",
    "How far the document can be believed: 1 for the word that holds, 0 for the others.",
);
const DOCUMENT_AGE: Family = Family::gauge(
    "wellkeep_document_age_seconds",
    "Seconds since the monitor made its latest document, by the clock of the host. Absent without a document.",
);
const DOCUMENT_GENERATED: Family = Family::gauge(
    "wellkeep_document_generated_timestamp_seconds",
    "When the monitor made its latest document, in seconds since 1970. Absent without a document.",
);

const MONITOR: Family =
    Family::info("wellkeep_monitor_info", "The version of the monitor at work, always 1.");
const MONITOR_STARTED: Family = Family::gauge(
    "wellkeep_monitor_start_timestamp_seconds",
    "When the monitor was started, in seconds since 1970.",
);
const OVERALL: Family = Family::gauge(
    "wellkeep_overall_state",
    "The worst state of all services: 1 for the state that holds, 0 for the others.",
);
const SERVICES_OK: Family = Family::gauge("wellkeep_services_ok", "How many services are ok.");
const SERVICES_FAILING: Family = Family::gauge("wellkeep_services_failing", "How many services are not ok.");
const CONFIG_GOOD: Family = Family::gauge(
    "wellkeep_config_last_reload_successful",
    "Whether the configuration could be used when it was last read: at 0 the one before stays in force.",
);
const CONFIG_LOADED: Family = Family::gauge(
    "wellkeep_config_last_reload_success_timestamp_seconds",
    "When the configuration in force was read, in seconds since 1970.",
);
const CAN_HEAL: Family = Family::gauge(
    "wellkeep_heal_possible",
    "Whether healing can act on this host, as far as was tried: 0 without permission or without D-Bus.",
);
const HOST_BUDGET: Family = Family::gauge(
    "wellkeep_host_heal_budget",
    "How many heals of all services together are allowed within an hour.",
);
const HOST_BUDGET_LEFT: Family = Family::gauge(
    "wellkeep_host_heal_budget_remaining",
    "How many heals of all services together may still be made now. At 0 nothing is healed.",
);

const SERVICE: Family = Family::info(
    "wellkeep_service_info",
    "The name and the group of a service, and whether it drives the banner of the page; always 1.",
);
const SERVICE_UP: Family = Family::gauge(
    "wellkeep_service_up",
    "Whether a service is ok: 1 when up or degraded, 0 when down, unstable or blocked. When held, starting or \
     stopped it is what the checks last said; absent while the state is unknown.",
);
const SERVICE_STATE: Family = Family::gauge(
    "wellkeep_service_state",
    "What is believed of a service after thresholds: 1 for the state that holds, 0 for the others.",
);
const SERVICE_SINCE: Family = Family::gauge(
    "wellkeep_service_state_since_timestamp_seconds",
    "Since when a service is in its state, in seconds since 1970.",
);
const FAILURES: Family = Family::gauge(
    "wellkeep_service_consecutive_failures",
    "How often in a row the checks of a service failed: the check with the most counts.",
);
const LAST_PROBE: Family = Family::gauge(
    "wellkeep_service_last_probe_timestamp_seconds",
    "When a probe of a service last ended, in seconds since 1970. Absent before the first.",
);
const HELD: Family = Family::gauge(
    "wellkeep_service_held",
    "Whether a person asked for a pause of healing and notices for a service.",
);
const INCIDENT: Family = Family::gauge(
    "wellkeep_service_incident_open",
    "Whether a service has an open incident: from being confirmed not to be well until it is well again.",
);

const CHECK_UP: Family = Family::gauge(
    "wellkeep_check_up",
    "Whether the latest probe of a check passed. Absent while it cannot tell.",
);
const DURATION: Family = Family::gauge(
    "wellkeep_probe_duration_seconds",
    "How long the latest probe took, in seconds, to the millisecond: of an http check until the answer was read, of a \
     port check until the connection stood. Absent without an answer.",
);
const HTTP_STATUS: Family = Family::gauge(
    "wellkeep_probe_http_status_code",
    "The HTTP status of the latest answer. Absent without an answer.",
);
const CERTIFICATE: Family = Family::gauge(
    "wellkeep_certificate_not_after_timestamp_seconds",
    "When the certificate of an http check expires, in seconds since 1970.",
);
const PROCESSES: Family =
    Family::gauge("wellkeep_service_processes", "How many processes match the process check of a service.");
const MEMORY: Family = Family::gauge(
    "wellkeep_service_memory_bytes",
    "Memory in bytes: of the control group of the unit (systemd), or resident of all matching processes (process).",
);
const UNIT_RESTARTS: Family = Family::counter(
    "wellkeep_unit_restarts_total",
    "How often systemd restarted the unit of a service by itself. Systemd begins anew when a person restarts the unit.",
);

const HEALS: Family = Family::counter(
    "wellkeep_heals_total",
    "Heals of a service by how they ended: healed, failed, cancelled, observed (everything but the call) or \
     interrupted (the monitor ended meanwhile). Goes on where it was when the monitor is restarted.",
);
const BUDGET: Family = Family::gauge(
    "wellkeep_service_heal_budget",
    "How many heals of a service are allowed within an hour. Absent where healing is off.",
);
const BUDGET_LEFT: Family = Family::gauge(
    "wellkeep_service_heal_budget_remaining",
    "How many heals of a service may still be made now. At 0 there is one trial an hour. Absent where healing is off.",
);

/// The answer to a scrape. The error is for a document that an incompatible monitor wrote: half of its figures would look
/// like services that went away.
pub(super) fn metrics(snapshot: &Snapshot, accept: Option<&str>) -> Result<Response, Problem> {
    let format = Format::wanted(accept);
    let exposition = exposition(snapshot).map_err(|error| {
        let hint = "run the same version of monitor and viewer";
        Problem::new(500, format!("the document cannot be understood: {error}"), hint)
    })?;
    let text = exposition.into_text(format);
    Ok(Response::new(200, format.content_type(), text.into_bytes()).vary("Accept"))
}

/// The part of the document that is not about a single service.
#[derive(Deserialize)]
struct Top {
    overall: State,
    ok_count: u32,
    fail_count: u32,
    monitor: Monitor,
}

fn exposition(snapshot: &Snapshot) -> serde_json::Result<Exposition> {
    let mut exposition = Exposition::default();
    exposition.add(BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    exposition.add(MONITOR_UP, &[], f64::from(snapshot.data.is_fresh()));
    for word in Data::WORDS {
        exposition.add(DOCUMENT_STATE, &[("state", word)], f64::from(word == snapshot.data.as_str()));
    }
    if let (Data::File(_) | Data::Kept, Some(age_s)) = (snapshot.data, snapshot.age_s) {
        exposition.add(DOCUMENT_AGE, &[], age_s as f64);
        exposition.add(DOCUMENT_GENERATED, &[], seconds(snapshot.document.head.generated_at));
    }
    if snapshot.data.is_fresh() {
        add_host(&mut exposition, &snapshot.document.parse()?);
        // One at a time: all at once, with their histories, would take several times the memory of the file.
        for service in snapshot.document.services().values() {
            add_service(&mut exposition, &serde_json::from_str(service.get())?);
        }
    }
    Ok(exposition)
}

fn add_host(exposition: &mut Exposition, top: &Top) {
    let Top { overall, ok_count, fail_count, monitor } = top;
    exposition.add(MONITOR, &[("version", &monitor.version)], 1.0);
    exposition.add(MONITOR_STARTED, &[], seconds(monitor.started_at));
    for state in State::ALL {
        exposition.add(OVERALL, &[("state", state.as_str())], f64::from(state == *overall));
    }
    exposition.add(SERVICES_OK, &[], f64::from(*ok_count));
    exposition.add(SERVICES_FAILING, &[], f64::from(*fail_count));
    exposition.add(CONFIG_GOOD, &[], f64::from(monitor.config.error.is_none()));
    exposition.add(CONFIG_LOADED, &[], seconds(monitor.config.loaded_at));
    exposition.add(CAN_HEAL, &[], f64::from(monitor.cannot_heal.is_none()));
    if let Some(heals) = monitor.heals {
        exposition.add(HOST_BUDGET, &[], f64::from(heals.budget));
        let left = heals.budget.saturating_sub(heals.within_an_hour);
        exposition.add(HOST_BUDGET_LEFT, &[], f64::from(left));
    }
}

fn add_service(exposition: &mut Exposition, service: &Service) {
    let key = ("service", service.key.as_str());
    let described = [
        key,
        ("name", &service.name),
        ("group", service.group.as_deref().unwrap_or_default()),
        ("primary", if service.primary { "true" } else { "false" }),
    ];
    exposition.add(SERVICE, &described, 1.0);
    if service.state != State::Unknown {
        exposition.add(SERVICE_UP, &[key], f64::from(service.ok));
    }
    for state in State::ALL {
        let holds = f64::from(state == service.state);
        exposition.add(SERVICE_STATE, &[key, ("state", state.as_str())], holds);
    }
    exposition.add(SERVICE_SINCE, &[key], seconds(service.since));
    exposition.add(FAILURES, &[key], f64::from(service.consecutive_failures));
    if let Some(last_checked) = service.last_checked {
        exposition.add(LAST_PROBE, &[key], seconds(last_checked));
    }
    exposition.add(HELD, &[key], f64::from(service.hold.is_some()));
    exposition.add(INCIDENT, &[key], f64::from(service.incident.is_some()));
    add_checks(exposition, key, service);
    if let Some(heal) = &service.heal {
        for (result, count) in by_result(&heal.totals) {
            exposition.add(HEALS, &[key, ("result", result)], count as f64);
        }
        exposition.add(BUDGET, &[key], f64::from(heal.budget));
        let left = heal.budget.saturating_sub(heal.heals_within_an_hour);
        exposition.add(BUDGET_LEFT, &[key], f64::from(left));
    }
}

fn add_checks(exposition: &mut Exposition, key: (&str, &str), service: &Service) {
    let checks = &service.checks;
    if let Some(http) = &checks.http {
        let labels = [key, ("check", "http")];
        add_verdict(exposition, &labels, http);
        if let Some(latency_ms) = http.detail.latency_ms {
            exposition.add(DURATION, &labels, latency_ms as f64 / 1000.0);
        }
        if let Some(status) = http.detail.status_code {
            exposition.add(HTTP_STATUS, &[key], f64::from(status));
        }
        if let Some(certificate) = &http.detail.certificate {
            exposition.add(CERTIFICATE, &[key], seconds(certificate.not_after));
        }
    }
    if let Some(port) = &checks.port {
        let labels = [key, ("check", "port")];
        add_verdict(exposition, &labels, port);
        if let Some(latency_ms) = port.detail.latency_ms {
            exposition.add(DURATION, &labels, latency_ms as f64 / 1000.0);
        }
    }
    if let Some(systemd) = &checks.systemd {
        let labels = [key, ("check", "systemd")];
        add_verdict(exposition, &labels, systemd);
        if let Some(restarts) = systemd.detail.restarts {
            exposition.add(UNIT_RESTARTS, &[key], f64::from(restarts));
        }
        if let Some(bytes) = systemd.detail.memory_bytes {
            exposition.add(MEMORY, &labels, bytes as f64);
        }
    }
    if let Some(process) = &checks.process {
        let labels = [key, ("check", "process")];
        add_verdict(exposition, &labels, process);
        if process.outcome != Verdict::Unknown {
            exposition.add(PROCESSES, &[key], f64::from(process.detail.count));
        }
        if let Some(bytes) = process.detail.memory_bytes {
            exposition.add(MEMORY, &labels, bytes as f64);
        }
    }
}

fn add_verdict<D>(exposition: &mut Exposition, labels: &[(&str, &str)], check: &CheckStatus<D>) {
    match check.outcome {
        Verdict::Pass => exposition.add(CHECK_UP, labels, 1.0),
        Verdict::Fail => exposition.add(CHECK_UP, labels, 0.0),
        Verdict::Unknown => {}
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millis() as f64 / 1000.0
}

fn by_result(totals: &HealTotals) -> [(&'static str, u64); 5] {
    let HealTotals { healed, failed, cancelled, observed, interrupted } = *totals;
    [
        ("healed", healed),
        ("failed", failed),
        ("cancelled", cancelled),
        ("observed", observed),
        ("interrupted", interrupted),
    ]
}
