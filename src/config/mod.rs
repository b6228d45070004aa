//! `monitor.yml` -> a [`Config`] that cannot be wrong, or every problem of the file with its place, its value and
//! what to write instead.
//!
//! `file` reads `monitor.yml` and what it includes; `tree` turns the text into nodes, `decode` is the box of tools
//! with which everybody takes settings out of nodes, `expand` puts in variables and secrets.

mod file;
mod include;
mod service;
mod heal;
mod viewer;
mod depends;
mod decode;
mod expand;
mod tree;
mod syntax;
mod problem;
mod loose;

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::probe::{Check, Severity};

pub(crate) use decode::{Decode, Fields, Refusal, absolute_path, nearest, tcp_port};
pub use expand::SecretSource;
pub(crate) use expand::Secrets;
pub use loose::Loose;
pub use problem::{Place, Problem, Problems};
pub(crate) use tree::{Node, Value};

/// The default of `--config`.
pub const DEFAULT_PATH: &str = "/etc/wellkeep/monitor.yml";
/// The JSON Schema of `monitor.yml`. It is written by hand, for the configuration is read by hand: tests hold the two
/// together.
pub const SCHEMA: &str = include_str!("../../config/monitor.schema.json");
/// The default of `--status-file`.
pub const DEFAULT_STATUS_FILE: &str = "/var/lib/wellkeep/status.json";

/// Reads a configuration and the files it includes, at most 1 MiB each. `env` gives the variables for `${NAME}`:
/// the program hands in its environment, a test what it likes.
///
/// # Errors
///
/// All that is wrong with the files, or why the file cannot be read.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    file::load(path, env)
}

/// Whether a configuration is right, for a person who asks outside of the unit. The credentials of systemd cannot be
/// read there: they are named in the answer and make nothing wrong.
///
/// # Errors
///
/// As [`load`].
pub fn check(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Checked, Problems> {
    file::check(path, env)
}

/// Reads only what a configuration says at its top level under `monitor` and `viewer`. The viewer and `wellkeep
/// status` need no more, and may not be able to read the secrets of the services: nothing else in the file is
/// expanded or needs to be right, and no file is included.
///
/// # Errors
///
/// That the file cannot be read or is no YAML, or all that is wrong with the two blocks.
pub fn load_settings(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Problems> {
    file::load_settings(path, env)
}

/// Reads what a configuration heals, for whoever gives the monitor the rights for it. All of the file must be right; but
/// a credential is read only where systemd hands it over.
///
/// # Errors
///
/// As [`load`].
pub fn load_healing(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Healing, Problems> {
    file::load_healing(path, env)
}

impl Config {
    /// Reads a configuration from a text. `path` is what problems call the file, and its folder is where `include`
    /// looks.
    ///
    /// # Errors
    ///
    /// All that is wrong with the text and the files it includes.
    pub fn parse(text: &str, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
        file::parse(text.to_owned(), path, env)
    }
}

/// Understands where the viewer shall listen: `127.0.0.1:9355`, `[::1]:9355`, `unix:/run/wellkeep/viewer.sock`. The
/// port 0 lets the system choose.
///
/// # Errors
///
/// What is wrong with the text and what to write, as a sentence.
pub fn parse_listen(text: &str) -> Result<Listen, String> {
    listen(text).map_err(|refusal| refusal.into_sentence(LISTEN_HELP))
}

/// Understands the name of a user of a machine, as `useradd` allows it.
///
/// # Errors
///
/// What is wrong with the text and what to write, as a sentence.
pub fn parse_user(text: &str) -> Result<String, String> {
    heal::user_name(text).map_err(|refusal| refusal.into_sentence("write for example wellkeep"))
}

const LISTEN_HELP: &str = "write 127.0.0.1:9355, [::1]:9355 or unix:/run/wellkeep/viewer.sock";

fn listen(text: &str) -> Result<Listen, Refusal> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = absolute_path(path).map_err(|_| Refusal::new("names no absolute path after `unix:`"))?;
        return Ok(Listen::Unix(path));
    }
    if let Ok(address) = text.parse() {
        return Ok(Listen::Tcp(address));
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return Err(Refusal::new("is a name and not an address").help(format!("write 127.0.0.1:{port}")));
    }
    if let Ok(port) = tcp_port(text.trim_start_matches(':')) {
        let help = format!("write 127.0.0.1:{port} for this machine alone, 0.0.0.0:{port} for the network");
        return Err(Refusal::new("has no address before the port").help(help));
    }
    Err(Refusal::new("is no address with a port"))
}

/// The first `limit` bytes of a regular file. Anything else is refused: to wait for the writer of a FIFO, or for a
/// device, would stop the monitor in the middle of a reload.
fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let regular = |metadata: Metadata| match metadata.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => Err(io::Error::other("not a regular file but a pipe, a socket or a device")),
    };
    // Before, because to open a device may already do something; after, because it may be another file by then.
    regular(fs::metadata(path)?)?;
    let file =
        fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    regular(file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the system said, without its `(os error 2)`.
fn io_words(error: &io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or(&said).to_owned()
}

/// A whole configuration: every name in it is unique, every reference resolves, every figure is in its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it was read from; none for a configuration that the program made itself.
    pub path: Option<PathBuf>,
    /// The services, in the order of the file and then of the included files.
    pub services: Vec<Service>,
    /// The monitor's own settings.
    pub monitor: Monitor,
    /// The viewer's settings.
    pub viewer: Viewer,
}

