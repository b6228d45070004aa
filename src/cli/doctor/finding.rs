//! A finding, and how all of them are told.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::{Exit, style, words};

/// How bad it is, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; it works like this.
    Note,
    /// It could not be told.
    Unknown,
    /// It works now, and will not in a case that is bound to come; or it is not safe.
    Warning,
    /// Something does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) level: Level,
    /// What was looked at.
    pub(super) what: String,
    /// What was found.
    pub(super) found: String,
    /// What to do, as a sentence. Everything but `ok` has it or commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// The commands for that, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) commands: Vec<String>,
}

impl Finding {
    fn new(level: Level, what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { level, what: what.into(), found: found.into(), advice: None, commands: Vec::new() }
    }

    pub(super) fn ok(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding::new(Level::Ok, what, found)
    }

    pub(super) fn note(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding::new(Level::Note, what, found)
    }

    pub(super) fn unknown(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding::new(Level::Unknown, what, found)
    }

    pub(super) fn warning(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding::new(Level::Warning, what, found)
    }

    pub(super) fn problem(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding::new(Level::Problem, what, found)
    }

    /// Says in a sentence what to do.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Finding {
        self.advice = Some(advice.into());
        self
    }

    /// Adds a command that does it, unless it is there already. `sudo` before it is left out for who is root.
    pub(super) fn run(mut self, command: impl Into<String>) -> Finding {
        let command = command.into();
        if !self.commands.contains(&command) {
            self.commands.push(command);
        }
        self
    }
}

/// How the monitor is told what to do here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) start: String,
    pub(super) restart: String,
    pub(super) reload: String,
    /// What shows its log.
    pub(super) log: String,
}

impl Orders {
    pub(super) fn systemd() -> Orders {
        let systemctl = |verb| format!("sudo systemctl {verb} wellkeep-monitor");
        Orders {
            start: systemctl("enable --now"),
            restart: systemctl("restart"),
            reload: systemctl("reload"),
            log: "sudo journalctl -u wellkeep-monitor -n 30 --no-pager".to_owned(),
        }
    }

    /// Without systemd, of the monitor that wrote the document.
    pub(super) fn by_hand(pid: Option<u32>) -> Orders {
        let monitor = "wellkeep monitor".to_owned();
        let reload = pid.map_or_else(|| monitor.clone(), |pid| format!("kill -HUP {pid}"));
        Orders { start: monitor.clone(), restart: monitor.clone(), reload, log: monitor }
    }
}

/// The findings about one area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Area {
    /// What they are about.
    pub(super) area: &'static str,
    /// In the order in which they were looked at.
    pub(super) findings: Vec<Finding>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    areas: Vec<Area>,
    #[serde(skip)]
    is_root: bool,
}

impl Report {
    pub(super) fn new(mut areas: Vec<Area>, is_root: bool) -> Report {
        if is_root {
            let commands = areas.iter_mut().flat_map(|area| &mut area.findings).flat_map(|f| &mut f.commands);
            for command in commands {
                *command = command.trim_start_matches("sudo ").to_owned();
            }
        }
        Report { areas, is_root }
    }

    fn count(&self, level: Level) -> usize {
        let findings = self.areas.iter().flat_map(|area| &area.findings);
        findings.filter(|finding| finding.level == level).count()
    }

    /// 1 when there is something to do, else 2 when something could not be told.
    pub(super) fn exit(&self) -> Exit {
        if self.count(Level::Problem) + self.count(Level::Warning) > 0 {
            Exit::NotWell
        } else if self.count(Level::Unknown) > 0 {
            Exit::CannotTell
        } else {
            Exit::Well
        }
    }

    pub(super) fn json(&self) -> String {
        let report = serde_json::json!({
            "problems": self.count(Level::Problem),
            "warnings": self.count(Level::Warning),
            "unknown": self.count(Level::Unknown),
            "notes": self.count(Level::Note),
            "areas": self.areas,
        });
        format!("{report:#}\n")
    }

