//! `wellkeep wait`

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use super::document::{Known, Source};
use super::words::{clock, counted, span};
use super::{Exit, complain, print};
use crate::monitor::wall_clock;
use crate::probe::{CheckStatus, Results, Severity, Verdict};
use crate::status::{Document, Service, State, Timestamp};

/// The file is looked at so often: one `stat`.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    systemctl restart web && wellkeep wait web --up\n  \
    wellkeep wait web worker --up --timeout 2m || rollback\n  \
    wellkeep wait web --state stopped --timeout 10s\n\n\
    Only a look at the service that began after this command did is taken for an answer: that it was up before a \
    deploy says nothing. `up` is also what passes all its critical checks while it is degraded or on hold; `down` is \
    all that does not serve: down, unstable, blocked, stopped.\n\n\
    Exit codes: 0 reached, 1 not in time, 2 cannot tell (no monitor at work, no such service).")]
pub(super) struct Arguments {
    /// The services; all of them must get there
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// Until they are well; this is also what happens when nothing else is said
    #[arg(long, group = "wanted")]
    up: bool,
    /// Until they do not serve
    #[arg(long, group = "wanted")]
    down: bool,
    /// Until they are in just this state
    #[arg(long, group = "wanted", value_name = "STATE", value_parser = parse_state)]
    state: Option<State>,
    /// At most so long
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let wanted = match (arguments.down, arguments.state) {
        (_, Some(state)) => Wanted::State(state),
        (true, None) => Wanted::Down,
        (false, None) => Wanted::Up,
    };
    let wait = Wait::new(arguments.keys, wanted, wall_clock());
    until(&arguments.source.locate().status_file, wait, arguments.timeout)
}

fn parse_state(word: &str) -> Result<State, String> {
    serde_json::from_value(word.into()).map_err(|_| {
        "write up, down, degraded, unstable, starting, blocked, held, stopped or unknown".to_owned()
    })
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Up,
    Down,
    State(State),
}

impl Wanted {
    fn is_met(self, service: &Service) -> bool {
        match self {
            Wanted::Up => match service.state {
                State::Up => true,
                // What warns is served all the same, and a hold hides the state behind it.
                State::Degraded | State::Held => every_critical_check(&service.checks, Verdict::Pass),
                _ => false,
            },
            Wanted::Down => match service.state {
                State::Down | State::Unstable | State::Blocked | State::Stopped => true,
                State::Held => any_critical_check_fails(&service.checks),
                _ => false,
            },
            Wanted::State(state) => service.state == state,
        }
    }

    /// A hold is a person's word: no look at the service is needed to know of it.
    fn needs_a_look(self) -> bool {
        self != Wanted::State(State::Held)
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wanted::Up => f.write_str("up"),
            Wanted::Down => f.write_str("down"),
            Wanted::State(state) => state.fmt(f),
        }
    }
}

fn critical_verdicts(results: &Results) -> impl Iterator<Item = Verdict> {
    fn of<D>(check: &Option<CheckStatus<D>>) -> Option<Verdict> {
        check.as_ref().filter(|check| check.severity == Severity::Critical).map(|check| check.outcome)
    }
    [of(&results.http), of(&results.port), of(&results.systemd), of(&results.process)].into_iter().flatten()
}

fn every_critical_check(results: &Results, wanted: Verdict) -> bool {
    critical_verdicts(results).all(|verdict| verdict == wanted)
}

fn any_critical_check_fails(results: &Results) -> bool {
    critical_verdicts(results).any(|verdict| verdict == Verdict::Fail)
}

/// Whether services have got to where they shall be, judged from one document after the other. Pure.
///
/// The document tells when a look *ended*, and one that had begun before the wait says nothing. So a document is waited
/// for first that was made after the wait began and in which no look is under way (`next_check` is there): a look
/// that ends later than in this one also began later.
#[derive(Debug)]
pub(super) struct Wait {
    wanted: Wanted,
    began: Timestamp,
    progress: BTreeMap<String, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The end of the last look that does not count, once that is known.
    before: Option<Option<Timestamp>>,
    /// There was one that counts, and it was over.
    is_met: bool,
    /// The state in the latest document.
    state: Option<State>,
}

