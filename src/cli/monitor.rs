//! `wellkeep monitor`

use std::path::PathBuf;

use clap::Args;

use super::log::LogFormat;
use super::{ConfigFile, Exit, StateDir, StatusFile, load, log, runtime};
use crate::config::{Config, Problems};
use crate::log::Kind;
use crate::monitor::{self, Order, Reloaded};
use crate::systemd::BusAddress;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep monitor --config monitor.yml --status-file /tmp/status.json\n\n\
    SIGHUP reads the configuration again; a wrong one changes nothing but what status.json says of it.")]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    status_file: StatusFile,
    #[command(flatten)]
    state_dir: StateDir,
    /// Everything but the call: say what would have been healed, and heal nothing
    #[arg(long)]
    observe: bool,
    /// The form of the log on stderr; unless given, the journal's own form where stderr is the journal
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let Some(log) = log::start(arguments.log_format) else { return Exit::CannotTell };
    let config = match arguments.load() {
        Ok(config) => config,
        Err(problems) => {
            log.fail(Kind::Config, problems);
            return Exit::WrongConfig;
        }
    };
    let places = arguments.places(&config);
    let (status_file, state_dir) = places.clone();
    let reload = move || {
        let config = arguments.load()?;
        let needs_restart = moved(&places, &arguments.places(&config));
        Ok(Reloaded { config, needs_restart })
    };
    let options = monitor::Options {
        config,
        reload: Some(Box::new(reload)),
        status_file,
        state_dir,
        proc_root: "/proc".into(),
        bus: BusAddress::System,
        counts_itself: false,
    };
    let result = runtime::block_on(async {
        Ok::<_, std::io::Error>(monitor::run(options, runtime::orders(Order::Reload)?).await)
    });
    match result.and_then(|result| result) {
        Ok(Ok(())) => Exit::Well,
        Ok(Err(error)) => {
            log.fail(Kind::Failed, error);
            Exit::CannotTell
        }
        Err(error) => {
            log.fail(Kind::Failed, format_args!("the runtime cannot start: {error}"));
            Exit::CannotTell
        }
    }
}

impl Arguments {
    fn load(&self) -> Result<Config, Problems> {
        let mut config = load(&self.config.config)?;
        config.monitor.observe |= self.observe;
        Ok(config)
    }

    /// Where the document and the state are kept.
    fn places(&self, config: &Config) -> (PathBuf, PathBuf) {
        let status_file = self.status_file.path(&config.monitor);
        let state_dir = self.state_dir.path(&config.monitor, &status_file);
        (status_file, state_dir)
    }
}

/// What to say when the places, which are taken at the start for good, are others in a new configuration.
fn moved(taken: &(PathBuf, PathBuf), wanted: &(PathBuf, PathBuf)) -> Option<String> {
    let pairs = [("status_file", &taken.0, &wanted.0), ("state_dir", &taken.1, &wanted.1)];
    let moved: Vec<String> = pairs
        .iter()
        .filter(|(_, taken, wanted)| taken != wanted)
        .map(|(name, taken, wanted)| format!("{name} {} (still {})", wanted.display(), taken.display()))
        .collect();
    let is = if moved.len() == 1 { "is" } else { "are" };
    (!moved.is_empty()).then(|| {
        format!("{} {is} in force after a restart: systemctl restart wellkeep-monitor", moved.join(" and "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_moved_are_named_and_those_that_stay_are_not() {
        let places = |file: &str, folder: &str| (PathBuf::from(file), PathBuf::from(folder));
        let taken = places("/a/status.json", "/a");
        assert_eq!(moved(&taken, &taken), None);
        assert_eq!(
            moved(&taken, &places("/b/status.json", "/a")).unwrap(),
            "status_file /b/status.json (still /a/status.json) is in force after a restart: systemctl restart wellkeep-monitor"
        );
        let both = moved(&taken, &places("/b/status.json", "/b")).unwrap();
        assert!(both.contains(" and state_dir /b (still /a) are in force after"), "{both}");
    }
}
