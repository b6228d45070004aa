//! Evidence: what a restart destroys, saved before it. A text for people, in sections; what could not be had says why. It
//! takes 3 s at most, whatever hangs: a heal is not kept waiting for longer.
//!
//! Environments are never copied, and arguments that look secret are masked. The journal's lines and a server's answer are
//! copied as they are; that is one reason why the file is 0640.

mod gather;
mod host;
mod processes;

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use self::gather::gather;
use super::{PATH, printable, program};
use crate::engine::{Action, HealOrder, UnitFacts};
use crate::monitor::wall_clock;
use crate::store::incidents;

/// What is looked up in `/proc` may take so long.
const LOOK_LIMIT: Duration = Duration::from_millis(2000);

/// The journal may take so long, and 600 ms more to be killed.
const JOURNAL_LIMIT: Duration = Duration::from_millis(1500);

/// Writing may take so long.
const WRITE_LIMIT: Duration = Duration::from_millis(700);

/// So many bytes at most of a section each; 256 KiB of all of them.
const OF_PROCESSES: usize = 128 * 1024;
const OF_JOURNAL: usize = 64 * 1024;
const OF_ANSWER: usize = 16 * 1024;
const OF_OTHERS: usize = 16 * 1024;

/// What the evidence is about, as far as the monitor knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The service's unit.
    pub unit: Option<String>,
    /// The unit's main process, if systemd named one: its control group is the unit's.
    pub main_pid: Option<u32>,
    /// Further processes: those that a process check found.
    pub pids: Vec<u32>,
    /// What the checks said last, for people.
    pub answers: String,
}

/// Where evidence is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// `/proc`, or what stands for it.
    pub proc_root: PathBuf,
    /// The program that shows the journal.
    pub journalctl: PathBuf,
}

impl Default for Sources {
    fn default() -> Sources {
        Sources { proc_root: "/proc".into(), journalctl: "journalctl".into() }
    }
}

/// Saves what is known before a heal as `incidents/ID/evidence-ATTEMPT.txt`, at most 256 KiB, within 3 s.
///
/// # Errors
/// Why there is no evidence, in words. It is no reason not to heal.
pub async fn collect(
    order: &HealOrder,
    subject: Subject,
    sources: &Sources,
    state_dir: &Path,
) -> Result<PathBuf, String> {
    let text = describe(order, subject, sources).await;
    let (state_dir, incident, attempt) = (state_dir.to_owned(), order.incident.clone(), order.attempt);
    let writing = tokio::task::spawn_blocking(move || {
        incidents::write_attempt(&state_dir, &incident, "evidence", attempt, &text)
    });
    match tokio::time::timeout(WRITE_LIMIT, writing).await {
        Ok(Ok(Ok(path))) => Ok(path),
        Ok(Ok(Err(error))) => Err(format!("the evidence is not saved: {error}")),
        Ok(Err(error)) => Err(format!("the evidence is not saved: {error}")),
        Err(_) => Err(format!("the evidence is not saved: the disk did not answer within {WRITE_LIMIT:?}")),
    }
}

async fn describe(order: &HealOrder, subject: Subject, sources: &Sources) -> String {
    let Subject { unit, answers, .. } = subject.clone();
    let sought = processes::Sought::from(subject);
    let also_sought = sought.clone();
    let [root, same_root, again] = [(); 3].map(|()| sources.proc_root.clone());
    let (processes, listeners, host, journal) = tokio::join!(
        gather(LOOK_LIMIT, OF_PROCESSES, move |lines| processes::describe(&root, &sought, lines)),
        gather(LOOK_LIMIT, OF_OTHERS, move |lines| processes::listeners(&same_root, &also_sought, lines)),
        gather(LOOK_LIMIT, OF_OTHERS, move |lines| host::describe(&again, lines)),
        journal(unit.as_deref(), &sources.journalctl),
    );
    let mut text = String::new();
    let unit_facts = order.seen.as_ref().map_or_else(|| "it is about no unit\n".to_owned(), facts);
    let sections = [
        ("the heal", heading(order, unit.as_deref())),
        ("what the checks said last", beginning(&printable(answers.as_bytes()), OF_ANSWER)),
        ("the unit, as systemd told it", unit_facts),
        ("processes", processes),
        ("who listens", listeners),
        ("the machine", host),
        ("the journal, its last 50 lines of the unit", journal),
    ];
    for (title, content) in sections {
        let content = content.trim_end();
        let content = if content.is_empty() { "nothing" } else { content };
        let _ = writeln!(text, "== {title} ==\n{content}\n");
    }
    text
}

fn heading(order: &HealOrder, unit: Option<&str>) -> String {
    let action = match &order.action {
        Action::TryRestart(unit) => format!("restart {unit}"),
        Action::Start(unit) => format!("start {unit}"),
        Action::Reload(unit) => format!("reload {unit}"),
        Action::Run(hook) => format!("run {}", hook.command.first().map_or("nothing", String::as_str)),
    };
    format!(
        "saved at: {}\nservice: {}\nunit: {}\nincident: {}\nattempt: {}\nto be done: {action}{}\nbecause: {}\n",
        wall_clock(),
        order.key,
        unit.unwrap_or("none"),
        order.incident,
        order.attempt,
        if order.observe { " (only observed: it is not really done)" } else { "" },
        beginning(&printable(order.reason.as_bytes()), OF_OTHERS),
    )
}

fn facts(facts: &UnitFacts) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let duration =
        |span: Duration| humantime::format_duration(Duration::from_secs(span.as_secs())).to_string();
    let limit = facts.start_limit.map_or_else(
        || "none".to_owned(),
        |(burst, interval)| format!("{burst} within {}", duration(interval)),
    );
    format!(
        "LoadState: {}\nActiveState: {} ({})\nResult: {}\nJob: {}\nInvocationID: {}\nrunning for: {}\nstart limit: {limit}\n",
        facts.load,
        facts.active,
        facts.sub,
        or_none(&facts.result),
        or_none(&facts.job),
        or_none(&facts.invocation),
        facts.running_for.map_or_else(|| "it does not run".to_owned(), duration),
    )
}

async fn journal(unit: Option<&str>, journalctl: &Path) -> String {
    let Some(unit) = unit else { return "it is about no unit\n".to_owned() };
    let mut command = Command::new(journalctl);
    command
        .arg(format!("--unit={unit}"))
        .args(["--lines=50", "--no-pager", "--output=short-iso-precise"])
        .env_clear()
        .envs([("PATH", PATH), ("LANG", "C.UTF-8")]);
    let name = journalctl.display();
    let ended = match program::run(command, JOURNAL_LIMIT, Duration::ZERO, OF_JOURNAL).await {
        Ok(ended) => ended,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return format!("not had: there is no {name} on this machine\n");
        }
        Err(error) => return format!("not had: {name} cannot be run: {error}\n"),
    };
    let mut text = printable(&ended.output);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match ended.status {
        Some(status) if status.success() => {}
        Some(status) => text.push_str(&format!("{name} ended with {status}\n")),
        None => {
            text.push_str(&format!("not all: {name} took longer than {JOURNAL_LIMIT:?} and was killed\n"));
        }
    }
    text
}

/// The beginning of a text, and word of it if that is not all.
fn beginning(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}\n(left out here: {} bytes)\n", &text[..text.floor_char_boundary(limit)], text.len() - limit)
}

#[cfg(test)]
mod tests;
