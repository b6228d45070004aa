//! `wellkeep check`

use std::path::PathBuf;

use clap::Args;

use super::{ConfigFile, Exit, complain, environment, print};
use crate::config::{self, Checked};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep check                      the configuration in use\n  \
    wellkeep check ./monitor.yml && sudo cp monitor.yml /etc/wellkeep/\n\n\
    Exit codes: 0 right, 78 wrong.")]
pub(super) struct Arguments {
    /// The file to check, instead of --config
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let path = arguments.file.unwrap_or(arguments.config.config);
    match config::check(&path, &environment) {
        Ok(Checked { services, checks, unread_credentials, heal_not_applied, left_out, .. }) => {
            let s = |count: usize| if count == 1 { "" } else { "s" };
            let mut text = format!(
                "{}: right; {services} service{}, {checks} check{}\n",
                path.display(),
                s(services),
                s(checks)
            );
            for name in unread_credentials {
                text += &format!(
                    "note: the credential {name} can be read only by the unit; it is checked when that starts\n"
                );
            }
            for (key, why) in heal_not_applied {
                text += &format!("note: {key} is not healed, although `defaults` say so: {why}\n");
            }
            for (key, path) in left_out {
                text += &format!("note: {key} is left out: {} does not exist here\n", path.display());
            }
            print(&text);
            Exit::Well
        }
        Err(problems) => {
            complain(format_args!("{problems:#}"));
            Exit::WrongConfig
        }
    }
}