/// What [`load_settings`] reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The monitor's own settings.
    pub monitor: Monitor,
    /// The viewer's settings.
    pub viewer: Viewer,
}

/// What [`load_healing`] reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healing {
    /// The policies of the services that have one, in the order of the services, each with the file that its service
    /// stands in.
    pub heals: Vec<(PathBuf, Heal)>,
    /// Everything but the call, for all of them.
    pub observe: bool,
}

/// What [`check`] says of a right configuration. It holds no configuration: a word stands in for each credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The file and those that it includes.
    pub files: Vec<PathBuf>,
    /// How many services there are.
    pub services: usize,
    /// How many checks they have together.
    pub checks: usize,
    /// The names of the credentials that only the unit can read.
    pub unread_credentials: Vec<String>,
    /// The keys of the services that the `heal` of `defaults` does not apply to, each with the reason.
    pub heal_not_applied: Vec<(String, String)>,
    /// The keys of the services that are left out, each with the file of its `if_exists`, which does not exist.
    pub left_out: Vec<(String, PathBuf)>,
    /// The files that the monitor must be able to read besides: secrets, and certificate authorities.
    pub needed_files: Vec<PathBuf>,
    /// Whether a check needs the certificate authorities of the system.
    pub needs_authorities: bool,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The key: letters, digits, `_`, `-`, `.`; unique.
    pub key: String,
    /// The name for people; the key unless configured.
    pub name: String,
    /// The group it is shown in.
    pub group: Option<String>,
    /// Whether it drives the page's banner.
    pub primary: bool,
    /// The checks, at most one of a kind, at least one.
    pub checks: Vec<CheckConfig>,
    /// The keys of the services it needs; they exist, and there is no circle.
    pub depends_on: Vec<String>,
    /// When and how often it is probed, and what counts as confirmed.
    pub timing: Timing,
    /// How it is made well again; none unless somebody asked for it.
    pub heal: Option<Heal>,
}

impl Service {
    /// The unit that is healed, or else looked at.
    pub fn unit(&self) -> Option<&str> {
        let healed = self.heal.as_ref().and_then(|heal| heal.unit.as_deref());
        healed.or_else(|| {
            self.checks.iter().find_map(|check| match &*check.check {
                Check::Systemd(settings) => Some(settings.unit.as_str()),
                _ => None,
            })
        })
    }
}

/// The policy of healing a service: what is done, when, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heal {
    /// Whether the call is really made.
    pub mode: HealMode,
    /// The unit that `restart` and `reload` are about: the block's own, or the one of the `systemd` check. Present
    /// whenever a step needs it.
    pub unit: Option<String>,
    /// The ladder: the first heal of an incident is the first step, the second the second; the last step repeats. Never
    /// empty.
    pub steps: Vec<Step>,
    /// Between a failed heal and the next one: 10 s, doubling.
    pub backoff: Duration,
    /// The longest pause that doubling leads to: 5 min.
    pub backoff_max: Duration,
    /// So many heals within an hour at most: 5.
    pub budget: u32,
    /// A heal counts as done only when the service is well within this time: 60 s, or as long as a longer `start_grace`
    /// and the rounds after it may take.
    pub verify_within: Duration,
}

impl Heal {
    /// The policy that `heal: restart` means.
    pub fn restart(unit: impl Into<String>) -> Heal {
        Heal {
            mode: HealMode::Act,
            unit: Some(unit.into()),
            steps: vec![Step::Restart],
            backoff: Duration::from_secs(10),
            backoff_max: Duration::from_secs(300),
            budget: 5,
            verify_within: Duration::from_secs(60),
        }
    }
}

