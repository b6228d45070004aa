//! `wellkeep status`

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::document::Known;
use super::{ConfigFile, Exit, StatusFile, complain, healing, print, style, words};
use crate::config::{self, Settings};
use crate::probe::{CheckStatus, Results};
use crate::status::{Document, Service, State, Timestamp};

/// `--watch` looks so often.
const WATCH: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep status\n  \
    wellkeep status web db --watch\n  \
    wellkeep status --json | jq '.services[] | select(.ok | not) | .key'\n\n\
    Exit codes: 0 all well, 1 something is not, 2 cannot tell (no document, or a stale one).")]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// The document as it is, as JSON
    #[arg(long, conflicts_with_all = ["watch", "keys"])]
    json: bool,
    /// Again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    status_file: StatusFile,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    // The configuration may name the document; a missing or wrong one is the monitor's business, not ours.
    let settings = match &arguments.status_file.status_file {
        Some(_) => Settings::default(),
        None => arguments.config.settings().unwrap_or_default(),
    };
    let path = arguments.status_file.path(&settings.monitor);
    if arguments.json {
        return json(&path);
    }
    loop {
        let (text, exit) = match show(&path, &arguments.keys) {
            Ok(shown) => shown,
            Err(problem) if !arguments.watch => {
                complain(problem);
                return Exit::CannotTell;
            }
            Err(problem) => (format!("{problem}\n"), Exit::CannotTell),
        };
        if !arguments.watch {
            print(&text);
            return exit;
        }
        // Home, the text, and away with what was below: nothing flickers.
        let (home, rest) = if std::io::stdout().is_terminal() { ("\x1b[H\x1b[2J", "") } else { ("", "\n") };
        if !print(&format!("{home}{text}{rest}")) {
            return exit;
        }
        std::thread::sleep(WATCH);
    }
}

/// The document's own bytes, and the exit code that fits them.
fn json(path: &Path) -> Exit {
    match Known::read(path) {
        Ok(known) => {
            print(&String::from_utf8_lossy(&known.bytes));
            known.verdict(&known.document.services.values().collect::<Vec<_>>())
        }
        Err(error) => {
            complain(error);
            Exit::CannotTell
        }
    }
}

fn show(path: &Path, keys: &[String]) -> Result<(String, Exit), String> {
    let known = Known::read(path)?;
    let services = select(&known, keys)?;
    let monitor = &known.document.monitor;
    let mut text = String::new();
    if let Some(warning) = known.distrust() {
        text += &style::paint(style::ERROR, format!("{warning}\n\n"));
    }
    if let Some(error) = &monitor.config.error {
        // In force is only what a monitor works by that runs.
        let found = if known.freshness.is_fresh() {
            "The configuration was changed and is wrong; the last good one is in force:"
        } else {
            "When the monitor last read the configuration it was wrong; now see `wellkeep check`. It said:"
        };
        text += &style::paint(style::ERROR, found);
        text += &format!("\n{error}\n\n");
    }
    if let Some(what) = &monitor.config.needs_restart {
        text += &format!("{}\n\n", style::paint(style::WARNING, what));
    }
    if let Some(why) = &monitor.cannot_heal {
        text += &format!("{} {why}\n\n", style::paint(style::WARNING, "Nothing can be healed here:"));
    }
    text += &table(&services, known.freshness.is_fresh(), known.now);
    text += &format!("\n\n{}\n", summary(&known.document, known.freshness.is_fresh(), known.now));
    Ok((text, known.verdict(&services)))
}

fn select<'a>(known: &'a Known, keys: &[String]) -> Result<Vec<&'a Service>, String> {
    if keys.is_empty() {
        let mut services: Vec<&Service> = known.document.services.values().collect();
        // The worst first, as on the page; the rest as in the configuration.
        services.sort_by_key(|service| service.state);
        return Ok(services);
    }
    keys.iter().map(|key| known.service(key)).collect()
}

/// Narrower than this, what the checks read is left out: the reasons need the room, and tell what matters of it.
const NARROW: u16 = 110;

/// The cells of a service, each under its heading.
type Columns = Vec<(&'static str, Cell)>;

fn table(services: &[&Service], is_fresh: bool, now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let is_narrow = table.width().is_some_and(|width| width < NARROW);
    let rows: Vec<Columns> = services.iter().map(|service| row(service, is_fresh, is_narrow, now)).collect();
    let titles: Vec<&str> = rows.first().into_iter().flatten().map(|(title, _)| *title).collect();
    let heading = |title: &&str| Cell::new(title).add_attribute(comfy_table::Attribute::Dim);
    table.set_header(titles.iter().map(heading).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row.into_iter().map(|(_, cell)| cell).collect::<Vec<_>>());
    }
    // No heading breaks, nor the word of a state; the reasons take what is left.
    let state = if is_fresh { "UNSTABLE" } else { "was UNSTABLE" };
    for (column, title) in table.column_iter_mut().zip(&titles).take(titles.len().saturating_sub(1)) {
        let least = if *title == "STATE" { state.len() + 1 } else { title.len() + 2 };
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least as u16)));
    }
    // The margin of the first column.
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table.trim_fmt()
}

