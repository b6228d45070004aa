//! `wellkeep man`: the man pages, from the same sources as `--help`, the shipped `monitor.yml` and the JSON Schema, so
//! that none of them can be out of date.

mod command;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use roff::{Roff, bold, roman};
use serde_json::Value;

use super::log::{Line, ROOM};
use super::{Exit, complain, print};
use crate::log::Kind;
use crate::status::Document;

/// The shipped configuration, which explains every setting.
const EXAMPLE: &str = include_str!("../../config/monitor.yml");

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep man | man -l -                      read it\n  \
    wellkeep man monitor.yml | man -l -          the configuration\n  \
    wellkeep man --dir /usr/local/share/man      install all pages\n\n\
    The Debian package brings them along.")]
pub(super) struct Arguments {
    /// Which page
    #[arg(value_name = "PAGE", default_value = "wellkeep", value_parser = ["wellkeep", "monitor.yml", "wellkeep-status.json"])]
    page: String,
    /// Write all pages into this folder, under man1/ and man5/
    #[arg(long, value_name = "DIR", conflicts_with = "page")]
    dir: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    if let Some(folder) = arguments.dir {
        return match write_all(&folder) {
            Ok(()) => Exit::Well,
            Err(error) => {
                complain(format_args!("cannot write the man pages into {}: {error}", folder.display()));
                Exit::CannotTell
            }
        };
    }
    let text = match arguments.page.as_str() {
        "monitor.yml" => configuration(),
        "wellkeep-status.json" => document(),
        _ => command(),
    };
    print(&text);
    Exit::Well
}

fn write_all(folder: &Path) -> io::Result<()> {
    let (commands, files) = (folder.join("man1"), folder.join("man5"));
    std::fs::create_dir_all(&commands)?;
    std::fs::create_dir_all(&files)?;
    for page in command::pages(&logging()) {
        std::fs::write(commands.join(page.file), page.text)?;
    }
    std::fs::write(files.join("monitor.yml.5"), configuration())?;
    std::fs::write(files.join("wellkeep-status.json.5"), document())
}

/// wellkeep(1).
fn command() -> String {
    command::pages(&logging()).swap_remove(0).text
}

fn logging() -> String {
    let schema = |schema: schemars::Schema| serde_json::to_value(schema).expect("a schema is plain JSON");
    let line = schema(schemars::schema_for!(Line));
    let mut roff = Roff::new();
    roff.control("SH", ["LOGGING"]);
    roff.text([roman(
        "The monitor and the viewer log to the journal where their stderr is the journal, each line once, and to stderr \
         elsewhere: --log-format text for people, json for programs. Read it with wellkeep logs, or with journalctl -u \
         wellkeep-monitor WELLKEEP_SERVICE=web. Why they could not begin, or ended by a fault, comes to the journal by \
         stderr, with its priority and without fields.",
    )]);
    roff.control("PP", []);
    roff.text([roman(format!(
        "Nothing waits for the log: while the journal hangs, or nobody reads stderr, {ROOM} lines wait. More are lost, and \
         their number is told when it goes on. A line of JSON has these fields, and what is in the journal is named with \
         them:"
    ))]);
    fields(&mut roff, &line);
    roff.control("SS", ["level"]);
    values(&mut roff, &line["$defs"]["Level"]);
    roff.control("SS", ["event"]);
    values(&mut roff, &schema(schemars::schema_for!(Kind)));
    roff.render()
}

fn page(name: &str, section: &str, about: &str) -> Roff {
    let mut roff = Roff::new();
    let source = concat!("wellkeep ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [name, section, "", source, "Wellkeep"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);
    roff
}

/// monitor.yml(5): the shipped file itself, its explanations as text and its settings as they are written.
fn configuration() -> String {
    let mut roff = page("monitor.yml", "5", "what Wellkeep watches on this machine");
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman("/etc/wellkeep/monitor.yml")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "The configuration of wellkeep-monitor.service and wellkeep-viewer.service, in YAML. What follows is the file as it \
         is shipped, with every setting and its default.",
    )]);
    for block in Block::all_of(EXAMPLE) {
        match block {
            Block::Words(words) => {
                roff.control("PP", []);
                roff.text([roman(words)]);
            }
            Block::Settings(lines) => {
                roff.control("PP", []);
                roff.control("RS", ["4"]);
                roff.control("nf", []);
                for line in lines {
                    roff.text([bold(line)]);
                }
                roff.control("fi", []);
                roff.control("RE", []);
            }
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("wellkeep(1), wellkeep-check(1), wellkeep-status.json(5)")]);
    roff.render()
}

/// A part of the shipped configuration.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// What `##` explains.
    Words(String),
    /// Settings, also those that are switched off by `#`.
    Settings(Vec<String>),
}

