//! `wellkeep schema`

use clap::{Args, ValueEnum};

use super::{Exit, print};
use crate::config;
use crate::status::history::{History, Incidents};
use crate::status::{self, Document};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep schema > status.schema.json\n  \
    wellkeep schema monitor.yml > monitor.schema.json     for editors: a first line in the file like\n  \
    # yaml-language-server: $schema=/usr/share/wellkeep/monitor.schema.json\n\n\
    The Debian package has them in /usr/share/wellkeep.")]
pub(super) struct Arguments {
    /// Of what
    #[arg(value_enum, default_value_t = Of::Document)]
    of: Of,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// What the monitor writes, and /api/status answers
    #[value(name = "status.json")]
    Document,
    /// What /api/history/KEY answers
    History,
    /// What /api/incidents answers
    Incidents,
    /// The configuration
    #[value(name = "monitor.yml")]
    Configuration,
}

pub(super) fn run(Arguments { of }: Arguments) -> Exit {
    match of {
        Of::Document => print(&status::schema::<Document>()),
        Of::History => print(&status::schema::<History>()),
        Of::Incidents => print(&status::schema::<Incidents>()),
        Of::Configuration => print(config::SCHEMA),
    };
    Exit::Well
}
