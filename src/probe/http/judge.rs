//! What an answer, or its absence, says of the service. Pure: everything was read before.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use tokio::time::Instant;

use super::client::{Body, Trace};
use super::tls::Leaf;
use super::trouble::{Trouble, no_answer};
use super::words::{counted, date, days_ago, excerpt, joined, quoted, without_secrets};
use super::{Certificate, JsonCondition, JsonExpect, Settings};
use crate::probe::network::shown;
use crate::probe::{self, Outcome, Report, Step};
use crate::status::Timestamp;

pub(super) const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// What one probe has seen, up to its end.
#[derive(Debug)]
pub(super) struct Seen {
    /// When the probe began.
    pub started: Instant,
    /// The time it had.
    pub timeout: Duration,
    /// The URLs it was sent to and followed, in order.
    pub redirects: Vec<Url>,
    /// When the last of its requests began.
    pub asked: Instant,
    /// The phases of the last request.
    pub trace: Trace,
    /// When the headers of the last answer were read.
    pub answered: Option<Instant>,
    /// These headers.
    pub head: Option<Head>,
    /// The body, as far as it was read.
    pub body: Body,
    /// How it ended.
    pub end: Result<(), Trouble>,
    /// When it ended.
    pub ended: Instant,
}

/// What the headers of an answer say.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub status: u16,
    /// The status in words, as the standard has it; empty for a code without any.
    pub status_name: &'static str,
    /// Where it sends the client.
    pub location: Option<String>,
}

/// How far a probe came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Lookup,
    Connect,
    Handshake,
    /// Until the headers are complete: nobody tells us of the first of them alone.
    FirstByte,
    Body,
}

