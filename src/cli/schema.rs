//! `wellkeep schema`

use clap::Args;

use super::{Exit, print};
use crate::{config, status};

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
        print(config::SCHEMA);
        return Exit::Well;
    }
    print(&status::schema::<status::Document>());
    Exit::Well
}
