//! `wellkeep why`

use clap::Args;
use serde_json::json;

use super::document::{Known, Source};
use super::words::{age, clock, seconds_between, span};
use super::{Exit, complain, healing, print, style};
use crate::status::{Decision, Entry, Incident, Service, State, Timestamp};
use crate::store::{incidents, ledger};

/// So many of the latest decisions are looked through for those of one incident.
const LEDGER_LIMIT: usize = 2000;

/// So many decisions are shown; the first ones tell how it began, the last ones what holds now.
const SHOWN: usize = 24;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep why                        a line for each service that is not well\n  \
    wellkeep why web                    since when, why, what was done, what comes next\n  \
    wellkeep why web --json | jq -r .next\n\n\
    Exit codes: 0 well, 1 not well, 2 cannot tell (no document, a stale one, no such service).")]
pub(super) struct Arguments {
    /// The service; without one a line for each that is not well
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// As JSON: the service, the incident, the decisions, and what comes next
    #[arg(long, requires = "key")]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let located = arguments.source.locate();
    let known = match Known::read(&located.status_file) {
        Ok(known) => known,
        Err(problem) => {
            complain(problem);
            return Exit::CannotTell;
        }
    };
    let Some(key) = &arguments.key else {
        print(&overview(&known));
        return known.verdict(&known.document.services.values().collect::<Vec<_>>());
    };
    let service = match known.service(key) {
        Ok(service) => service,
        Err(problem) => {
            complain(problem);
            return Exit::CannotTell;
        }
    };
    let kept = || incidents::list(&located.state_dir, Some(key), 1).ok()?.into_iter().next();
    let incident = service.incident.clone().or_else(kept);
    let entries = ledger::read(&located.state_dir, None, LEDGER_LIMIT).unwrap_or_else(|error| {
        complain(format_args!("the ledger cannot be read: {error}"));
        Vec::new()
    });
    let story = Story {
        known: &known,
        service,
        incident: incident.as_ref(),
        since: since(key, incident.as_ref(), &entries),
        entries: concerning(key, incident.as_ref(), entries),
    };
    print(&if arguments.json { story.as_json() } else { story.as_text() });
    known.verdict(&[service])
}

/// A line for each service that is not well, the worst first.
fn overview(known: &Known) -> String {
    let mut text =
        known.distrust().map(|warning| style::paint(style::ERROR, warning) + "\n\n").unwrap_or_default();
    let is_well = |service: &&Service| matches!(service.state, State::Up);
    let mut ill: Vec<&Service> =
        known.document.services.values().filter(|service| !is_well(service)).collect();
    ill.sort_by_key(|service| service.state);
    for service in &ill {
        // Over old data nobody knows whether anything is still being done.
        let healing = known.freshness.is_fresh().then(|| healing::short(service, known.now)).flatten();
        let parts = [service.reason.clone(), healing];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let why = if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) };
        text += &format!("{} for {}{why}\n", title(service, known), age(service.since, known.now));
    }
    if ill.is_empty() {
        let count = known.document.services.len();
        text += &match known.freshness.is_fresh() {
            true => format!("Nothing is wrong: {count} of {count} services are up.\n"),
            false => format!("Last known: {count} of {count} services were up.\n"),
        };
    }
    text
}

/// The decisions about a service in an incident, and those about the whole host in its time. Without an incident the
/// latest few about the service.
fn concerning(key: &str, incident: Option<&Incident>, entries: Vec<Entry>) -> Vec<Entry> {
    let Some(incident) = incident else {
        let own: Vec<Entry> =
            entries.into_iter().filter(|entry| entry.service.as_deref() == Some(key)).collect();
        return own[own.len().saturating_sub(5)..].to_vec();
    };
    let is_within = |at: Timestamp| at >= incident.began && incident.ended.is_none_or(|ended| at <= ended);
    let concerns = |entry: &Entry| match &entry.service {
        None => is_within(entry.at),
        Some(service) if service == key => {
            entry.incident.as_ref().map_or(is_within(entry.at), |id| *id == incident.id)
        }
        Some(_) => false,
    };
    entries.into_iter().filter(concerns).collect()
}

/// The latest few decisions about a service after its last incident: that it was stopped by hand is none.
fn since(key: &str, incident: Option<&Incident>, entries: &[Entry]) -> Vec<Entry> {
    let Some(ended) = incident.and_then(|incident| incident.ended) else { return Vec::new() };
    let is_later = |entry: &&Entry| entry.service.as_deref() == Some(key) && entry.at > ended;
    let later: Vec<Entry> = entries.iter().filter(is_later).cloned().collect();
    later[later.len().saturating_sub(5)..].to_vec()
}

/// Everything there is to tell of a service.
struct Story<'a> {
    known: &'a Known,
    service: &'a Service,
    /// The open one, or the latest.
    incident: Option<&'a Incident>,
    /// What was decided in it, oldest first.
    entries: Vec<Entry>,
    /// The latest that was decided after its end.
    since: Vec<Entry>,
}