impl Seen {
    /// Nothing seen yet.
    pub(super) fn new(started: Instant, timeout: Duration) -> Seen {
        Seen {
            started,
            timeout,
            redirects: Vec::new(),
            asked: started,
            trace: Trace::default(),
            answered: None,
            head: None,
            body: Body::default(),
            end: Ok(()),
            ended: started,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        let trace = &self.trace;
        match () {
            () if self.head.is_some() => Phase::Body,
            () if trace.connected.is_some() => Phase::FirstByte,
            () if trace.handshake.is_some() => Phase::Handshake,
            () if trace.lookup_begun.is_some() && trace.lookup_ended.is_none() => Phase::Lookup,
            () => Phase::Connect,
        }
    }

    /// How long the TCP connection took, with the name's resolution.
    pub(super) fn connected_in(&self) -> String {
        let connected = self.trace.handshake.or(self.trace.connected);
        shown(connected.map_or(Duration::ZERO, |connected| connected - self.asked))
    }

    pub(super) fn url<'a>(&'a self, settings: &'a Settings) -> &'a Url {
        self.redirects.last().unwrap_or(&settings.url)
    }

    /// Whom it talked to: `127.0.0.1:5000`, `web.example:80 (10.0.0.1, 10.0.0.2)`, a socket's path.
    pub(super) fn server(&self, settings: &Settings) -> String {
        if let Some(path) = &settings.unix_socket {
            return path.display().to_string();
        }
        let url = self.url(settings);
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        match self.trace.addresses.as_deref() {
            Some(addresses) => format!("{host}:{port} ({})", joined(addresses.iter().map(IpAddr::to_string))),
            None => format!("{host}:{port}"),
        }
    }
}

/// Whether a status passes.
pub(super) fn expects(settings: &Settings, status: u16) -> bool {
    settings.status.iter().any(|range| range.contains(&status))
}

/// Where an answer sends us and we may go; none when it is to be judged as it is; else why we do not go.
pub(super) fn redirect(settings: &Settings, followed: &[Url], head: &Head) -> Result<Option<Url>, String> {
    let is_redirect = matches!(head.status, 301 | 302 | 303 | 307 | 308);
    let allowed = usize::from(settings.redirects);
    let (true, Some(location)) = (is_redirect, &head.location) else {
        return Ok(None);
    };
    if allowed == 0 && expects(settings, head.status) {
        return Ok(None);
    }
    let here = followed.last().unwrap_or(&settings.url);
    let next = match here.join(location) {
        Ok(next) if matches!(next.scheme(), "http" | "https") => next,
        _ => return Err("redirects to what is no http or https URL".to_owned()),
    };
    let to = without_secrets(&next);
    if allowed == 0 {
        return Err(format!("redirects to {to}, which is not followed (allow it with `redirects: 1`)"));
    }
    if settings.unix_socket.is_some() && next.origin() != settings.url.origin() {
        return Err(format!("redirects to {to}, which is not behind the unix socket"));
    }
    if next == settings.url || followed.contains(&next) {
        return Err(format!(
            "redirects in a loop: after {} again to {to}",
            counted(followed.len() + 1, "redirect")
        ));
    }
    if followed.len() >= allowed {
        return Err(format!("redirects to {to}, which is more than `redirects: {allowed}` allows"));
    }
    Ok(Some(next))
}

/// The probe's report, without its steps.
pub(super) fn report(settings: &Settings, seen: &Seen, now: Timestamp) -> Report {
    let certificate = Leaf::end(&seen.trace.certificate).map(|end_s| {
        let not_after = Timestamp::from_millis(end_s.saturating_mul(1000));
        let left_ms = not_after.as_millis().saturating_sub(now.as_millis());
        Certificate { not_after, days_left: left_ms.div_euclid(MILLIS_PER_DAY) }
    });
    let outcome = match fault(settings, seen, now) {
        Some(outcome) => outcome,
        None => Outcome::Pass { warning: warning(settings, seen, certificate.as_ref()) },
    };
    let answered = seen.head.as_ref();
    let detail = super::Detail {
        url: settings.shown_url(),
        status_code: answered.map(|head| head.status),
        latency_ms: answered.map(|_| (seen.ended - seen.started).as_millis() as u64),
        certificate,
    };
    Report::new(outcome, probe::Detail::Http(detail))
}

/// Why it does not pass; none when it does. A wrong status says more than a body that did not end.
fn fault(settings: &Settings, seen: &Seen, now: Timestamp) -> Option<Outcome> {
    if let Err(Trouble::Redirect(reason)) = &seen.end {
        return Some(Outcome::fail(reason.as_str()));
    }
    if let Some(head) = &seen.head
        && !expects(settings, head.status)
    {
        return Some(Outcome::fail(wrong_status(&settings.status, head, &seen.body.bytes)));
    }
    if let Err(trouble) = &seen.end {
        return Some(no_answer(settings, seen, trouble, now));
    }
    let reason = wrong_body(settings, &seen.body).or_else(|| wrong_json(&settings.json, &seen.body))?;
    Some(Outcome::fail(reason))
}

fn wrong_status(expected: &[RangeInclusive<u16>], head: &Head, body: &[u8]) -> String {
    let expected = expected.iter().map(|range| match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    });
    let mut reason = format!("status {}", head.status);
    if !head.status_name.is_empty() {
        reason = reason + " " + head.status_name;
    }
    reason = reason + ", expected " + &joined(expected);
    match body {
        [] => reason + "; the body is empty",
        body => reason + "; body: " + &quoted(body),
    }
}

fn wrong_body(settings: &Settings, body: &Body) -> Option<String> {
    let regex = settings.body.as_ref()?;
    if regex.is_match(&String::from_utf8_lossy(&body.bytes)) {
        return None;
    }
    Some(format!("body does not match /{regex}/; body: {}", quoted(&body.bytes)))
}

fn wrong_json(conditions: &[JsonCondition], body: &Body) -> Option<String> {
    if conditions.is_empty() {
        return None;
    }
    match serde_json::from_slice(&body.bytes) {
        Ok(value) => conditions.iter().find_map(|condition| condition.unmet(&value)),
        Err(_) if body.read >= body.limit => {
            let kibibytes = body.limit / 1024;
            Some(format!("body is larger than {kibibytes} KiB, and is not read as JSON further than that"))
        }
        Err(error) => Some(format!("body is not JSON ({error}); body: {}", quoted(&body.bytes))),
    }
}