impl Wait {
    pub(super) fn new(keys: Vec<String>, wanted: Wanted, began: Timestamp) -> Wait {
        let progress = keys.into_iter().map(|key| (key, Progress::default())).collect();
        Wait { wanted, began, progress }
    }

    /// Takes a document that can be believed; whether all services are where they shall be.
    pub(super) fn take(&mut self, document: &Document) -> bool {
        if document.generated_at < self.began {
            return false;
        }
        let is_new_monitor = document.monitor.started_at >= self.began;
        for (key, progress) in &mut self.progress {
            match document.services.get(key) {
                Some(service) => progress.take(service, self.wanted, is_new_monitor),
                None => progress.is_met = false,
            }
        }
        self.progress.values().all(|progress| progress.is_met)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.progress.keys().map(String::as_str)
    }

    /// Those that are not there yet.
    fn missing(&self) -> impl Iterator<Item = &str> {
        self.progress.iter().filter(|(_, progress)| !progress.is_met).map(|(key, _)| key.as_str())
    }

    fn was_looked_at(&self, service: &Service) -> bool {
        let before = self.progress.get(&service.key).and_then(|progress| progress.before);
        before.is_some_and(|before| service.last_checked > before)
    }
}

impl Progress {
    fn take(&mut self, service: &Service, wanted: Wanted, is_new_monitor: bool) {
        self.state = Some(service.state);
        if !wanted.needs_a_look() {
            self.is_met = wanted.is_met(service);
            return;
        }
        let is_at_rest = service.next_check.is_some();
        if is_new_monitor {
            // Every look of a monitor that started after the wait began did so, too.
            self.before = Some(None);
        } else if self.before.is_none() && is_at_rest {
            self.before = Some(service.last_checked);
        }
        let is_later = self.before.is_some_and(|before| service.last_checked > before);
        // While a look is under way some of its checks have answered and others have not.
        let is_met = wanted.is_met(service);
        self.is_met = is_met && (self.is_met || (is_later && is_at_rest));
    }
}

/// Waits until the services are where they shall be, and tells how it ended in one line.
pub(super) fn until(status_file: &Path, mut wait: Wait, timeout: Duration) -> Exit {
    let start = Instant::now();
    let mut file = File::new(status_file);
    let mut screen = Screen::new();
    loop {
        match file.look() {
            Some(Ok(known)) if known.freshness.is_fresh() => {
                // One from before may be of a configuration from before.
                let is_news = known.document.generated_at >= wait.began;
                let unknown = || wait.keys().find_map(|key| known.service(key).err());
                if let Some(problem) = is_news.then(unknown).flatten() {
                    screen.clear();
                    complain(problem);
                    return Exit::CannotTell;
                }
                if wait.take(&known.document) {
                    screen.clear();
                    print(&reached(&wait, start.elapsed()));
                    return Exit::Well;
                }
            }
            Some(_) | None => {}
        }
        if start.elapsed() >= timeout {
            screen.clear();
            return too_late(&wait, status_file, timeout);
        }
        screen.show(&wait, start.elapsed());
        std::thread::sleep(POLL.min(timeout.saturating_sub(start.elapsed())));
    }
}

/// `web is up after 4s`; `web (held), db are up after 12s` where the state has another name.
fn reached(wait: &Wait, took: Duration) -> String {
    let wanted = wait.wanted.to_string();
    let named = |(key, progress): (&String, &Progress)| match progress.state {
        Some(state) if state.as_str() != wanted => format!("{key} ({state})"),
        _ => key.clone(),
    };
    let keys: Vec<String> = wait.progress.iter().map(named).collect();
    let are = if keys.len() == 1 { "is" } else { "are" };
    format!("{} {are} {wanted} after {}\n", keys.join(", "), span(took.as_secs()))
}

