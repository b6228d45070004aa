//! The past of a service in words. Pure.

use super::style;
use super::words::{clock, counted, span};
use crate::status::history::{Failing, History, Uptime, Window};
use crate::status::{Timestamp, Transition};

/// Uptime, latency, failures and at most `limit` changes of state; nothing of what is not known. `as_of` is there when the monitor does
/// not write any more: when it last did, and why that is no news of now.
pub(super) fn summary(
    history: &History,
    uptime: Option<&Uptime>,
    as_of: Option<(Timestamp, &str)>,
    limit: usize,
    now: Timestamp,
) -> String {
    let mut text = String::new();
    let mut row = |name: &str, words: &str| text += &format!("  {name:<9} {words}\n");
    if let Some(uptime) = uptime.filter(|uptime| uptime.quarter.ratio.is_some()) {
        let windows = [
            ("1h", &uptime.hour),
            ("24h", &uptime.day),
            ("7d", &uptime.week),
            ("30d", &uptime.month),
            ("90d", &uptime.quarter),
        ];
        row("uptime", &windows.map(|(name, window)| format!("{name} {}", share(window))).join(", "));
        if let Some((at, _)) = as_of {
            row("", &format!("as of {}, the monitor has not written since", clock(at, now)));
        }
    }
    if let Some(latency) = &history.latency {
        row("latency", &format!("24h {} ms on average, at most {} ms", latency.mean_ms, latency.max_ms));
    }
    let failures =
        [("24h", &history.failures.day), ("7d", &history.failures.week), ("30d", &history.failures.month)];
    for (name, failing) in failures.into_iter().filter(|(_, failing)| has_failed(failing)) {
        row("failures", &format!("{name}: {}", failed(failing)));
    }
    for transition in history.transitions.iter().take(limit) {
        row("changed", &changed(transition, now));
    }
    if text.is_empty() {
        return text;
    }
    let warning =
        as_of.map(|(_, why)| format!("{}\n\n", style::paint(style::ERROR, why))).unwrap_or_default();
    format!("{warning}{}\n{text}\n", style::paint(style::BOLD, &history.key))
}

/// `99.931 %`, and how much of the window that is about if it is not all of it.
fn share(window: &Window) -> String {
    let percent = |share: f64| {
        let digits = format!("{:.3}", share * 100.0);
        format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
    };
    match window.ratio {
        None => "unknown".to_owned(),
        Some(ratio) if window.known + window.not_counted > 0.99 => percent(ratio),
        // Of a little that is known no figure has three digits that mean something.
        Some(ratio) if window.known < 0.01 => format!("{:.0} % (of the <1 % known)", ratio * 100.0),
        Some(ratio) => format!("{} (of the {:.0} % known)", percent(ratio), window.known * 100.0),
    }
}

fn has_failed(failing: &Failing) -> bool {
    failing.incidents > 0 || failing.heals > 0 || failing.restarts > 0
}

fn failed(failing: &Failing) -> String {
    let more = if failing.more_before { " at least" } else { "" };
    let mut words = format!(
        "{}{more}, {}, {} by systemd",
        counted(failing.incidents as usize, "incident"),
        counted(failing.heals as usize, "heal"),
        counted(failing.restarts as usize, "restart")
    );
    if let Some(rate) = failing.restarts_an_hour {
        words += &format!(" ({rate} an hour)");
    }
    let mut mean = |what: &str, seconds: Option<f64>| {
        if let Some(seconds) = seconds {
            words += &format!("; {what} after {} on average", span(seconds.round() as u64));
        }
    };
    mean("found", failing.mean_time_to_detect_s);
    mean("well again", failing.mean_time_to_recover_s);
    words
}

fn changed(transition: &Transition, now: Timestamp) -> String {
    let why = transition.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}  {} -> {}{why}", clock(transition.at, now), transition.from, transition.to)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::at;
    use super::*;

    #[test]
    fn what_is_known_is_told_in_a_line_each_and_nothing_of_what_is_not() {
        let failing = json!({"incidents": 2, "heals": 1, "restarts": 3, "restarts_an_hour": 0.17,
            "mean_time_to_detect_s": 12.4, "mean_time_to_recover_s": 95.0});
        let none = json!({"incidents": 0, "heals": 0, "restarts": 0});
        let history: History = serde_json::from_value(json!({"key": "web", "days": [], "hours": [],
            "latency": {"mean_ms": 12, "max_ms": 80, "hours_ms": [null, 12]}, "failures": {"24h": none, "7d": failing, "30d": failing},
            "transitions": [{"at": at("11:00:00"), "from": "up", "to": "down", "reason": "http: answered 503"}],
            "incidents": []}))
        .unwrap();
        let window = |ratio: f64, known: f64| json!({"ratio": ratio, "known": known});
        let uptime: Uptime =
            serde_json::from_value(json!({"1h": {"known": 0.0}, "24h": window(0.99931, 1.0),
            "7d": window(1.0, 0.5), "30d": window(1.0, 1.0), "90d": window(0.9, 1.0)}))
            .unwrap();
        let told = summary(&history, Some(&uptime), None, 10, at("12:00:00"));
        for line in [
            "uptime    1h unknown, 24h 99.931 %, 7d 100 % (of the 50 % known), 30d 100 %, 90d 90 %\n",
            "latency   24h 12 ms on average, at most 80 ms\n",
            "failures  7d: 2 incidents, 1 heal, 3 restarts by systemd (0.17 an hour); found after 12s on average; \
             well again after 1m 35s on average\n",
            "changed   11:00:00 UTC  up -> down: http: answered 503\n",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
        assert!(!told.contains("24h: ") && !told.contains("as of"), "{told}");
        let dead = Some((at("11:30:00"), "STALE: the monitor has not written for 30m."));
        let told = summary(&history, Some(&uptime), dead, 10, at("12:00:00"));
        assert!(told.contains("STALE: the monitor has not written for 30m."), "{told}");
        assert!(told.contains("  as of 11:30:00 UTC, the monitor has not written since\n"), "{told}");
        let nothing =
            History { latency: None, failures: Default::default(), transitions: Vec::new(), ..history };
        assert_eq!(summary(&nothing, None, None, 10, at("12:00:00")), "");
    }
}