impl Story<'_> {
    fn as_json(&self) -> String {
        let story = json!({
            "key": self.service.key,
            "freshness": self.known.freshness.as_str(),
            "service": self.service,
            "incident": self.incident,
            "ledger": self.entries.iter().chain(&self.since).collect::<Vec<_>>(),
            "next": self.next(),
        });
        format!("{story:#}\n")
    }

    fn as_text(&self) -> String {
        let mut text = String::new();
        if let Some(warning) = self.known.distrust() {
            text += &format!("{}\n\n", style::paint(style::ERROR, warning));
        }
        text += &self.state();
        text += &self.chain();
        text += &self.what_was_done();
        if !self.since.is_empty() {
            text += &format!("\n{}\n{}", style::paint(style::BOLD, "Decided since"), lines(&self.since, ""));
        }
        let heading = style::paint(style::BOLD, "What comes next");
        text + &format!("\n{heading}\n{}\n", indented(&self.next()))
    }

    fn next(&self) -> String {
        if !self.known.freshness.is_fresh() {
            return "Nothing is known: no monitor is at work. Nothing is healed until it is back.".to_owned();
        }
        healing::next(self.service, &self.known.document, self.known.config_path(), self.known.now)
    }

    fn state(&self) -> String {
        let (service, now) = (self.service, self.known.now);
        let name = if service.name == service.key { String::new() } else { format!(" ({})", service.name) };
        let since = format!("since {} ({} ago)", clock(service.since, now), age(service.since, now));
        let reasons = service.reason.as_deref().map(|reason| indented(reason) + "\n").unwrap_or_default();
        format!("{}{name} {since}\n{reasons}", title(service, self.known))
    }

    /// What it needs and does not have, down to the one that everything waits for.
    fn chain(&self) -> String {
        let mut text = String::new();
        let mut link = self.service;
        // The configuration allows no circle; a document from elsewhere may hold one.
        for _ in 0..self.known.document.services.len() {
            let Some(needs) = healing::in_the_way(link, &self.known.document) else { break };
            let since = clock(needs.since, self.known.now);
            let reason = needs.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            text += &format!(
                "  {} needs {}, which is {} since {since}{reason}\n",
                link.key, needs.key, needs.state
            );
            link = needs;
        }
        text
    }

    fn what_was_done(&self) -> String {
        let now = self.known.now;
        let Some(incident) = self.incident else {
            return match self.entries.is_empty() {
                true => "\nNo incident is on record.\n".to_owned(),
                false => {
                    format!(
                        "\n{}\n{}",
                        style::paint(style::BOLD, "Latest decisions"),
                        lines(&self.entries, "")
                    )
                }
            };
        };
        let which = if incident.ended.is_some() { "The last incident" } else { "This incident" };
        let found = span(seconds_between(incident.began, incident.detected));
        let mut text = format!(
            "\n{}: began {}, found after {found}{}\n",
            style::paint(style::BOLD, which),
            clock(incident.began, now),
            ended(incident)
        );
        text += &format!("  cause: {}\n", incident.cause);
        if self.entries.is_empty() {
            for heal in &incident.heals {
                text += &format!("  {}  {}\n", clock(heal.at, now), healing::made(heal));
            }
        }
        text += &lines(&self.entries, &incident.cause);
        if !incident.heals.is_empty() {
            let command = format!("sudo wellkeep history {} --evidence {}", self.service.key, incident.id);
            text +=
                &format!("  {}\n", style::paint(style::FAINT, format!("what was found before: {command}")));
        }
        text
    }
}

fn ended(incident: &Incident) -> String {
    let Some(ended) = incident.ended else { return String::new() };
    let outcome = incident.outcome.as_ref().map(|outcome| format!(": {outcome}")).unwrap_or_default();
    format!(", lasted {}{outcome}", span(seconds_between(incident.began, ended)))
}

/// The decisions, one a line; of many the first and the latest. The cause stands above them already.
fn lines(entries: &[Entry], cause: &str) -> String {
    let (first, last) = match entries.len() {
        many if many > SHOWN => (&entries[..SHOWN / 2], &entries[many - SHOWN / 2..]),
        _ => (entries, &entries[..0]),
    };
    let mut text: String = first.iter().map(|entry| line(entry, cause)).collect();
    if !last.is_empty() {
        let between = entries.len() - first.len() - last.len();
        text += &format!("  ... {between} more, in ledger.jsonl\n");
        text.extend(last.iter().map(|entry| line(entry, cause)));
    }
    text
}

/// `  12:01:04  heal     restart 1 of 5: ...`
fn line(entry: &Entry, cause: &str) -> String {
    let at = entry.at.to_string();
    let time = at.split_once('T').map_or(at.as_str(), |(_, time)| time.trim_end_matches('Z'));
    let host = if entry.service.is_none() { "the whole host: " } else { "" };
    let word = style::paint(style::FAINT, format!("{:<11}", word(entry.decision)));
    let words = match entry.words.strip_suffix(cause).and_then(|words| words.strip_suffix(": ")) {
        Some(words) if !cause.is_empty() => words,
        _ => &entry.words,
    };
    format!("  {time}  {word}  {host}{words}\n")
}

/// What was decided, in a word.
fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Opened => "found",
        Decision::Heal => "heal",
        Decision::WouldHeal => "would heal",
        Decision::Wait => "wait",
        Decision::Refuse => "no heal",
        Decision::Cancel => "cancelled",
        Decision::Healed => "helped",
        Decision::HealFailed => "no help",
        Decision::Notice => "needs you",
        Decision::Hold => "hold",
        Decision::Release => "release",
        Decision::Closed => "ended",
    }
}

/// `web is DOWN`, or what it was.
fn title(service: &Service, known: &Known) -> String {
    let state = service.state.as_str().to_uppercase();
    if !known.freshness.is_fresh() {
        return format!("{} was {state}", style::paint(style::BOLD, &service.key));
    }
    let colour = match service.state {
        State::Up => style::PASS,
        State::Down | State::Unstable | State::Blocked => style::ERROR,
        State::Degraded => style::WARNING,
        _ => style::BOLD,
    };
    format!("{} is {}", style::paint(style::BOLD, &service.key), style::paint(colour, state))
}

fn indented(words: &str) -> String {
    words.lines().map(|line| format!("  {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
