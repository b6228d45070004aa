//! `wellkeep monitor`

use clap::Args;

use super::log::LogFormat;
use super::{ConfigFile, Exit, StateDir, StatusFile, load, log, runtime};
use crate::config::{Config, Problems};
use crate::log::Kind;
use crate::monitor::{self, Order};
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
    let (path, observe) = (arguments.config.config.clone(), arguments.observe);
    let load = move || -> Result<Config, Problems> {
        let mut config = load(&path)?;
        config.monitor.observe |= observe;
        Ok(config)
    };
    let config = match load() {
        Ok(config) => config,
        Err(problems) => {
            log.fail(Kind::Config, problems);
            return Exit::WrongConfig;
        }
    };
    let status_file = arguments.status_file.path(&config.monitor);
    let state_dir = arguments.state_dir.path(&config.monitor, &status_file);
    let options = monitor::Options {
        config,
        reload: Some(Box::new(load)),
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
