//! The pages of section 1: what `--help` says, in the sections that readers of man pages look for.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::cli::Cli;

/// What the installed command reads and writes.
const FILES: [(&str, &str); 5] = [
    ("/etc/wellkeep/monitor.yml", "the configuration; see monitor.yml(5)"),
    ("/etc/wellkeep/monitor.d/*.yml", "parts of it, one for each program that brings its own"),
    ("/var/lib/wellkeep/status.json", "the document; see wellkeep-status.json(5)"),
    (
        "/var/lib/wellkeep/",
        "incidents with their evidence, the ledger of decisions, pauses that people asked for",
    ),
    ("/usr/share/doc/wellkeep/examples/", "reverse proxies, Prometheus and Grafana"),
];

/// A page, and its file name.
pub(super) struct Page {
    pub(super) file: String,
    pub(super) text: String,
}

/// The page of the program, with `more` sections before the last one, and those of its commands.
pub(super) fn pages(more: &str) -> Vec<Page> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let mut pages: Vec<Page> =
        commands.map(|command| page(command, "", "wellkeep(1), monitor.yml(5)")).collect();
    pages.insert(
        0,
        page(&program, more, "monitor.yml(5), wellkeep-status.json(5), systemctl(1), journalctl(1)"),
    );
    pages
}

fn page(command: &Command, more: &str, related: &str) -> Page {
    // clap would call the command by its last word alone.
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(concat!("wellkeep ", env!("CARGO_PKG_VERSION")))
        .manual("Wellkeep");
    let file = format!("{name}.1");
    let mut text = Vec::new();
    let write = |text: &mut Vec<u8>| -> io::Result<()> {
        man.render_title(text)?;
        man.render_name_section(text)?;
        man.render_synopsis_section(text)?;
        man.render_description_section(text)?;
        man.render_options_section(text)?;
        if command.has_subcommands() {
            man.render_subcommands_section(text)?;
        }
        Ok(())
    };
    write(&mut text).expect("a page is written to memory");
    let mut text = String::from_utf8_lossy(&text).into_owned();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    text += &sections(&after);
    text += more;
    let mut roff = Roff::new();
    if command.has_subcommands() {
        roff.control("SH", ["FILES"]);
        for (path, what) in FILES {
            roff.control("TP", []);
            roff.text([bold(path)]);
            roff.text([roman(what)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(related)]);
    text += &roff.render();
    // Each part begins with the same two lines, which define how an apostrophe is written; the page needs them once.
    let preamble = Roff::new().render();
    Page { file, text: preamble.clone() + &text.replace(&preamble, "") }
}

/// What `--help` says after the options: its examples and its exit codes each under the heading of their kind.
fn sections(after: &str) -> String {
    let (mut notes, mut examples, mut codes) = (Vec::new(), None, None);
    for paragraph in after.split("\n\n") {
        if let Some(lines) = paragraph.strip_prefix("Examples:\n") {
            examples = Some(lines);
        } else if let Some(words) = paragraph.strip_prefix("Exit codes: ") {
            codes = Some(words);
        } else if !paragraph.trim().is_empty() {
            notes.push(paragraph);
        }
    }
    let mut roff = Roff::new();
    if !notes.is_empty() {
        roff.control("SH", ["NOTES"]);
    }
    for note in notes {
        roff.control("PP", []);
        roff.text([roman(note)]);
    }
    if let Some(lines) = examples {
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    if let Some(words) = codes {
        roff.control("SH", ["EXIT STATUS"]);
        roff.text([roman(words)]);
    }
    roff.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples_and_related_pages_in_sections_of_their_own() {
        let pages = pages("");
        assert!(pages.len() > 15, "{}", pages.len());
        for Page { file, text } in pages {
            assert!(
                text.contains(".SH EXAMPLES\n.nf\n") && text.contains(".SH \"SEE ALSO\""),
                "{file}\n{text}"
            );
            assert!(!text.contains("Examples:") && !text.contains("Exit codes:"), "{file}\n{text}");
        }
    }

    #[test]
    fn a_page_is_named_as_the_command_is_called() {
        let pages = pages("");
        let status = pages.iter().find(|page| page.file == "wellkeep-status.1").unwrap();
        assert!(status.text.contains(".TH WELLKEEP-STATUS 1"), "{}", status.text);
        assert!(status.text.contains(".SH \"EXIT STATUS\""), "{}", status.text);
        assert_eq!(pages[0].file, "wellkeep.1");
        assert!(pages[0].text.contains(".SH FILES"), "{}", pages[0].text);
    }
}
