//! `wellkeep schema`

use clap::Args;

use super::{Exit, print};
use crate::status::Document;

/// Written by hand, for the configuration is read by hand: tests hold the two together.
const MONITOR_YML: &str = include_str!("../../config/monitor.schema.json");

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep schema > status.schema.json\n  \
    wellkeep schema monitor.yml > monitor.schema.json     for editors: a first line in the file like\n  \
    # yaml-language-server: $schema=/usr/share/wellkeep/monitor.schema.json\n\n\
    The Debian package has them in /usr/share/wellkeep.")]
pub(super) struct Arguments {
    /// Of what
    #[arg(value_name = "FILE", default_value = "status.json", value_parser = ["status.json", "monitor.yml"])]
    of: String,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    if arguments.of == "monitor.yml" {
        print(MONITOR_YML);
        return Exit::Well;
    }
    let schema = schemars::schema_for!(Document);
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    print(&(text + "\n"));
    Exit::Well
}
