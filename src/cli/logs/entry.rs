//! An entry of the journal, for people.

use anstyle::Style;
use serde::Deserialize;
use serde_json::Value;

use super::selection::{MONITOR, VIEWER};
use crate::cli::style::{self, paint};
use crate::cli::words::harmless;
use crate::status::Timestamp;

/// The column of the text, at least: `14:02:47 ` and a name with a number in brackets.
const SOURCE_WIDTH: usize = 16;

/// What is read of an entry. The journal's values are texts; what is no text, or steers a terminal, comes as a list of
/// bytes, and a field that was given several times as a list of values.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "__REALTIME_TIMESTAMP", default)]
    micros: Value,
    #[serde(rename = "MESSAGE", default)]
    message: Value,
    #[serde(rename = "PRIORITY", default)]
    priority: Value,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    identifier: Value,
    #[serde(rename = "_COMM", default)]
    command: Value,
    #[serde(rename = "_PID", default)]
    pid: Value,
    #[serde(rename = "_SYSTEMD_UNIT", default)]
    unit: Value,
}

/// Turns the journal's entries into lines.
#[derive(Debug, Default)]
pub(super) struct Printer {
    /// The day of the line before.
    day: String,
}

impl Printer {
    /// `14:02:47 web[812]        text`, and before it the day where that is another than before.
    pub(super) fn shown(&mut self, json: &str) -> String {
        let Ok(entry) = serde_json::from_str::<Entry>(json) else {
            return format!("{}\n", harmless(json));
        };
        let at = text(&entry.micros).parse().unwrap_or(0);
        let at = Timestamp::from_millis(at / 1000).to_string();
        let (day, time) = at.trim_end_matches('Z').split_once('T').unwrap_or(("", &at));
        let mut shown = String::new();
        if self.day != day {
            day.clone_into(&mut self.day);
            shown += &paint(style::FAINT, format!("-- {day} UTC --"));
            shown.push('\n');
        }
        let (source, emphasis) = entry.source();
        let message = text(&entry.message);
        // The first line beside its source, the others below it.
        let margin = " ".repeat(time.len() + 1 + source.chars().count().max(SOURCE_WIDTH) + 2);
        let message = harmless(&without_colours(message.trim_end())).replace('\n', &format!("\n{margin}"));
        shown += &format!(
            "{} {}  {}\n",
            paint(style::FAINT, time),
            paint(emphasis, format_args!("{source:<SOURCE_WIDTH$}")),
            paint(entry.colour(), message)
        );
        shown
    }
}

impl Entry {
    /// Who says it: `web[812]`, `systemd`, `wellkeep`.
    fn source(&self) -> (String, Style) {
        match text(&self.unit).as_str() {
            MONITOR => return ("wellkeep".to_owned(), style::BOLD),
            VIEWER => return ("wellkeep viewer".to_owned(), style::BOLD),
            _ => {}
        }
        let named = [&self.identifier, &self.command].map(text);
        let name = named.iter().find(|name| !name.is_empty()).map_or("unknown", String::as_str);
        let name = harmless(name).replace('\n', " ");
        let pid = text(&self.pid);
        let source = if pid.is_empty() || pid == "1" { name } else { format!("{name}[{pid}]") };
        (source, Style::new())
    }

    fn colour(&self) -> Style {
        match text(&self.priority).as_str() {
            "0" | "1" | "2" | "3" => style::ERROR,
            "4" => style::WARNING,
            _ => Style::new(),
        }
    }
}

/// A value of the journal as text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(Value::is_u64) => {
            let bytes = values.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok());
            String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
        }
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// Without the colours that a program gave its own lines (`ESC[1;31m`): they are for a terminal that it believed to have.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ';');
        match rest.strip_prefix('m') {
            Some(rest) => plain += rest,
            None => plain.extend(["\x1b[", part]),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// At 14:02:47 of the day of the tests, and so many seconds later.
    fn entry(later: u64, fields: Value) -> String {
        let mut entry =
            json!({"__REALTIME_TIMESTAMP": (1_795_442_567 + later).to_string().to_owned() + "000000"});
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        entry.to_string()
    }

    fn shown(printer: &mut Printer, entry: &str) -> String {
        anstream::adapter::strip_str(&printer.shown(entry)).to_string()
    }

    #[test]
    fn lines_of_all_say_when_and_who_and_the_day_only_where_it_changes() {
        let mut printer = Printer::default();
        let web = entry(0, json!({"SYSLOG_IDENTIFIER": "web", "_PID": "812", "MESSAGE": "text"}));
        assert_eq!(shown(&mut printer, &web), "-- 2026-11-23 UTC --\n14:02:47 web[812]          text\n");
        let ours = entry(3, json!({"_SYSTEMD_UNIT": MONITOR, "_PID": "7", "MESSAGE": "web: down"}));
        assert_eq!(shown(&mut printer, &ours), "14:02:50 wellkeep          web: down\n");
        let systemd =
            entry(86_400, json!({"SYSLOG_IDENTIFIER": "systemd", "_PID": "1", "MESSAGE": "Started"}));
        assert!(shown(&mut printer, &systemd).starts_with("-- 2026-11-24 UTC --\n14:02:47 systemd    "));
    }

    #[test]
    fn a_traceback_stands_below_its_first_line_and_nothing_in_it_steers_the_terminal() {
        let message = "one\n\ttwo\x1b]0;title\x07\n";
        let blob = entry(0, json!({"_COMM": "web", "MESSAGE": message.as_bytes()}));
        let text = shown(&mut Printer::default(), &blob);
        let margin = " ".repeat("14:02:47 ".len() + SOURCE_WIDTH + 2);
        assert!(
            text.ends_with(&format!("web               one\n{margin}\ttwo\\x1b]0;title\\x07\n")),
            "{text:?}"
        );
    }

    #[test]
    fn bytes_that_are_no_text_and_fields_given_twice_are_shown_all_the_same() {
        let odd = entry(0, json!({"_COMM": "web", "MESSAGE": [104, 105, 255]}));
        assert!(shown(&mut Printer::default(), &odd).ends_with("hi\u{fffd}\n"));
        let twice = entry(0, json!({"_COMM": ["a", "b"], "MESSAGE": ["one", [116, 119, 111]]}));
        let text = shown(&mut Printer::default(), &twice);
        assert!(text.contains(" a b ") && text.contains("one\n") && text.ends_with(" two\n"), "{text:?}");
        assert_eq!(shown(&mut Printer::default(), "no JSON \x1b"), "no JSON \\x1b\n");
    }

    #[test]
    fn the_colours_of_a_program_are_left_out_and_other_sequences_stay_to_be_seen() {
        assert_eq!(without_colours("\x1b[1;31mERROR\x1b[0m text\x1b[m"), "ERROR text");
        assert_eq!(without_colours("\x1b[2J\x1b[x"), "\x1b[2J\x1b[x");
    }
}
