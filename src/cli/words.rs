//! Times and spans for people, the same in all commands.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use crate::status::Timestamp;

/// `4s`, `2m`, `3h`, `5days`: the largest unit is enough for an age.
pub(super) fn rough(seconds: u64) -> String {
    let rounded = match seconds {
        0..120 => seconds,
        120..7200 => seconds / 60 * 60,
        7200..172_800 => seconds / 3600 * 3600,
        _ => seconds / 86_400 * 86_400,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

/// `4s`, `12m 4s`, `3h 15m`, `2days 4h`: two units, for how long something lasted or will last.
pub(super) fn span(seconds: u64) -> String {
    let rounded = match seconds {
        0..3600 => seconds,
        3600..86_400 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

/// The whole seconds from one moment to a later one; 0 when it is not later.
pub(super) fn seconds_between(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.as_millis().saturating_sub(earlier.as_millis()) / 1000).unwrap_or(0)
}

/// How long ago, in the largest unit.
pub(super) fn age(at: Timestamp, now: Timestamp) -> String {
    rough(seconds_between(at, now))
}

/// `12:01:03 UTC`, with the date when it is not today's. UTC, as in the document and in the log.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_string(), now.to_string());
    match (at.split_once('T'), now.split_once('T')) {
        (Some((day, time)), Some((today, _))) => {
            let time = time.trim_end_matches('Z');
            if day == today { format!("{time} UTC") } else { format!("{day} {time} UTC") }
        }
        _ => at,
    }
}

/// `at 12:02:10 UTC (in 34s)`; a moment that is over is `now`.
pub(super) fn at_and_in(at: Timestamp, now: Timestamp) -> String {
    match seconds_between(now, at) {
        0 => "now".to_owned(),
        left => format!("at {} (in {})", clock(at, now), span(left)),
    }
}

/// `1 heal`, `2 heals`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    crate::probe::counted(count, noun)
}

/// Text that others wrote, fit for a terminal: what would steer it, or turn the order of letters round, is shown by its
/// number. Lines and tabs stay.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |letter: char| {
        letter.is_control() && !matches!(letter, '\n' | '\t')
            || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if steers(letter) {
            // Writing to a String does not fail.
            let _ = write!(shown, "\\x{:02x}", u32::from(letter));
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit_and_a_span_in_two() {
        assert_eq!([4, 119, 125, 7300, 200_000].map(rough), ["4s", "1m 59s", "2m", "2h", "2days"]);
        assert_eq!([4, 724, 11_710, 190_000].map(span), ["4s", "12m 4s", "3h 15m", "2days 4h"]);
    }

    #[test]
    fn text_of_others_does_not_steer_the_terminal() {
        assert_eq!(harmless("plain\n\ttext, schön"), "plain\n\ttext, schön");
        assert_eq!(harmless("\x1b]0;title\x07\r\u{9b}2J\u{202e}"), "\\x1b]0;title\\x07\\x0d\\x9b2J\\x202e");
    }

    #[test]
    fn a_time_of_another_day_is_told_with_its_date() {
        let now = at("2026-11-23T00:01:00Z");
        assert_eq!(clock(at("2026-11-23T00:00:03Z"), now), "00:00:03 UTC");
        assert_eq!(clock(at("2026-11-22T23:59:03Z"), now), "2026-11-22 23:59:03 UTC");
        assert_eq!(at_and_in(at("2026-11-23T00:01:34Z"), now), "at 00:01:34 UTC (in 34s)");
        assert_eq!(at_and_in(at("2026-11-23T00:00:34Z"), now), "now");
    }
}
