//! The command line: one file a command.

mod check;
mod completions;
mod dev;
mod doctor;
mod document;
mod healing;
mod history;
mod hold;
mod log;
mod logs;
mod man;
mod monitor;
mod past;
mod privileges;
mod probe;
mod release;
mod restart;
mod runtime;
mod schema;
mod serve;
mod status;
mod style;
#[cfg(test)]
mod testing;
mod wait;
mod why;
mod words;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Monitor, Problems, Settings};

/// How a command ended. Scripts and units rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: all is well.
    Well,
    /// 1: something is not.
    NotWell,
    /// 2: it cannot be told, or the command was used wrongly.
    CannotTell,
    /// 78 (`EX_CONFIG`): the configuration is wrong. The units do not restart on it.
    WrongConfig,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Well => 0,
            Exit::NotWell => 1,
            Exit::CannotTell => 2,
            Exit::WrongConfig => 78,
        })
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "wellkeep",
    version,
    about = "A host monitor for systemd: finds what hangs or crashed, and shows it",
    after_help = "Examples:\n  \
        wellkeep dev                        watch this host and show it on a page\n  \
        wellkeep check monitor.yml          is this configuration right?\n  \
        wellkeep probe web                  look at one service now, step by step\n  \
        wellkeep status                     what the monitor believes\n  \
        wellkeep why web                    why it is so, and what comes next\n  \
        wellkeep logs web                   its lines in the journal, and ours about it\n  \
        wellkeep doctor                     is the installation right?\n\n\
        Exit codes: 0 well, 1 something is not well, 2 cannot tell or wrong usage, 78 wrong configuration.",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Probe the services and write the document (under systemd: wellkeep-monitor.service)
    Monitor(monitor::Arguments),
    /// Serve the document: page, widget and API (under systemd: wellkeep-viewer.service)
    Serve(serve::Arguments),
    /// Monitor and viewer together in the foreground; without a configuration it watches this host
    Dev(dev::Arguments),
    /// What the monitor believes of each service, as a table
    Status(status::Arguments),
    /// Is a configuration right? All problems at once, with place and remedy
    Check(check::Arguments),
    /// Look at the services once, now, and show each check's steps and times
    Probe(probe::Arguments),
    /// What the monitor's user may do to units, as a rule of polkit; --write puts it in force
    Privileges(privileges::Arguments),
    /// Why is it as it is, what was done about it, and what comes next?
    Why(why::Arguments),
    /// The incidents: when, how long, why, what was done, and the evidence
    History(history::Arguments),
    /// What a service says and what Wellkeep says of it, together; --errors
    Logs(logs::Arguments),
    /// Pause the healing of a service for some time
    Hold(hold::Arguments),
    /// End such a pause
    Release(release::Arguments),
    /// Restart a service by your own order, and wait until it is well
    Restart(restart::Arguments),
    /// Wait until services are up, for deploy scripts
    Wait(wait::Arguments),
    /// Is the installation right? Units, rights, bus, files, page, clock, kernel; and what to do about each finding
    Doctor(doctor::Arguments),
    /// Print the JSON Schema of status.json
    Schema(schema::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
    /// Print the man pages
    Man(man::Arguments),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", env = "WELLKEEP_MONITOR_CONFIG", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Problems> {
        load(&self.config)
    }

    /// For commands that only show: see [`config::load_settings`].
    fn settings(&self) -> Result<Settings, Problems> {
        config::load_settings(&self.config, &environment)
    }
}

/// Where the document is.
#[derive(Debug, Clone, Args)]
struct StatusFile {
    /// status.json, the file that the monitor writes [default: /var/lib/wellkeep/status.json]
    #[arg(long, value_name = "FILE", env = "WELLKEEP_STATUS_FILE")]
    status_file: Option<PathBuf>,
}

impl StatusFile {
    /// The command line and the environment go before the configuration.
    fn path(&self, configured: &Monitor) -> PathBuf {
        let configured = || configured.status_file.clone();
        self.status_file.clone().or_else(configured).unwrap_or_else(|| config::DEFAULT_STATUS_FILE.into())
    }
}

/// Where everything else is kept.
#[derive(Debug, Clone, Args)]
struct StateDir {
    /// Where the lock, and all that must survive a restart, are kept [default: the folder of status.json]
    #[arg(long, value_name = "DIR", env = "WELLKEEP_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl StateDir {
    fn path(&self, configured: &Monitor, status_file: &std::path::Path) -> PathBuf {
        let beside =
            || status_file.parent().map(PathBuf::from).filter(|folder| !folder.as_os_str().is_empty());
        let configured = || configured.state_dir.clone();
        self.state_dir.clone().or_else(configured).or_else(beside).unwrap_or_else(|| ".".into())
    }
}

fn load(path: &std::path::Path) -> Result<Config, Problems> {
    config::load(path, &environment)
}

/// A variable of the environment.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs the command that the arguments ask for.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; for the rest clap's own code is ours: 2.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let exit = match cli.command {
        Command::Monitor(arguments) => monitor::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Probe(arguments) => probe::run(arguments),
        Command::Privileges(arguments) => privileges::run(arguments),
        Command::Why(arguments) => why::run(arguments),
        Command::History(arguments) => history::run(arguments),
        Command::Logs(arguments) => logs::run(arguments),
        Command::Hold(arguments) => hold::run(arguments),
        Command::Release(arguments) => release::run(arguments),
        Command::Restart(arguments) => restart::run(arguments),
        Command::Wait(arguments) => wait::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Schema(arguments) => schema::run(arguments),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
    };
    exit.into()
}

/// The end of a command that has something to say, or could not do what it was asked to.
fn ended(result: Result<String, String>) -> Exit {
    match result {
        Ok(said) => {
            print(&said);
            Exit::Well
        }
        Err(problem) => {
            complain(problem);
            Exit::CannotTell
        }
    }
}

/// Tells a person what went wrong, on stderr.
fn complain(message: impl std::fmt::Display) {
    let error = style::ERROR;
    let _ = writeln!(anstream::stderr(), "{error}error:{error:#} {message}");
}

/// Writes to stdout. A reader that went away (`| head`) is no error; the answer says whether it is still there.
fn print(text: &str) -> bool {
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}