fn row(service: &Service, is_fresh: bool, is_narrow: bool, now: Timestamp) -> Columns {
    let checked = service.last_checked.map(|at| format!("{} ago", words::age(at, now)));
    let mut columns = vec![("STATE", state_cell(service, is_fresh)), ("SERVICE", Cell::new(called(service)))];
    if !is_narrow {
        columns.extend(figures(service));
    }
    columns.push(("CHECKED", text_cell(checked)));
    columns.push(("WHY", Cell::new(why(service, is_fresh, now))));
    columns
}

/// The name, and the key where it is another: every command wants the key.
fn called(service: &Service) -> String {
    let Service { name, key, .. } = service;
    if name == key { name.clone() } else { format!("{name} ({key})") }
}

/// What the checks read.
fn figures(service: &Service) -> [(&'static str, Cell); 4] {
    let Results { http, port, systemd, process } = &service.checks;
    let http = http.as_ref().map(|check| match (check.detail.status_code, check.detail.latency_ms) {
        (Some(status), Some(latency)) => format!("{status} {latency} ms"),
        (Some(status), None) => status.to_string(),
        (None, _) => mark(check),
    });
    let unit = systemd.as_ref().map(|check| match &check.detail.sub_state {
        Some(sub) => format!("{} ({sub})", check.detail.state),
        None => check.detail.state.clone(),
    });
    let process = process.as_ref().map(|check| check.detail.count.to_string());
    [
        ("HTTP", text_cell(http)),
        ("PORT", text_cell(port.as_ref().map(mark))),
        ("UNIT", text_cell(unit)),
        ("PROCESSES", text_cell(process)),
    ]
}

/// The reason, and below it what is done about it.
fn why(service: &Service, is_fresh: bool, now: Timestamp) -> String {
    let healing = if is_fresh { healing::short(service, now) } else { None };
    let lines = [service.reason.clone(), healing];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn state_cell(service: &Service, is_fresh: bool) -> Cell {
    use comfy_table::{Attribute, Color};
    let word = service.state.as_str().to_uppercase();
    if !is_fresh {
        // What was known is no news of what is: never green.
        return Cell::new(format!("was {word}")).fg(Color::DarkGrey);
    }
    let colour = match service.state {
        State::Up => Color::Green,
        State::Degraded => Color::Yellow,
        State::Down | State::Unstable | State::Blocked => Color::Red,
        State::Starting => Color::Blue,
        State::Unknown | State::Held | State::Stopped => Color::DarkGrey,
    };
    Cell::new(word).fg(colour).add_attribute(Attribute::Bold)
}

fn text_cell(text: Option<String>) -> Cell {
    // A check that the service does not have is a dash, not a blank: nothing is forgotten.
    Cell::new(text.as_deref().unwrap_or("-"))
}

fn mark<D>(check: &CheckStatus<D>) -> String {
    use crate::probe::Verdict;
    match check.outcome {
        Verdict::Pass => "ok",
        Verdict::Fail => "fails",
        Verdict::Unknown => "?",
    }
    .to_owned()
}

fn summary(document: &Document, is_fresh: bool, now: Timestamp) -> String {
    let verdict = match document.total {
        0 => format!("There is no service to watch: edit {}", config::DEFAULT_PATH),
        _ => counts(document),
    };
    let last_known = if is_fresh { "" } else { "Last known: " };
    let updated = words::age(document.generated_at, now);
    let faint = style::FAINT;
    format!(
        "{bold}{last_known}{verdict}.{bold:#} {faint}{host}, updated {updated} ago by wellkeep {version} (pid {pid}){faint:#}",
        bold = style::BOLD,
        host = document.host.name,
        version = document.monitor.version,
        pid = document.monitor.pid,
    )
}

/// `All 4 services are up`, or `2 of 4 services are up; 1 down, 1 degraded`.
fn counts(document: &Document) -> String {
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for service in document.services.values() {
        *counts.entry(service.state).or_default() += 1;
    }
    let up = counts.remove(&State::Up).unwrap_or(0);
    let others: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    match (document.total, up) {
        (1, 1) => "The one service is up".to_owned(),
        (total, _) if others.is_empty() => format!("All {total} services are up"),
        (total, 1) => format!("1 of {total} services is up; {}", others.join(", ")),
        (total, up) => format!("{up} of {total} services are up; {}", others.join(", ")),
    }
}