fn too_late(wait: &Wait, status_file: &Path, timeout: Duration) -> Exit {
    let limit = humantime::format_duration(timeout);
    let known = match Known::read(status_file) {
        Ok(known) => known,
        Err(problem) => {
            complain(problem);
            return Exit::CannotTell;
        }
    };
    if let Some(warning) = known.distrust() {
        complain(format_args!("nobody can tell whether {} after {limit}: {warning}", goal(wait)));
        return Exit::CannotTell;
    }
    for key in wait.missing() {
        match known.service(key) {
            Ok(service) => print(&format!(
                "{key} is not {} after {limit}: {}\n",
                wait.wanted,
                standing(wait, service, known.now)
            )),
            Err(problem) => {
                complain(problem);
                return Exit::CannotTell;
            }
        };
    }
    Exit::NotWell
}

fn goal(wait: &Wait) -> String {
    let keys: Vec<&str> = wait.missing().collect();
    format!("{} {} {}", keys.join(", "), if keys.len() == 1 { "is" } else { "are" }, wait.wanted)
}

/// How a service is that has not got there.
fn standing(wait: &Wait, service: &Service, now: Timestamp) -> String {
    let reason = service.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
    let state = format!("{} since {}{reason}", service.state, clock(service.since, now));
    if wait.wanted.needs_a_look() && !wait.was_looked_at(service) {
        return format!("status.json tells of no look at it that began since (before: {state})");
    }
    state
}

/// The document, read again only when the file is another one.
struct File<'a> {
    path: &'a Path,
    seen: Option<(u64, i64, i64, u64)>,
}

impl<'a> File<'a> {
    fn new(path: &'a Path) -> File<'a> {
        File { path, seen: None }
    }

    /// What the file says, if it is news.
    fn look(&mut self) -> Option<Result<Known, String>> {
        let metadata = std::fs::metadata(self.path).ok()?;
        let mark = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size());
        if self.seen == Some(mark) {
            return None;
        }
        self.seen = Some(mark);
        Some(Known::read(self.path))
    }
}

/// A line of progress on a terminal, and nothing elsewhere: a script's log shall hold the end alone.
struct Screen {
    is_terminal: bool,
    shown: Option<u64>,
}

