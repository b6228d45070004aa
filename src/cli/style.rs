//! Colours, for a terminal alone: `anstream` takes them out elsewhere and under `NO_COLOR`.

use anstyle::{AnsiColor, Style};

pub(super) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const PASS: Style = AnsiColor::Green.on_default().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const BOLD: Style = Style::new().bold();

/// A text in a style.
pub(super) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}