/// Whether healing really acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealMode {
    /// It does.
    Act,
    /// It does everything but the call, and says what it would have done.
    Observe,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Restart the unit; start it if it failed or ended by itself.
    Restart,
    /// Tell the unit to reload.
    Reload,
    /// Run a program.
    Run(Hook),
}

/// A program that heals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program, by its absolute path, and its arguments. No shell sees them.
    pub command: Vec<String>,
    /// It is killed when it takes longer: 30 s.
    pub timeout: Duration,
    /// The user it runs as, if not the monitor's own. Only a monitor that runs as root can change it.
    pub user: Option<String>,
}

/// One check of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckConfig {
    /// The kind and its settings. Shared with the probes in flight, which outlive a reload.
    pub check: Arc<Check>,
    /// What a failure does to the service.
    pub severity: Severity,
}

/// When and how often a service is probed, and what counts as confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two rounds while all is clear: 10 s.
    pub interval: Duration,
    /// Between two rounds while in doubt: 2 s. Never longer than `interval`.
    pub retry_interval: Duration,
    /// For one probe, from its start to its end: 3 s. Never longer than `interval`.
    pub timeout: Duration,
    /// So many failures in a row are `down`: 3.
    pub failure_threshold: u32,
    /// So many passes in a row are `up` again: 2.
    pub success_threshold: u32,
    /// For so long after a start a failure is `starting`: 30 s.
    pub start_grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            interval: Duration::from_secs(10),
            retry_interval: Duration::from_secs(2),
            timeout: Duration::from_secs(3),
            failure_threshold: 3,
            success_threshold: 2,
            start_grace: Duration::from_secs(30),
        }
    }
}

/// The monitor's own settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// Where the document is written, unless the command line or the environment says.
    pub status_file: Option<PathBuf>,
    /// Where everything else is kept, unless the command line or the environment says; the status file's folder
    /// if nobody says.
    pub state_dir: Option<PathBuf>,
    /// At the latest so long after the last document a new one is written: 5 s.
    pub heartbeat: Duration,
    /// Everything but the call, for all services, whatever they say themselves.
    pub observe: bool,
    /// So many heals of all services together within an hour at most: 10.
    pub heal_budget: u32,
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor {
            status_file: None,
            state_dir: None,
            heartbeat: Duration::from_secs(5),
            observe: false,
            heal_budget: 10,
        }
    }
}

/// The viewer's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Viewer {
    /// Where it listens.
    pub listen: Listen,
    /// Whether it takes the next free port when the configured one is taken.
    pub port_fallback: bool,
    /// How often the page asks for news: 15 s.
    pub refresh: Duration,
    /// The page's title; the host's name unless configured.
    pub title: Option<String>,
    /// What the pages say above everything else, to everybody.
    pub announcements: Vec<String>,
    /// Names that it answers to beside those of the machine, in lower case and without a port.
    pub hosts: Vec<String>,
    /// The path below which a proxy asks for it, with a slash before it and none after it; empty unless configured.
    pub base_path: String,
    /// The origins whose pages may read the API, as browsers send them.
    pub cors: Vec<String>,
    /// Who may see more than names and states.
    pub details: Details,
}

/// Who may see the details: reasons, checks, heals, incidents, figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Details {
    /// Everybody who can reach the viewer.
    #[default]
    Everybody,
    /// Who has the credentials.
    With(Access),
    /// Nobody: there is the public page and no more.
    Nobody,
}

/// The credentials for the details: at least one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// For programs: `Authorization: Bearer ...`.
    pub token: Option<SecretSource>,
    /// For people with a browser: `Authorization: Basic ...`.
    pub login: Option<Login>,
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name, without a colon.
    pub user: String,
    /// Where the password is.
    pub password: SecretSource,
}

impl Default for Viewer {
    fn default() -> Self {
        Viewer {
            listen: Listen::Tcp("127.0.0.1:9355".parse().expect("a valid address")),
            port_fallback: false,
            refresh: Duration::from_secs(15),
            title: None,
            announcements: Vec::new(),
            hosts: Vec::new(),
            base_path: String::new(),
            cors: Vec::new(),
            details: Details::Everybody,
        }
    }
}

/// Where the viewer listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `ADDR:PORT`.
    Tcp(std::net::SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}
