//! `wellkeep hold`

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use super::document::{Known, Located, Source};
use super::words::{clock, span};
use super::{Exit, complain, ended, print};
use crate::monitor::wall_clock;
use crate::status::{Document, Hold, Timestamp};
use crate::store::holds;

/// A hold always ends by itself, a day later at the latest.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A reason is a few words for a card.
const REASON_LIMIT: usize = 200;

/// So long the monitor may take to see a hold.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sudo wellkeep hold web --for 10m --reason deploy\n  \
    sudo wellkeep hold --all --for 1h --reason 'moving to the new disk'\n  \
    wellkeep hold                       who holds what, and until when\n\n\
    While it lasts nothing is healed; the checks go on. It ends by itself, after 24 h at the latest, or with \
    `wellkeep release`. Holding again replaces it.\n\n\
    Exit codes: 0 it holds, 2 it does not (no permission, no such service), or no monitor has taken it yet.")]
pub(super) struct Arguments {
    /// The service
    #[arg(value_name = "KEY", conflicts_with = "all")]
    key: Option<String>,
    /// All services
    #[arg(long)]
    all: bool,
    /// For how long: 30s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = parse_time)]
    time: Duration,
    /// Why, in a few words: shown on the page
    #[arg(long, value_parser = parse_reason)]
    reason: Option<String>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let located = arguments.source.locate();
    if arguments.key.is_none() && !arguments.all {
        return show(&located);
    }
    let now = wall_clock();
    let millis = i64::try_from(arguments.time.as_millis()).unwrap_or(i64::MAX);
    let hold = Hold { since: now, until: now.plus_millis(millis), by: who(), reason: arguments.reason };
    ended(begin(&located, arguments.key.as_deref(), &hold))
}

fn show(located: &Located) -> Exit {
    let now = wall_clock();
    let reading = holds::read(&located.state_dir, now);
    for warning in &reading.warnings {
        complain(warning);
    }
    print(&list(&reading.holds, now));
    if reading.warnings.is_empty() { Exit::Well } else { Exit::CannotTell }
}

fn begin(located: &Located, key: Option<&str>, hold: &Hold) -> Result<String, String> {
    let known = Known::read(&located.status_file)?;
    if let Some(key) = key {
        known.service(key)?;
    }
    // Of two holds of a service, its own and that of all, the document may show either.
    let others = holds::read(&located.state_dir, hold.since).holds;
    let same = |a: &Hold, b: &Hold| a.until.as_millis() / 1000 == b.until.as_millis() / 1000;
    holds::write(&located.state_dir, key, hold).map_err(|error| not_written(&located.state_dir, &error))?;
    let what = key.unwrap_or("every service");
    let until = format!("{} ({})", clock(hold.until, hold.since), span(seconds(hold)));
    let is_taken = await_document(&located.status_file, |document| {
        let mut services =
            document.services.values().filter(|service| key.is_none_or(|key| key == service.key));
        services.all(|service| {
            let shows =
                |shown: &Hold| same(shown, hold) || others.iter().any(|(_, other)| same(shown, other));
            service.hold.as_ref().is_some_and(shows)
        })
    });
    if !is_taken {
        return Err(format!(
            "the hold of {what} until {until} was written, but no monitor has taken it: is one at work? \
             Look at: systemctl status wellkeep-monitor"
        ));
    }
    let release = key.unwrap_or("--all");
    Ok(format!("{what} is on hold until {until}. Sooner with: wellkeep release {release}\n"))
}

/// Waits until the document shows what was asked for; false when it does not in time, or no monitor writes it.
pub(super) fn await_document(status_file: &Path, is_shown: impl Fn(&Document) -> bool) -> bool {
    let start = Instant::now();
    loop {
        match Known::read(status_file) {
            Ok(known) if known.freshness.is_fresh() && is_shown(&known.document) => return true,
            Ok(known) if known.freshness.is_fresh() && start.elapsed() < PATIENCE => {}
            _ => return false,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Why a hold could not be written or removed, and what to do.
pub(super) fn not_written(state_dir: &Path, error: &std::io::Error) -> String {
    let folder = state_dir.join("holds");
    match error.kind() {
        // Its own words name a temporary file, which helps nobody.
        std::io::ErrorKind::PermissionDenied => {
            format!("{} cannot be written: permission denied; run it with sudo", folder.display())
        }
        _ => format!("{}: {error}", folder.display()),
    }
}

fn list(holds: &[(Option<String>, Hold)], now: Timestamp) -> String {
    let mut text = String::new();
    for (key, hold) in holds {
        let key = key.as_deref().unwrap_or("every service");
        let reason = hold.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let left = Hold { since: now, ..hold.clone() };
        text += &format!(
            "{key} until {} ({} left), by {}{reason}\n",
            clock(hold.until, now),
            span(seconds(&left)),
            hold.by
        );
    }
    if text.is_empty() { "Nothing is on hold.\n".to_owned() } else { text }
}

fn seconds(hold: &Hold) -> u64 {
    u64::try_from(hold.until.as_millis() - hold.since.as_millis()).unwrap_or(0).div_ceil(1000)
}

/// Who asked: the person behind `sudo`, if there is one.
fn who() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| super::environment(name));
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| match rustix::process::getuid() {
        uid if uid.is_root() => "root".to_owned(),
        uid => format!("uid {}", uid.as_raw()),
    })
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "write a time like 30s, 10m or 2h".to_owned())?;
    if time > LONGEST {
        return Err(
            "a hold ends after 24 h at the latest: hold again tomorrow, or turn `heal` off".to_owned()
        );
    }
    if time < Duration::from_secs(1) {
        return Err("a hold lasts a second at least; `wellkeep release` ends one".to_owned());
    }
    Ok(time)
}

fn parse_reason(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("it must be one line of text".to_owned());
    }
    match text.chars().count() {
        0 => Err("it is empty: leave --reason out".to_owned()),
        1..=REASON_LIMIT => Ok(text.to_owned()),
        length => Err(format!("it has {length} characters, at most {REASON_LIMIT} are shown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_always_ends_within_a_day() {
        assert_eq!(parse_time("24h").unwrap(), LONGEST);
        assert!(parse_time("24h 1s").unwrap_err().contains("24 h at the latest"));
        assert!(parse_time("0s").unwrap_err().contains("release"));
        assert!(parse_time("soon").unwrap_err().contains("10m"));
    }

    #[test]
    fn holds_are_listed_while_they_last() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let hold = |until: i64| Hold {
            since: at(0),
            until: at(until),
            by: "ada".into(),
            reason: Some("deploy".into()),
        };
        let holds = [(Some("web".to_owned()), hold(700)), (None, hold(160))];
        assert_eq!(
            list(&holds, at(100)),
            "web until 00:11:40 UTC (10m left), by ada: deploy\nevery service until 00:02:40 UTC (1m left), by ada: deploy\n"
        );
        assert_eq!(list(&[], at(800)), "Nothing is on hold.\n");
    }
}
