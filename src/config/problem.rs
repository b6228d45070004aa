//! What is wrong with a configuration, and where.

use std::fmt;

/// More problems than this are counted and not shown: who has mended fifty looks again anyway.
const SHOWN: usize = 50;

/// A longer line is not repeated below its problem.
const EXCERPT_WIDTH: usize = 160;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

/// One thing that is wrong with a configuration.
///
/// As text: `FILE:LINE:COLUMN: PATH: MESSAGE; HELP`. What a `${VARIABLE}` stands for is never part of it. The
/// alternate form (`{:#}`) is for a terminal: below stands the line itself, which may hold what a person would not
/// want in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The place in the file; none when the file as a whole is meant.
    pub place: Option<Place>,
    /// What is meant: `services[0].interval`; empty for a whole file.
    pub path: String,
    /// What was found, and what is wrong with it.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The line at the place, as it stands in the file.
    pub source_line: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        match (self.place, &self.source_line) {
            (Some(place), Some(line)) if f.alternate() => write_excerpt(f, place, line),
            _ => Ok(()),
        }
    }
}

/// The line and, below its column, a caret.
fn write_excerpt(f: &mut fmt::Formatter<'_>, place: Place, line: &str) -> fmt::Result {
    if line.chars().count() > EXCERPT_WIDTH {
        return Ok(());
    }
    let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let before = " ".repeat(place.column.saturating_sub(1));
    write!(f, "\n  {number} | {shown}\n  {margin} | {before}^")
}

/// Everything that is wrong with a configuration, in the order of the files; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    shown: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// Of problems in the order of the files. `place` is asked for the first fifty only.
    pub(super) fn new<T>(all: Vec<T>, place: impl FnMut(T) -> Problem) -> Problems {
        let more = all.len().saturating_sub(SHOWN);
        Problems { shown: all.into_iter().take(SHOWN).map(place).collect(), more }
    }

    /// The problems, at most fifty.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.shown.iter()
    }

    /// How many problems there are, also those that are not shown.
    pub fn count(&self) -> usize {
        self.shown.len() + self.more
    }
}

impl From<Box<Problem>> for Problems {
    fn from(problem: Box<Problem>) -> Problems {
        Problems { shown: vec![*problem], more: 0 }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.shown.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            // Hands `{:#}` on.
            fmt::Display::fmt(problem, f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Problems {}
