//! `wellkeep history`

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::document::{Known, Located, Source};
use super::words::{age, clock, seconds_between, span};
use super::{Exit, ended, healing, past, style};
use crate::monitor::wall_clock;
use crate::status::history::History;
use crate::status::{Incident, Timestamp};
use crate::store::{history, incidents};

/// Evidence is asked for among so many incidents: more are not kept.
const ALL: usize = 1000;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sudo wellkeep history web             its uptime, latency, failures, changes and incidents\n  \
    sudo wellkeep history -n 3          the latest three of all services\n  \
    sudo wellkeep history web --evidence | less\n  \
    sudo wellkeep history web --json | jq '.[] | {began, cause, outcome}'\n\n\
    Evidence may hold what is private (command lines, log lines), so only root and the group wellkeep can read it.\n\n\
    Exit codes: 0 told, 2 cannot tell (no permission, no such service, no such incident).")]
pub(super) struct Arguments {
    /// The service; without one all of them
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// So many at most
    #[arg(short = 'n', long = "limit", value_name = "COUNT", default_value_t = 10)]
    limit: usize,
    /// As JSON: a list of incidents with the paths of their evidence
    #[arg(long, conflicts_with = "evidence")]
    json: bool,
    /// Print what was found before something was done: in the latest incident, or in the one with this ID
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "", requires = "key")]
    evidence: Option<String>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let told = match &arguments.evidence {
        Some(id) => evidence(&arguments, id),
        None => list(&arguments),
    };
    ended(told)
}

fn list(arguments: &Arguments) -> Result<String, String> {
    let located = arguments.source.locate();
    let found = read(&located, arguments.key.as_deref(), arguments.limit)?;
    let found = found.iter().map(|incident| (incident, incidents::files(&located.state_dir, &incident.id)));
    if arguments.json {
        let all: Vec<Value> =
            found.map(|(incident, files)| as_json(incident, &files.unwrap_or_default())).collect();
        return Ok(format!("{:#}\n", Value::Array(all)));
    }
    let now = wall_clock();
    let texts: Vec<String> =
        found.map(|(incident, files)| as_text(incident, &files.unwrap_or_default(), now)).collect();
    let told = if texts.is_empty() { "No incident is on record.\n".to_owned() } else { texts.join("\n") };
    Ok(match &arguments.key {
        Some(key) => summary(key, &located, arguments.limit, now)? + &told,
        None => told,
    })
}

/// How a service went, in a few lines; nothing when nothing is known of it.
fn summary(key: &str, located: &Located, limit: usize, now: Timestamp) -> Result<String, String> {
    let folder = located.state_dir.join(history::FOLDER);
    let past = history::read_service(&located.state_dir, key).map_err(|error| unreadable(&folder, &error))?;
    let incidents = history::incidents(&located.state_dir).map_err(|error| unreadable(&folder, &error))?;
    let history = History::of(key, past, &incidents, now);
    let known = Known::read(&located.status_file).ok();
    let uptime = known.as_ref().and_then(|known| known.document.services.get(key)?.uptime);
    let distrust = known.as_ref().and_then(Known::distrust);
    let as_of =
        known.as_ref().zip(distrust.as_deref()).map(|(known, why)| (known.document.generated_at, why));
    Ok(past::summary(&history, uptime.as_ref(), as_of, limit, now))
}

/// The incidents, newest first. That there are none is believed only if they could be read.
fn read(located: &Located, key: Option<&str>, limit: usize) -> Result<Vec<Incident>, String> {
    let folder = located.state_dir.join("incidents");
    let found = match incidents::list(&located.state_dir, key, limit) {
        Ok(found) if found.is_empty() && is_denied(&folder) => {
            return Err(unreadable(&folder, &ErrorKind::PermissionDenied.into()));
        }
        Ok(found) => found,
        Err(error) => return Err(unreadable(&folder, &error)),
    };
    // A service that is not watched any more may have a past; one without a past may be a slip of the pen.
    if let (true, Some(key), Ok(known)) = (found.is_empty(), key, Known::read(&located.status_file)) {
        known.service(key)?;
    }
    Ok(found)
}

/// Whether incidents are there that we may not look into.
fn is_denied(folder: &Path) -> bool {
    let is_denied = |path: PathBuf| {
        std::fs::read_dir(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_denied(entry.path())))
}

fn as_json(incident: &Incident, files: &[PathBuf]) -> Value {
    let mut value = json!(incident);
    value["evidence"] = files.iter().map(|path| path.display().to_string()).collect();
    value
}

fn as_text(incident: &Incident, files: &[PathBuf], now: Timestamp) -> String {
    let mut text = format!(
        "{}  {}\n",
        style::paint(style::BOLD, &incident.service),
        style::paint(style::FAINT, &incident.id)
    );
    let mut row = |name: &str, words: &str| text += &format!("  {name:<9} {words}\n");
    row("began", &format!("{} ({} ago)", clock(incident.began, now), age(incident.began, now)));
    row("found", &format!("after {}", span(seconds_between(incident.began, incident.detected))));
    match incident.ended {
        Some(ended) => row("lasted", &span(seconds_between(incident.began, ended))),
        None => row("lasted", &format!("{}, still open", span(seconds_between(incident.began, now)))),
    }
    row("cause", &incident.cause);
    for heal in &incident.heals {
        row("done", &format!("{}  {}", clock(heal.at, now), healing::made(heal)));
    }
    if let Some(outcome) = &incident.outcome {
        row("outcome", outcome);
    }
    for path in files {
        row("evidence", &path.display().to_string());
    }
    text
}

/// The files of one incident, each under its name.
fn evidence(arguments: &Arguments, id: &str) -> Result<String, String> {
    let located = arguments.source.locate();
    let found = read(&located, arguments.key.as_deref(), ALL)?;
    let Some(incident) = found.iter().find(|incident| id.is_empty() || incident.id == id) else {
        return Err(match found.first() {
            Some(latest) => format!("there is no incident {id:?}; the latest is {}", latest.id),
            None => "no incident is on record".to_owned(),
        });
    };
    let folder = located.state_dir.join("incidents").join(&incident.id);
    let files =
        incidents::files(&located.state_dir, &incident.id).map_err(|error| unreadable(&folder, &error))?;
    if files.is_empty() {
        return Ok(format!("Nothing was done in the incident {}, so there is no evidence.\n", incident.id));
    }
    let mut text = String::new();
    for path in files {
        // Whatever a service wrote into its log: control characters stay out of a person's terminal.
        let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        let content: String = String::from_utf8_lossy(&bytes)
            .chars()
            .map(
                |letter| {
                    if letter.is_control() && !matches!(letter, '\n' | '\t') { '\u{fffd}' } else { letter }
                },
            )
            .collect();
        text += &format!(
            "{}\n{}\n",
            style::paint(style::BOLD, format!("== {}", path.display())),
            content.trim_end()
        );
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let next = if error.kind() == ErrorKind::PermissionDenied { "; run it with sudo" } else { "" };
    format!("{} cannot be read: {error}{next}", path.display())
}