    /// For people: a line each, in areas, what to do below it, and the sum at the end.
    pub(super) fn text(&self) -> String {
        let findings = self.areas.iter().flat_map(|area| &area.findings);
        let width = findings.map(|finding| finding.what.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for area in &self.areas {
            let _ = writeln!(text, "{}", style::paint(style::BOLD, area.area));
            for finding in &area.findings {
                finding.write(&mut text, width);
            }
            text.push('\n');
        }
        text + &self.sum()
    }

    fn sum(&self) -> String {
        let counted = |level, noun| match self.count(level) {
            0 => None,
            count => Some(words::counted(count, noun)),
        };
        let wrong: Vec<String> = [counted(Level::Problem, "problem"), counted(Level::Warning, "warning")]
            .into_iter()
            .flatten()
            .collect();
        let wrong = if wrong.is_empty() { "Nothing to do".to_owned() } else { wrong.join(", ") };
        let untold = match self.count(Level::Unknown) {
            0 => String::new(),
            count => {
                let more = if self.is_root { "" } else { "; `sudo wellkeep doctor` sees more" };
                format!(", but {} could not be looked at{more}", words::counted(count, "thing"))
            }
        };
        format!("{wrong}{untold}.\n")
    }
}

impl Finding {
    fn write(&self, text: &mut String, width: usize) {
        let (word, paint) = match self.level {
            Level::Ok => ("ok", style::PASS),
            Level::Note => ("note", style::FAINT),
            Level::Unknown => ("unknown", style::WARNING),
            Level::Warning => ("WARNING", style::WARNING),
            Level::Problem => ("PROBLEM", style::ERROR),
        };
        let margin = " ".repeat(width + 13);
        // An error may have lines of its own.
        let found = self.found.replace('\n', &format!("\n{margin}"));
        let _ =
            writeln!(text, "  {}  {:width$}  {found}", style::paint(paint, format!("{word:7}")), self.what);
        if let Some(advice) = &self.advice {
            let _ = writeln!(text, "           {advice}");
        }
        for command in &self.commands {
            let _ = writeln!(text, "             {command}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>, is_root: bool) -> Report {
        Report::new(vec![Area { area: "Units", findings }], is_root)
    }

    #[test]
    fn the_worst_decides_the_exit_and_what_could_not_be_told_is_no_all_clear() {
        let ok = || Finding::ok("a", "right");
        let exit = |findings| report(findings, true).exit();
        assert_eq!(exit(vec![ok()]), Exit::Well);
        assert_eq!(exit(vec![ok(), Finding::note("b", "worth knowing")]), Exit::Well);
        assert_eq!(exit(vec![ok(), Finding::unknown("b", "not told")]), Exit::CannotTell);
        assert_eq!(
            exit(vec![Finding::warning("b", "bad"), Finding::unknown("c", "not told")]),
            Exit::NotWell
        );
        assert_eq!(exit(vec![ok(), Finding::problem("b", "worse")]), Exit::NotWell);
    }

    #[test]
    fn the_end_says_how_much_there_is_to_do() {
        let end = |findings, is_root| report(findings, is_root).text().lines().last().unwrap().to_owned();
        assert_eq!(end(vec![Finding::ok("a", "right")], false), "Nothing to do.");
        let wrong = vec![Finding::problem("a", ""), Finding::problem("b", ""), Finding::warning("c", "")];
        assert_eq!(end(wrong, true), "2 problems, 1 warning.");
        assert_eq!(
            end(vec![Finding::unknown("a", "")], false),
            "Nothing to do, but 1 thing could not be looked at; `sudo wellkeep doctor` sees more."
        );
    }

    #[test]
    fn what_to_do_stands_below_and_root_needs_no_sudo() {
        let finding =
            || Finding::problem("x.service", "masked").advise("Unmask it:").run("sudo systemctl unmask x");
        let text = report(vec![finding()], true).text();
        let lines: Vec<&str> = text.lines().skip(2).take(2).map(str::trim).collect();
        assert_eq!(lines, ["Unmask it:", "systemctl unmask x"], "{text}");
        assert!(report(vec![finding()], false).text().contains("sudo systemctl unmask x"));
    }
}
