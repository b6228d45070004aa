//! A line of the log as a value of its own. tracing's events are borrowed from whoever speaks, so none of them can wait.

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Metadata, Value};

use crate::log::Kind;
use crate::monitor::wall_clock;
use crate::status::Timestamp;

/// A line of the log. As JSON it is one object on one line, with these fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::cli) struct Line {
    /// When it was said: RFC 3339 in UTC, with milliseconds.
    #[serde(rename = "time", serialize_with = "with_millis")]
    #[schemars(with = "String")]
    pub(super) at: Timestamp,
    /// How serious it is. In the journal the priority: err, warning, info.
    pub(super) level: Level,
    /// What is told, in words. It stands alone; the fields repeat what programs need of it.
    pub(super) message: String,
    /// The key of the service it is about. In the journal WELLKEEP_SERVICE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<String>,
    /// What it is about: one of the words below. In the journal WELLKEEP_EVENT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<String>,
    /// The incident it belongs to, as in wellkeep history. In the journal WELLKEEP_INCIDENT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) incident: Option<String>,
    /// Where in the program it was said; none for why the program ends.
    #[serde(skip)]
    pub(super) callsite: Option<&'static Metadata<'static>>,
}

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Level {
    /// Something is down, or a person is needed.
    Error,
    /// Something was done, or may become worse.
    Warning,
    /// Good to know.
    Info,
}

impl Line {
    /// The line that an event makes. Fields that are none of ours belong to the libraries we use, and their text does.
    pub(super) fn of(event: &Event<'_>) -> Line {
        let callsite = event.metadata();
        let level = match *callsite.level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            _ => Level::Info,
        };
        let mut line = Line {
            at: wall_clock(),
            level,
            message: String::new(),
            service: None,
            event: None,
            incident: None,
            callsite: Some(callsite),
        };
        event.record(&mut line);
        line
    }

    /// Why the program ends.
    pub(super) fn last_words(event: Kind, message: String) -> Line {
        Line {
            at: wall_clock(),
            level: Level::Error,
            message,
            service: None,
            event: Some(event.as_str().to_owned()),
            incident: None,
            callsite: None,
        }
    }

    /// Says it again to somebody else: with the fields that it has, and from where it was first said.
    pub(super) fn repeat(&self, callsite: &'static Metadata<'static>, listener: &Dispatch) {
        let fields = callsite.fields();
        let Some(message) = fields.field("message") else { return };
        let told = [
            ("message", Some(&self.message)),
            ("service", self.service.as_ref()),
            ("event", self.event.as_ref()),
            ("incident", self.incident.as_ref()),
        ];
        let told = told.map(|(name, text)| (fields.field(name), text.map(|text| text as &dyn Value)));
        // A field that the callsite does not have has no value either.
        let values = told.each_ref().map(|(field, text)| match field {
            Some(field) => (field, *text),
            None => (&message, None),
        });
        listener.event(&Event::new(callsite, &fields.value_set(&values)));
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "service" => Some(&mut self.service),
            "event" => Some(&mut self.event),
            "incident" => Some(&mut self.incident),
            _ => None,
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else if let Some(place) = self.field(field.name()) {
            *place = Some(format!("{value:?}"));
        }
    }
}

fn with_millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    serializer.collect_str(&format_args!("{at:.3}"))
}