impl Block {
    fn all_of(text: &str) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for line in text.lines() {
            let switched_on = line.strip_prefix('#').filter(|rest| !rest.starts_with('#')).unwrap_or(line);
            if let Some(words) = switched_on.trim_start().strip_prefix("##") {
                let words = words.trim();
                match blocks.last_mut() {
                    Some(Block::Words(before)) if !words.is_empty() => {
                        let _ = write!(before, " {words}");
                    }
                    _ if words.is_empty() => blocks.push(Block::Words(String::new())),
                    _ => blocks.push(Block::Words(words.to_owned())),
                }
            } else if !switched_on.trim().is_empty() {
                match blocks.last_mut() {
                    Some(Block::Settings(lines)) => lines.push(switched_on.to_owned()),
                    _ => blocks.push(Block::Settings(vec![switched_on.to_owned()])),
                }
            } else if let Some(Block::Settings(lines)) = blocks.last_mut() {
                lines.push(String::new());
            }
        }
        blocks.retain(|block| *block != Block::Words(String::new()));
        for block in &mut blocks {
            match block {
                Block::Words(words) => *words = words.trim().to_owned(),
                Block::Settings(lines) => {
                    while lines.last().is_some_and(String::is_empty) {
                        lines.pop();
                    }
                }
            }
        }
        blocks
    }
}

/// wellkeep-status.json(5), from the document's JSON Schema.
fn document() -> String {
    let schema = schemars::schema_for!(Document);
    let schema = serde_json::to_value(&schema).expect("a schema is plain JSON");
    let mut roff = page("wellkeep-status.json", "5", "what Wellkeep found, for everybody to read");
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman("/var/lib/wellkeep/status.json")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "Written whole by wellkeep-monitor.service within 100 ms of a change and every 5 s at the latest. Whoever reads it \
         calls it stale when generated_at is older than stale_after_s, or when boot_id is not the one of this boot. \
         Fields may be added; those that are here keep their meaning while `schema` stays the same. The JSON Schema is \
         printed by wellkeep schema.",
    )]);
    roff.control("SH", ["THE DOCUMENT"]);
    fields(&mut roff, &schema);
    if let Some(parts) = schema["$defs"].as_object() {
        for (name, part) in parts {
            roff.control("SH", [name.to_uppercase().as_str()]);
            if let Some(words) = part["description"].as_str() {
                roff.text([roman(flowing(words))]);
            }
            fields(&mut roff, part);
            values(&mut roff, part);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("wellkeep(1), wellkeep-schema(1), monitor.yml(5)")]);
    roff.render()
}

/// The fields of an object, each with its type and what it means.
fn fields(roff: &mut Roff, part: &Value) {
    let required = |name: &str| {
        part["required"].as_array().is_some_and(|required| required.iter().any(|field| field == name))
    };
    for (name, field) in part["properties"].as_object().into_iter().flatten() {
        roff.control("TP", []);
        let optional = if required(name) { "" } else { ", may be absent" };
        roff.text([bold(name.as_str()), roman(format!(" ({}{optional})", type_of(field)))]);
        roff.text([roman(flowing(field["description"].as_str().unwrap_or_default()))]);
    }
}

/// The values of a set of words.
fn values(roff: &mut Roff, part: &Value) {
    for value in part["oneOf"].as_array().into_iter().flatten() {
        let Some(word) = value["const"].as_str() else { continue };
        roff.control("TP", []);
        roff.text([bold(word)]);
        roff.text([roman(flowing(value["description"].as_str().unwrap_or_default()))]);
    }
}

/// The type of a field in few words.
fn type_of(field: &Value) -> String {
    if let Some(name) = field["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return name.to_owned();
    }
    if let Some(choice) = field["anyOf"].as_array().and_then(|choices| choices.first()) {
        return type_of(choice);
    }
    match &field["type"] {
        Value::String(name) if name == "array" => format!("list of {}", type_of(&field["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => names.first().and_then(Value::as_str).unwrap_or("any").to_owned(),
        _ => "object".to_owned(),
    }
}

/// Text that was broken into lines for the source, and its links to other items, for a reader.
fn flowing(words: &str) -> String {
    words
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("[`", "")
        .replace("`]", "")
        .replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_shipped_configuration_and_its_explanation_are_on_the_page() {
        let page = configuration();
        for words in ["failure_threshold: 3", "A secret is", "heal", "certificate_days: 14"] {
            assert!(page.replace("\\-", "-").contains(words), "{words}\n{page}");
        }
        assert!(!page.lines().any(|line| line.starts_with("##")), "the marks are for the file alone");
    }

    #[test]
    fn the_page_of_the_document_has_every_field_with_its_meaning() {
        let page = document();
        for field in ["sequence", "consecutive_failures", "stale_after_s", "cannot_heal", "budget"] {
            assert!(page.contains(&format!("\\fB{field}\\fR")), "{field}\n{page}");
        }
        assert!(page.contains("ok_count + fail_count == total"), "{page}");
    }

    #[test]
    fn the_page_of_the_command_has_the_fields_and_the_words_of_the_log() {
        let page = command().replace("\\-", "-");
        for word in ["time", "incident", "transition", "heal_failed", "warning"] {
            assert!(page.contains(&format!("\\fB{word}\\fR")), "{word}\n{page}");
        }
        assert!(page.contains("WELLKEEP_SERVICE") && page.contains("wellkeep-logs(1)"), "{page}");
    }

    #[test]
    fn a_setting_that_is_switched_off_stands_with_those_that_are_on() {
        let blocks = Block::all_of("## Words\n## and more.\na: 1\n#b: 2\n#  ## Others.\n#  c: 3\n");
        let settings =
            |lines: &[&str]| Block::Settings(lines.iter().map(|line| (*line).to_owned()).collect());
        assert_eq!(
            blocks,
            [
                Block::Words("Words and more.".to_owned()),
                settings(&["a: 1", "b: 2"]),
                Block::Words("Others.".to_owned()),
                settings(&["  c: 3"]),
            ]
        );
    }
}