impl JsonCondition {
    /// What stands there instead; none when the condition is met.
    fn unmet(&self, document: &Value) -> Option<String> {
        let found = document.pointer(&self.pointer);
        let number = found.and_then(Value::as_f64);
        let (met, expected) = match &self.expect {
            JsonExpect::Exists => (found.is_some(), "anything".to_owned()),
            JsonExpect::Equals(value) => {
                (found.is_some_and(|found| is_same(found, value)), excerpt(&value.to_string()))
            }
            JsonExpect::Min(least) => {
                (number.is_some_and(|number| number >= *least), format!("at least {least}"))
            }
            JsonExpect::Max(most) => {
                (number.is_some_and(|number| number <= *most), format!("at most {most}"))
            }
        };
        if met {
            return None;
        }
        let pointer = &self.pointer;
        Some(match found {
            Some(found) => format!("JSON {pointer} is {}, expected {expected}", excerpt(&found.to_string())),
            None => format!("JSON {pointer} is missing, expected {expected}"),
        })
    }
}

/// Equal, and numbers by their value: 1 is 1.0.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            found == expected || found.as_f64() == expected.as_f64()
        }
        _ => found == expected,
    }
}

/// What is not as it should be though it passes.
fn warning(settings: &Settings, seen: &Seen, certificate: Option<&Certificate>) -> Option<String> {
    let mut warning = None;
    let took = seen.ended - seen.started;
    if let Some(slow) = settings.slow
        && took > slow
    {
        warning = Some(format!("slow: answered in {}, expected at most {}", shown(took), shown(slow)));
    }
    // 0 turns the warning off, also for a certificate that is not verified and expired long ago.
    if let Some(certificate) = certificate
        && settings.certificate_days > 0
        && certificate.days_left < i64::from(settings.certificate_days)
    {
        let expiry = expiry(certificate);
        warning = Some(match warning {
            Some(slow) => slow + "; " + &expiry,
            None => expiry,
        });
    }
    warning
}

fn expiry(certificate: &Certificate) -> String {
    let date = date(certificate.not_after);
    match certificate.days_left {
        days if days < 0 => format!("certificate expired on {date} ({} ago)", days_ago(-days - 1)),
        0 => format!("certificate expires on {date}, within a day"),
        days => format!("certificate expires on {date}, in {}", counted(days as usize, "day")),
    }
}

/// What took how long in the last request of the probe, and what it brought.
pub(super) fn steps(settings: &Settings, seen: &Seen) -> Vec<Step> {
    let trace = &seen.trace;
    let mut steps = Vec::new();
    let mut from = seen.asked;
    let mut step = |name, until: Option<Instant>, note: &dyn Fn() -> String| {
        if let Some(until) = until {
            let took = until - from;
            steps.push(Step { name, took, note: note() });
            from = until;
        }
    };
    let addresses = || joined(trace.addresses.iter().flat_map(|list| list.iter()).map(IpAddr::to_string));
    step("resolve", trace.lookup_ended, &addresses);
    step("connect", trace.handshake.or(trace.connected), &|| seen.server(settings));
    step("TLS", trace.handshake.and(trace.connected), &|| match Leaf::end(&trace.certificate) {
        Some(end_s) => {
            format!("certificate until {}", date(Timestamp::from_millis(end_s.saturating_mul(1000))))
        }
        None => String::new(),
    });
    step("first byte", seen.answered, &|| {
        let head = seen.head.as_ref();
        head.map_or_else(String::new, |head| format!("status {} {}", head.status, head.status_name))
    });
    step("body", seen.answered.and(Some(seen.ended)), &|| counted(seen.body.read, "byte"));
    steps
}
