//! Who takes the lines: the journal, or stderr.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tracing::Dispatch;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt;

use super::line::Level;
use super::{Line, LogFormat};
use crate::cli::style::{self, paint};
use crate::cli::words::harmless;

/// Where the journal takes lines with fields.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// A journal that is not there is tried again so often.
const PAUSE: Duration = Duration::from_millis(100);

/// Where lines go.
pub(super) struct Sink {
    journal: Option<Dispatch>,
    form: Form,
    stderr: Option<File>,
}

/// How a line looks on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text {
        colour: bool,
    },
    Json,
    /// With systemd's marks of the priority, for a stderr that is the journal.
    Marked,
}

impl Sink {
    /// The journal if stderr is it and nothing else is asked for, else stderr.
    pub(super) fn open(format: Option<LogFormat>) -> Sink {
        let journal = if format.is_none() && stderr_is_the_journal() { journal() } else { None };
        let form = match format {
            _ if journal.is_some() => Form::Marked,
            Some(LogFormat::Json) => Form::Json,
            _ => {
                let choice = anstream::AutoStream::choice(&std::io::stderr());
                Form::Text { colour: choice != anstream::ColorChoice::Never }
            }
        };
        // Not std's stderr: a write that hangs would hold its lock, which others wait for.
        let stderr = std::io::stderr().as_fd().try_clone_to_owned().ok().map(File::from);
        Sink { journal, form, stderr }
    }

    /// Writes a line, however long that takes. There is nobody to tell when it fails.
    pub(super) fn write(&mut self, line: &Line) {
        match (&self.journal, line.callsite) {
            (Some(journal), Some(callsite)) => {
                wait_for_journal();
                line.repeat(callsite, journal);
            }
            // Why the program ends goes to the journal by stderr. The journal looks up whose line it is when it reads it, and
            // from a process that is gone by then it would be nobody's: `systemctl status` would not show it.
            _ => {
                if let Some(stderr) = &mut self.stderr {
                    let _ = stderr.write_all(self.form.of(line).as_bytes());
                }
            }
        }
    }
}

impl Form {
    fn of(self, line: &Line) -> String {
        match self {
            Form::Json => serde_json::to_string(line).unwrap_or_default() + "\n",
            Form::Marked => line.message.lines().map(|text| format!("<3>{text}\n")).collect(),
            Form::Text { colour } => {
                let text = text(line);
                if colour { text } else { anstream::adapter::strip_str(&text).to_string() }
            }
        }
    }
}

/// A line for people, with colours.
fn text(line: &Line) -> String {
    let message = harmless(&line.message);
    if line.callsite.is_none() {
        return format!("{} {message}\n", paint(style::ERROR, "error:"));
    }
    let level = match line.level {
        Level::Error => paint(style::ERROR, "ERROR"),
        Level::Warning => paint(style::WARNING, " WARN"),
        Level::Info => paint(style::PASS, " INFO"),
    };
    format!("{} {level} {message}\n", paint(style::FAINT, line.at))
}

/// The journal as a listener of tracing; none when it cannot be reached.
fn journal() -> Option<Dispatch> {
    let levels =
        PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
    let layer = tracing_journald::layer()
        .ok()?
        .with_field_prefix(Some("WELLKEEP".to_owned()))
        .with_syslog_identifier("wellkeep".to_owned())
        .with_priority_mappings(levels);
    // Only what `Collector` let pass comes here, so there is no filter.
    Some(Dispatch::new(tracing_subscriber::registry().with(layer)))
}

/// Waits while nobody listens on the journal's socket, as when the socket itself is made anew: tracing-journald does not tell
/// that a line found nobody.
fn wait_for_journal() {
    let Ok(socket) = UnixDatagram::unbound() else { return };
    while socket.connect(JOURNAL).is_err() {
        std::thread::sleep(PAUSE);
    }
}

/// systemd names the journal's stream in `$JOURNAL_STREAM` as `device:inode`; stderr may have been redirected since.
fn stderr_is_the_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() else {
        return false;
    };
    let Ok(metadata) = File::from(stderr).metadata() else {
        return false;
    };
    stream.to_string_lossy() == format!("{}:{}", metadata.dev(), metadata.ino())
}
