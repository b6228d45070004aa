//! What people are told of services, in lines of the log: which service, what changed, why, and where to read on.

use std::time::Duration;

use tracing::{error, info, warn};

use crate::engine::Record;
use crate::log::Kind;
use crate::status::{Decision, Entry, State};

/// A change of state.
pub(super) fn transition(record: &Record) {
    let Record { key, transition, lasted, incident } = record;
    let (from, to) = (transition.from, transition.to);
    let lasted = humantime::format_duration(Duration::from_secs(lasted.as_secs()));
    let why = transition.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match to {
        State::Down | State::Unstable | State::Blocked => {
            error!(service = key, event = %Kind::Transition, incident, "{key}: {to}, after {lasted} {from}{why}");
        }
        State::Degraded => {
            warn!(service = key, event = %Kind::Transition, incident, "{key}: {to}, after {lasted} {from}{why}");
        }
        _ => {
            info!(service = key, event = %Kind::Transition, incident, "{key}: {to}, after {lasted} {from}{why}");
        }
    }
}

/// A decision: one to act, and one that needs a person, with emphasis.
pub(super) fn decision(entry: &Entry) {
    let Entry { service, decision, incident, .. } = entry;
    let (event, words) = (Kind::from(*decision), words(entry));
    match decision {
        Decision::Notice | Decision::HealFailed => error!(service, event = %event, incident, "{words}"),
        Decision::Heal | Decision::WouldHeal | Decision::Refuse | Decision::Cancel => {
            warn!(service, event = %event, incident, "{words}");
        }
        Decision::Opened
        | Decision::Closed
        | Decision::Wait
        | Decision::Healed
        | Decision::Hold
        | Decision::Release => info!(service, event = %event, incident, "{words}"),
    }
}

/// The line of a decision. It stands alone: who greps for one line has not read the one before.
fn words(entry: &Entry) -> String {
    let key = entry.service.as_deref().unwrap_or("the whole host");
    let words = &entry.words;
    match entry.decision {
        // Why was told the moment before, by the change of state; the ledger keeps it.
        Decision::Opened => {
            let id = entry.incident.as_deref().unwrap_or_default();
            format!("{key}: incident {id} opened; what is done about it: wellkeep why {key}")
        }
        Decision::Closed => {
            format!("{key}: incident {} closed: {words}", entry.incident.as_deref().unwrap_or_default())
        }
        Decision::Heal => format!("{key}: down, to be healed by {words}"),
        Decision::WouldHeal => format!("{key}: down, and only observed: {words}"),
        Decision::Release => format!("{key}: no longer held: {words}"),
        _ => format!("{key}: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Timestamp;

    fn said(service: Option<&str>, decision: Decision, words_of_it: &str) -> String {
        words(&Entry {
            at: Timestamp::default(),
            service: service.map(str::to_owned),
            decision,
            words: words_of_it.to_owned(),
            incident: Some("20270115T000001Z-web".to_owned()),
            next_at: None,
        })
    }

    #[test]
    fn a_line_about_a_decision_names_the_service_what_is_done_and_why() {
        let heal = said(Some("web"), Decision::Heal, "restart (1 of 5 within an hour): HTTP 500");
        assert_eq!(heal, "web: down, to be healed by restart (1 of 5 within an hour): HTTP 500");
        let release = said(Some("web"), Decision::Release, "its time is over");
        assert_eq!(release, "web: no longer held: its time is over");
        let hold = said(None, Decision::Hold, "held by ada until 12:00");
        assert_eq!(hold, "the whole host: held by ada until 12:00");
    }

    #[test]
    fn an_incident_is_told_with_its_id_and_without_the_cause_that_was_told_just_before() {
        let opened = said(Some("web"), Decision::Opened, "down: HTTP 500");
        assert!(opened.starts_with("web: incident 20270115T000001Z-web opened"), "{opened}");
        assert!(!opened.contains("HTTP 500"), "{opened}");
        let closed = said(Some("web"), Decision::Closed, "well again by heal 1 (restart)");
        assert!(closed.ends_with("closed: well again by heal 1 (restart)"), "{closed}");
    }
}
