//! `wellkeep status`

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::{ConfigFile, Exit, StatusFile, complain, print, style};
use crate::config::{self, Settings};
use crate::monitor::wall_clock;
use crate::probe::{CheckStatus, Results};
use crate::status::read::{self, Freshness};
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
    match read::read(path) {
        Ok((document, head, bytes)) => {
            print(&String::from_utf8_lossy(&bytes));
            verdict(freshness(&head), &document.services.values().collect::<Vec<_>>())
        }
        Err(error) => {
            complain(advice(&error));
            Exit::CannotTell
        }
    }
}

fn show(path: &Path, keys: &[String]) -> Result<(String, Exit), String> {
    let (document, head, _) = read::read(path).map_err(|error| advice(&error))?;
    let services = select(&document, keys)?;
    let freshness = freshness(&head);
    let now = wall_clock();
    let mut text = String::new();
    if let Some(warning) = distrust(freshness) {
        text += &style::paint(style::ERROR, format!("{warning}\n\n"));
    }
    if let Some(error) = &document.monitor.config.error {
        text += &style::paint(
            style::ERROR,
            "The configuration was changed and is wrong; the last good one is in force:",
        );
        text += &format!("\n{error}\n\n");
    }
    text += &table(&services, freshness.is_fresh(), now);
    text += &format!("\n\n{}\n", summary(&document, freshness.is_fresh(), now));
    Ok((text, verdict(freshness, &services)))
}

fn select<'a>(document: &'a Document, keys: &[String]) -> Result<Vec<&'a Service>, String> {
    if keys.is_empty() {
        let mut services: Vec<&Service> = document.services.values().collect();
        // The worst first, as on the page; the rest as in the configuration.
        services.sort_by_key(|service| service.state);
        return Ok(services);
    }
    let find = |key: &String| {
        document.services.get(key).ok_or_else(|| {
            let known: Vec<&str> = document.services.keys().map(String::as_str).collect();
            format!("there is no service {key:?}; the keys are: {}", known.join(", "))
        })
    };
    keys.iter().map(find).collect()
}

fn freshness(head: &read::Head) -> Freshness {
    Freshness::of(head, wall_clock(), read::Boot::of(Path::new("/proc")).as_ref())
}

/// The exit code: what is wrong goes before what cannot be told.
fn verdict(freshness: Freshness, services: &[&Service]) -> Exit {
    let any = |states: &[State]| services.iter().any(|service| states.contains(&service.state));
    if !freshness.is_fresh() || services.is_empty() {
        return Exit::CannotTell;
    }
    if any(&[State::Down, State::Unstable, State::Blocked]) {
        return Exit::NotWell;
    }
    if any(&[State::Unknown]) {
        return Exit::CannotTell;
    }
    if services.iter().all(|service| service.ok) { Exit::Well } else { Exit::NotWell }
}

/// Why the figures below must not be believed.
fn distrust(freshness: Freshness) -> Option<String> {
    let why = match freshness {
        Freshness::Fresh => return None,
        Freshness::Stale { age_s } => format!("the monitor has not written for {}", seconds(age_s)),
        Freshness::EarlierBoot => "the document is from before the last reboot".to_owned(),
        Freshness::Stopped => "the monitor was stopped".to_owned(),
        Freshness::Future { ahead_s } => format!("the document is dated {} in the future", seconds(ahead_s)),
    };
    Some(format!(
        "STALE: {why}. This is what was last known, not what is. Look at: systemctl status wellkeep-monitor"
    ))
}

fn advice(error: &read::ReadError) -> String {
    let next = match error {
        read::ReadError::Missing(_) => {
            "start one (systemctl start wellkeep-monitor, or: wellkeep dev), or name the file with --status-file"
        }
        read::ReadError::Unreadable { .. } => "it should have mode 0644 in a folder of mode 0755",
        read::ReadError::Invalid { .. } => "name the right file with --status-file",
    };
    format!("{error}\n  {next}")
}

fn table(services: &[&Service], is_fresh: bool, now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(
        ["STATE", "SERVICE", "HTTP", "PORT", "UNIT", "PROCESSES", "CHECKED", "WHY"]
            .map(|title| Cell::new(title).add_attribute(comfy_table::Attribute::Dim)),
    );
    for service in services {
        let Results { http, port, systemd, process } = &service.checks;
        let http = http.as_ref().map(|check| match (check.detail.status_code, check.detail.latency_ms) {
            (Some(status), Some(latency)) => format!("{status} {latency} ms"),
            (Some(status), None) => status.to_string(),
            (None, _) => mark(check),
        });
        let port = port.as_ref().map(mark);
        let unit = systemd.as_ref().map(|check| match &check.detail.sub_state {
            Some(sub) => format!("{} ({sub})", check.detail.state),
            None => check.detail.state.clone(),
        });
        let process = process.as_ref().map(|check| check.detail.count.to_string());
        let checked = service.last_checked.map(|at| format!("{} ago", age(at, now)));
        table.add_row(vec![
            state_cell(service, is_fresh),
            Cell::new(&service.name),
            text_cell(http),
            text_cell(port),
            text_cell(unit),
            text_cell(process),
            text_cell(checked),
            Cell::new(service.reason.as_deref().unwrap_or("")),
        ]);
    }
    // The words that must stay whole; the reasons take what is left.
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(10)));
    }
    // The margin of the first column.
    for column in table.column_iter_mut().take(1) {
        column.set_padding((0, 1));
    }
    table.trim_fmt()
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
    let updated = age(document.generated_at, now);
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

fn age(at: Timestamp, now: Timestamp) -> String {
    seconds(now.as_millis().saturating_sub(at.as_millis()).max(0) as u64 / 1000)
}

/// `4s`, `2m`, `3h`, `5days`: the largest unit is enough for a person.
fn seconds(seconds: u64) -> String {
    let rounded = match seconds {
        0..120 => seconds,
        120..7200 => seconds / 60 * 60,
        7200..172_800 => seconds / 3600 * 3600,
        _ => seconds / 86_400 * 86_400,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        assert_eq!([4, 119, 125, 7300, 200_000].map(seconds), ["4s", "1m 59s", "2m", "2h", "2days"]);
    }
}
