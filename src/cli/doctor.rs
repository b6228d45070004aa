//! `wellkeep doctor`
//!
//! Units, rights, bus, files, page, clock and kernel: what is wrong with the installation, and what to do about it.
//!
//! Each area first reads, which is the only place with I/O, and then judges what was read. The reading goes on side by
//! side on threads, each with a limit: a disk or a bus that hangs is a finding and not the end of the look.

mod access;
mod bus;
mod clock;
mod configuration;
mod finding;
mod kernel;
mod rights;
mod state;
mod units;
mod viewer;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;

use self::access::Account;
use self::configuration::Configuration;
use self::finding::{Area, Finding, Orders, Report};
use self::rights::{Polkit, Rights};
use self::state::StateDir;
use self::units::Running;
use self::viewer::Page;
use super::{ConfigFile, Exit, StateDir as StateDirArgument, StatusFile, print, runtime};
use crate::monitor::wall_clock;
use crate::systemd::{Bus, BusAddress, BusError, InstalledUnit, Survey};

/// For one look: longer than any of them takes while nothing hangs, and than the bus may take to answer.
const LIMIT: Duration = Duration::from_secs(7);

#[derive(Debug, Args)]
#[command(
    after_help = "It looks at the units, the monitor's rights, the bus, the state directory, the configuration, the \
    page, the clock and the kernel, changes nothing, and says what to do about each finding.\n\n\
    Examples:\n  \
    sudo wellkeep doctor                all of it\n  \
    wellkeep doctor --json | jq '.areas[].findings[] | select(.level == \"problem\")'\n\n\
    Exit codes: 0 nothing to do (there may be notes), 1 something to do, 2 nothing that it knows of, but part of it \
    could not be looked at (root sees more)."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    status_file: StatusFile,
    #[command(flatten)]
    state_dir: StateDirArgument,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// Where the system's own files are, for a look at another root (with a /proc of its own)
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let report = examine(&arguments);
    print(&if arguments.json { report.json() } else { report.text() });
    report.exit()
}

fn examine(arguments: &Arguments) -> Report {
    let root = arguments.root.clone();
    let is_root = rustix::process::geteuid().is_root();

    // What the rest depends on: where everything is, and what systemd says of the units.
    let config = arguments.config.clone();
    let settings = Look::start(move || config.settings().unwrap_or_default());
    let has_systemd = root.join("run/systemd/system").is_dir();
    let survey = has_systemd.then(|| Look::start(ask_systemd));
    let proc_root = root.join("proc");
    let running = Look::start(move || units::running(&proc_root));

    let settings = settings.end().unwrap_or_default();
    let status_file = arguments.status_file.path(&settings.monitor);
    let state_dir = arguments.state_dir.path(&settings.monitor, &status_file);
    let page = {
        let root = root.clone();
        Look::start(move || Page::read(&root, settings.viewer))
    };
    let survey = survey.map(|survey| survey.end().unwrap_or((Err(BusError::TimedOut(LIMIT)), LIMIT)));
    let asked = survey.as_ref().and_then(|(survey, _)| survey.as_ref().ok());
    let monitor = asked.and_then(|survey| survey.units.first()).cloned();

    let rights = {
        let (root, path, monitor) = (root.clone(), arguments.config.config.clone(), monitor.clone());
        Look::start(move || {
            let user = monitor.as_ref().map(|unit| unit.user.as_str()).filter(|user| !user.is_empty());
            let configuration = Configuration::read(&path, user.unwrap_or(rights::USER));
            let rights = rights::read(&root, &configuration, monitor.as_ref());
            (configuration, rights)
        })
    };
    let main_pid = monitor.as_ref().and_then(|unit| unit.state.details.main_pid);
    let rights = rights.end();
    let state = {
        let account: Option<Account> = rights.as_ref().and_then(|(_, rights)| rights.account.clone());
        let (state_dir, status_file) = (state_dir.clone(), status_file.clone());
        Look::start(move || StateDir::read(&state_dir, &status_file, account.as_ref()))
    };
    let kernel = {
        let needs_authorities = rights.as_ref().is_some_and(|(config, _)| config.needs_authorities());
        Look::start(move || kernel::Kernel::read(&root, main_pid, has_systemd, needs_authorities))
    };
    let seen = Seen {
        survey,
        running: running.end().unwrap_or_default(),
        rights,
        state: state.end(),
        page: page.end(),
        kernel: kernel.end(),
        state_dir,
        is_root,
    };
    Report::new(seen.judge(), is_root)
}

fn ask_systemd() -> (Result<Survey, BusError>, Duration) {
    let began = Instant::now();
    let survey = runtime::block_on(async { Bus::new(BusAddress::System).survey(&units::ASKED).await });
    (survey.unwrap_or_else(|error| Err(BusError::Call(error.to_string()))), began.elapsed())
}

