//! `wellkeep serve`

use std::io;
use std::path::Path;
use std::sync::mpsc;

use clap::Args;
use tracing::{info, warn};

use super::log::LogFormat;
use super::{ConfigFile, Exit, StateDir, StatusFile, environment, log, runtime};
use crate::config::{self, Config, Details, Listen, Problems, Settings};
use crate::host::listeners;
use crate::log::Kind;
use crate::monitor::Order;
use crate::probe;
use crate::viewer::{Inherited, LiveChecks, Options, Viewer};

/// Where the address that the viewer really listens on is written, if that folder is there.
pub(super) const ADDRESS_FILE: &str = "/run/wellkeep/viewer.addr";

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep serve\n  \
    wellkeep serve --listen 127.0.0.1:8080 --status-file /tmp/status.json\n  \
    wellkeep serve --listen unix:/run/wellkeep/viewer.sock\n\n\
    A socket that systemd hands over (wellkeep-viewer.socket) goes before all of these.\n\
    Without a document it looks for itself, if it can read a configuration (mode: live_checks).")]
pub(super) struct Arguments {
    /// ADDR:PORT or unix:PATH [default: 127.0.0.1:9355]
    #[arg(long, value_name = "ADDR", env = "WELLKEEP_LISTEN", value_parser = config::parse_listen)]
    listen: Option<Listen>,
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    status_file: StatusFile,
    #[command(flatten)]
    state_dir: StateDir,
    /// The form of the log on stderr; unless given, the journal's own form where stderr is the journal
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    // Before anything else is opened, a connection to the journal for one.
    let inherited = Inherited::from_environment();
    let Some(log) = log::start(arguments.log_format) else { return Exit::CannotTell };
    let inherited = match inherited {
        Ok(inherited) => inherited,
        Err(error) => {
            log.fail(Kind::Failed, error);
            return Exit::CannotTell;
        }
    };
    // The page is needed most when something is wrong, so a wrong configuration does not stop it. But whether it was to
    // protect the details nobody knows then.
    let (settings, live) = match arguments.config.settings() {
        Ok(settings) => (settings, Some(own_look(&arguments.config))),
        Err(_) if matches!(arguments.config.config.try_exists(), Ok(false)) => {
            info!(event = %Kind::Config, "going on with the defaults: there is no {}", arguments.config.config.display());
            (Settings::default(), None)
        }
        Err(problems) => {
            warn!(
                event = %Kind::Config,
                "going on with the defaults and without the details, for whoever may see them stands in a configuration \
                 that cannot be used: {problems}"
            );
            let viewer = config::Viewer { details: Details::Nobody, ..config::Viewer::default() };
            (Settings { viewer, ..Settings::default() }, Some(no_look(&problems)))
        }
    };
    let status_file = arguments.status_file.path(&settings.monitor);
    let state_dir = arguments.state_dir.path(&settings.monitor, &status_file);
    let mut options = match Options::new(&settings.viewer, status_file, &environment) {
        Ok(options) => Options { state_dir, ..options },
        Err(error) => {
            log.fail(Kind::Config, error);
            return Exit::WrongConfig;
        }
    };
    if let Some(listen) = arguments.listen {
        options.listen = listen;
    }
    let activated_by = inherited.as_ref().map(|inherited| inherited.name().to_owned());
    options.inherited = inherited;
    options.owner_of = Box::new(owner_of);
    options.live = live;
    options.addr_file =
        Path::new(ADDRESS_FILE).parent().filter(|run| run.is_dir()).map(|_| ADDRESS_FILE.into());
    let viewer = match Viewer::bind(options) {
        Ok(viewer) => viewer,
        Err(error) => {
            log.fail(Kind::Failed, error);
            return Exit::CannotTell;
        }
    };
    let address = shown(viewer.address());
    match activated_by {
        Some(unit) => info!(
            event = %Kind::Start,
            "serving on the socket of {unit}, which is {address}: `viewer: listen:`, --listen and WELLKEEP_LISTEN do not \
             count"
        ),
        None => info!(event = %Kind::Start, "serving on {address}"),
    }
    if let Listen::Tcp(address) = viewer.address()
        && !address.ip().is_loopback()
    {
        let passwords = match settings.viewer.details {
            Details::With(_) => ", or whoever listens on the way learns the credentials",
            Details::Everybody | Details::Nobody => "",
        };
        warn!(
            event = %Kind::Viewer,
            "{address} can be reached from other machines: put a reverse proxy with TLS in front of it{passwords}"
        );
    }
    let result = stop_on_signal().and_then(|stop| {
        // Clients can connect from now on, and it ends in good order when it is told to.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        viewer.run(stop).map_err(io::Error::other)
    });
    match result {
        Ok(()) => Exit::Well,
        Err(error) => {
            log.fail(Kind::Failed, error);
            Exit::CannotTell
        }
    }
}

/// How the viewer looks for itself, if it can use the whole configuration. That it cannot is nothing unusual: secrets are
/// for the monitor.
fn own_look(file: &ConfigFile) -> LiveChecks {
    match file.load() {
        Ok(config) => live_checks(config),
        Err(problems) => {
            info!(event = %Kind::Config, "without a monitor there will be no live checks: {}", in_short(&problems));
            no_look(&problems)
        }
    }
}

/// The page says why there is nothing to see: a monitor that did not start for the same reason cannot.
fn no_look(problems: &Problems) -> LiveChecks {
    let reason =
        format!("when the viewer started, it could not use the configuration: {}", in_short(problems));
    Box::new(move || Err(reason.clone()))
}

/// The first problem, and how many more there are.
fn in_short(problems: &Problems) -> String {
    let first = problems.iter().next().map(ToString::to_string).unwrap_or_default();
    match problems.count().saturating_sub(1) {
        0 => first,
        more => format!("{first} (and {more} more)"),
    }
}

/// What looks for itself where there is no monitor.
pub(super) fn live_checks(config: Config) -> LiveChecks {
    Box::new(move || {
        let look = probe::round::look(&config, Path::new("/proc"));
        runtime::block_on(look).map_err(|error| format!("the runtime cannot start: {error}"))
    })
}

/// Who listens on an address: `nginx (pid 812)`.
pub(super) fn owner_of(address: std::net::SocketAddr) -> Option<String> {
    let listeners = listeners::listeners(Path::new("/proc")).ok()?;
    let owner = listeners
        .into_iter()
        .filter(|listener| listener.address.port() == address.port())
        .find(|listener| {
            let theirs = listener.address.ip();
            theirs == address.ip() || theirs.is_unspecified() || address.ip().is_unspecified()
        })?
        .owner?;
    Some(format!("{} (pid {})", owner.name, owner.pid))
}

/// The address to open.
pub(super) fn shown(address: &Listen) -> String {
    match address {
        Listen::Tcp(address) => format!("http://{address}/"),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// A message when it is time to end: SIGTERM, SIGINT, SIGQUIT.
fn stop_on_signal() -> io::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let waited = runtime::block_on(async {
            let mut orders = runtime::orders(Order::Reload)?;
            let _ = ready.send(());
            // A viewer has nothing to reload: it reads the document whenever that changes.
            while orders.recv().await == Some(Order::Reload) {}
            Ok::<(), io::Error>(())
        });
        if let Err(error) = waited.and_then(|result| result) {
            warn!(event = %Kind::Viewer, "cannot listen for signals: {error}");
        }
        let _ = sender.send(());
    })?;
    // From here on SIGTERM ends it in good order.
    let _ = is_ready.recv();
    Ok(receiver)
}