impl Screen {
    fn new() -> Screen {
        Screen { is_terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, wait: &Wait, elapsed: Duration) {
        let seconds = elapsed.as_secs();
        if !self.is_terminal || self.shown == Some(seconds) {
            return;
        }
        self.shown = Some(seconds);
        let missing: Vec<&str> = wait.missing().take(3).collect();
        let more = wait.missing().count() - missing.len();
        let more = if more > 0 { format!(" and {} more", counted(more, "service")) } else { String::new() };
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[Kwaiting for {}{more} to be {}: {}",
            missing.join(", "),
            wait.wanted,
            span(seconds)
        );
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{at, document};
    use super::*;

    /// A wait for `web` that began at noon.
    fn wait(wanted: Wanted) -> Wait {
        Wait::new(vec!["web".to_owned()], wanted, at("12:00:00"))
    }

    /// A document of that moment: the end of the latest look, and whether one is under way.
    fn looked(time: &str, last: &str, is_looking: bool, more: Value) -> Document {
        let next = if is_looking { Value::Null } else { json!(at("12:59:00")) };
        let mut web = json!({"last_checked": at(last), "next_check": next});
        web.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document(time, json!({ "web": web }))
    }

    fn is_up(wait: &mut Wait, time: &str, last: &str, is_looking: bool) -> bool {
        wait.take(&looked(time, last, is_looking, json!({})))
    }

    #[test]
    fn that_it_was_up_before_the_wait_began_is_no_answer() {
        let mut wait = wait(Wanted::Up);
        assert!(!is_up(&mut wait, "11:59:58", "11:59:55", false), "an old document");
        assert!(!is_up(&mut wait, "12:00:01", "11:59:55", false), "a new document of an old look");
        assert!(!is_up(&mut wait, "12:00:06", "11:59:55", false));
        assert!(is_up(&mut wait, "12:00:08", "12:00:07", false), "a look that began and ended since");
    }

    #[test]
    fn a_look_that_was_under_way_when_the_wait_began_is_no_answer() {
        let mut wait = wait(Wanted::Up);
        assert!(!is_up(&mut wait, "12:00:00", "11:59:55", true));
        assert!(!is_up(&mut wait, "12:00:02", "12:00:02", false), "it ended since, and began before");
        assert!(is_up(&mut wait, "12:00:12", "12:00:12", false));
    }

    #[test]
    fn a_look_that_is_half_over_is_no_answer_and_does_not_take_one_back() {
        let mut wait = wait(Wanted::Up);
        assert!(!is_up(&mut wait, "12:00:01", "11:59:55", false));
        assert!(!is_up(&mut wait, "12:00:05", "12:00:05", true), "one of its checks has answered");
        assert!(is_up(&mut wait, "12:00:06", "12:00:06", false));
        assert!(is_up(&mut wait, "12:00:16", "12:00:06", true), "the next one has begun");
        assert!(!wait.take(&looked("12:00:17", "12:00:17", true, json!({"state": "down"}))));
    }

    #[test]
    fn every_look_of_a_monitor_that_started_since_counts() {
        let mut wait = wait(Wanted::Up);
        let mut first = looked("12:00:05", "12:00:05", false, json!({}));
        assert!(!wait.take(&first));
        first.monitor.started_at = at("12:00:04");
        assert!(wait.take(&first));
    }

    #[test]
    fn what_serves_is_up_and_what_does_not_is_down_also_under_a_hold() {
        let port = |outcome: &str| json!({"ok": outcome == "pass", "outcome": outcome, "port": 80});
        let meets = |wanted: Wanted, state: &str, outcome: &str| {
            let document = document("12:00:00", json!({"web": {"state": state, "port": port(outcome)}}));
            wanted.is_met(&document.services["web"])
        };
        assert!(meets(Wanted::Up, "held", "pass") && !meets(Wanted::Up, "held", "fail"));
        assert!(meets(Wanted::Down, "held", "fail") && !meets(Wanted::Down, "held", "pass"));
        assert!(meets(Wanted::Up, "degraded", "pass") && !meets(Wanted::Up, "degraded", "fail"));
        assert!(!meets(Wanted::Up, "starting", "pass") && !meets(Wanted::Up, "unknown", "pass"));
        for state in ["down", "unstable", "blocked", "stopped"] {
            assert!(meets(Wanted::Down, state, "fail"), "{state}");
        }
        assert!(!meets(Wanted::Down, "unknown", "unknown"));
        assert!(meets(Wanted::State(State::Stopped), "stopped", "fail"));
    }

    #[test]
    fn the_end_tells_the_state_where_that_has_another_name() {
        let mut wait = wait(Wanted::Down);
        assert!(!wait.take(&looked("12:00:01", "11:59:55", false, json!({"state": "stopped"}))));
        assert!(wait.take(&looked("12:00:04", "12:00:04", false, json!({"state": "stopped"}))));
        assert_eq!(reached(&wait, Duration::from_secs(4)), "web (stopped) is down after 4s\n");
    }

    #[test]
    fn a_hold_needs_no_look_and_all_services_must_be_there() {
        let keys = vec!["web".to_owned(), "db".to_owned()];
        let mut wait = Wait::new(keys, Wanted::State(State::Held), at("12:00:00"));
        let held = |db: &str| document("12:00:01", json!({"web": {"state": "held"}, "db": {"state": db}}));
        assert!(!wait.take(&held("up")));
        assert_eq!(wait.missing().collect::<Vec<_>>(), ["db"]);
        assert!(wait.take(&held("held")));
        assert_eq!(reached(&wait, Duration::from_secs(61)), "db, web are held after 1m 1s\n");
        assert!(
            !wait.take(&document("12:00:02", json!({"web": {"state": "held"}}))),
            "one is not watched any more"
        );
    }
}
