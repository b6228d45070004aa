//! `wellkeep release`

use clap::{ArgGroup, Args};

use super::document::{Located, Source};
use super::hold::{await_document, not_written};
use super::{Exit, ended};
use crate::monitor::wall_clock;
use crate::store::holds;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["key", "all"]).required(true))]
#[command(after_help = "Examples:\n  \
    sudo wellkeep release web\n  \
    sudo wellkeep release --all         the hold of all; those of single services stay\n\n\
    Exit codes: 0 it is released, or was not on hold; 2 it is not, or no monitor has noticed yet.")]
pub(super) struct Arguments {
    /// The service
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// The hold of all services
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    ended(end(&arguments.source.locate(), arguments.key.as_deref()))
}

/// The key need not be known any more: a hold of a service that is gone can be ended, too.
fn end(located: &Located, key: Option<&str>) -> Result<String, String> {
    let what = key.unwrap_or("every service");
    let before = holds::read(&located.state_dir, wall_clock()).holds;
    let Some((_, held)) = before.iter().find(|(of, _)| of.as_deref() == key) else {
        let by_all = before.iter().any(|(of, _)| of.is_none());
        return Ok(match key {
            None => "There is no hold of all services.\n".to_owned(),
            Some(key) if by_all => {
                format!("{key} is held with all services; end that with: wellkeep release --all\n")
            }
            Some(key) => format!("{key} was not on hold.\n"),
        });
    };
    holds::release(&located.state_dir, key).map_err(|error| not_written(&located.state_dir, &error))?;
    let is_gone = await_document(&located.status_file, |document| {
        let mut services =
            document.services.values().filter(|service| key.is_none_or(|key| key == service.key));
        services.all(|service| {
            service.hold.as_ref().is_none_or(|shown| shown.until != held.until || shown.by != held.by)
        })
    });
    if !is_gone {
        return Err(format!(
            "the hold of {what} was removed, but no monitor has noticed: is one at work? \
             Look at: systemctl status wellkeep-monitor"
        ));
    }
    Ok(format!("{what} is released.\n"))
}