/// A look that goes on by itself.
struct Look<T> {
    result: mpsc::Receiver<T>,
    until: Instant,
}

impl<T: Send + 'static> Look<T> {
    fn start(read: impl FnOnce() -> T + Send + 'static) -> Look<T> {
        let (sender, result) = mpsc::channel();
        // One that hangs in the kernel ends with the program.
        std::thread::spawn(move || sender.send(read()));
        Look { result, until: Instant::now() + LIMIT }
    }

    /// Its result; none when it hangs.
    fn end(self) -> Option<T> {
        self.result.recv_timeout(self.until.saturating_duration_since(Instant::now())).ok()
    }
}

/// All that was read. What is absent hung, but for the survey, which is not there without systemd.
struct Seen {
    survey: Option<(Result<Survey, BusError>, Duration)>,
    running: Vec<Running>,
    rights: Option<(Configuration, Rights)>,
    state: Option<StateDir>,
    page: Option<Page>,
    kernel: Option<kernel::Kernel>,
    state_dir: PathBuf,
    is_root: bool,
}

impl Seen {
    fn judge(&self) -> Vec<Area> {
        let now = wall_clock();
        let survey = self.survey.as_ref().and_then(|(survey, _)| survey.as_ref().ok());
        let known = self.state.as_ref().and_then(StateDir::known);
        // What a document says of its monitor holds while it is fresh.
        let document = known.filter(|known| known.freshness.is_fresh()).map(|known| &known.document);
        let unit = |place: usize| survey.and_then(|survey| survey.units.get(place));
        let is_active = |unit: &InstalledUnit| unit.state.active == "active";
        let area = |area, findings| Area { area, findings };
        let rights = self.rights.as_ref();
        let user = rights.and_then(|(_, rights)| rights.user.as_deref()).unwrap_or(rights::USER);

        let orders = match self.survey {
            Some(_) => Orders::systemd(),
            None => Orders::by_hand(document.map(|document| document.monitor.pid)),
        };
        let writer = document
            .map(|document| units::Writer { pid: document.monitor.pid, version: &document.monitor.version });
        let units = match (&self.survey, survey) {
            (_, Some(survey)) => units::judge(&survey.units, &self.running, writer, now),
            (None, _) => vec![
                Finding::note(
                    "systemd",
                    "is not in charge here (a container, a chroot): no units to look at",
                )
                .advise("Monitor and page run without it, too:")
                .run("wellkeep dev"),
            ],
            (Some(_), None) => vec![
                Finding::unknown("units", "systemd does not answer (see below)")
                    .advise("First mend the bus, then look again:")
                    .run("sudo wellkeep doctor"),
            ],
        };
        let bus = match &self.survey {
            Some((survey, took)) => bus::judge(survey, took.as_millis()),
            None => Vec::new(),
        };
        let polkit = survey
            .and_then(|survey| Some(Polkit { is_installed: survey.has_polkit, unit: survey.units.get(3)? }));
        let cannot_heal = document.and_then(|document| document.monitor.cannot_heal.as_deref());
        let hangs = |what: &str| {
            let found = format!("did not end within {}", humantime::format_duration(LIMIT));
            vec![
                Finding::unknown(what, found)
                    .advise("A disk hangs, or the machine is very busy. The kernel may say which:")
                    .run("sudo dmesg --level=err,warn | tail -n 30"),
            ]
        };
        let areas = [
            area("Units", units),
            area("Bus", bus),
            area(
                "Configuration",
                rights.map_or_else(
                    || hangs("the look at the configuration"),
                    |(configuration, _)| configuration.judge(document, &orders, self.is_root),
                ),
            ),
            area(
                "Rights",
                rights.map_or_else(Vec::new, |(configuration, rights)| {
                    rights::judge(rights, configuration, polkit, cannot_heal)
                }),
            ),
            area(
                "State",
                self.state.as_ref().map_or_else(
                    || hangs(&self.state_dir.display().to_string()),
                    |state| state.judge(user, unit(0), &self.running, &orders),
                ),
            ),
            area(
                "Page",
                self.page.as_ref().map_or_else(
                    || hangs("the look at the page"),
                    |page| page.judge(unit(1).map(is_active), known.map(|known| &known.document)),
                ),
            ),
            area("Clock", clock::judge(now, survey)),
            area(
                "Kernel and system",
                self.kernel.as_ref().map_or_else(|| hangs("the look at the kernel"), kernel::Kernel::judge),
            ),
        ];
        areas.into_iter().filter(|area| !area.findings.is_empty()).collect()
    }
}
