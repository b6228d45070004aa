//! Where the log goes: to the journal with fields when stderr is the journal, else to stderr. Never to both.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use clap::ValueEnum;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The form of the log on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Sets the log up, once.
pub(super) fn start(format: Option<LogFormat>) {
    let registry = tracing_subscriber::registry().with(LevelFilter::INFO);
    if format.is_none()
        && stderr_is_the_journal()
        && let Ok(layer) = tracing_journald::layer()
    {
        let levels = PriorityMappings {
            info: Priority::Informational,
            debug: Priority::Debug,
            ..PriorityMappings::new()
        };
        let layer = layer
            .with_field_prefix(Some("WELLKEEP".to_owned()))
            .with_syslog_identifier("wellkeep".to_owned())
            .with_priority_mappings(levels);
        registry.with(layer).init();
        return;
    }
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    match format.unwrap_or(LogFormat::Text) {
        LogFormat::Text => {
            let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
            let fields = tracing_subscriber::fmt::format::debug_fn(|writer, field, value| {
                // The fields repeat what the text says; they are for the journal and for JSON.
                if field.name() == "message" { write!(writer, "{value:?}") } else { Ok(()) }
            });
            registry.with(stderr.with_ansi(colour).with_timer(Utc).fmt_fields(fields)).init();
        }
        LogFormat::Json => {
            registry.with(stderr.json().with_timer(Utc).flatten_event(true)).init();
        }
    }
}

/// The time of a log line, like all our times: RFC 3339 in UTC.
struct Utc;

impl tracing_subscriber::fmt::time::FormatTime for Utc {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", crate::monitor::wall_clock())
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
    let Ok(metadata) = std::fs::File::from(stderr).metadata() else {
        return false;
    };
    stream.to_string_lossy() == format!("{}:{}", metadata.dev(), metadata.ino())
}
