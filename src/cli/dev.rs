//! `wellkeep dev`

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use clap::Args;

use super::log::LogFormat;
use super::serve::{live_checks, owner_of, shown};
use super::{Exit, environment, load, log, print, runtime, style};
use crate::config::{self, Config, Listen, Problems};
use crate::host::discover;
use crate::log::Kind;
use crate::monitor::{self, Order, Reloaded};
use crate::systemd::BusAddress;
use crate::viewer::{Options, Viewer};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep dev                        watch this host: no configuration, no root, no systemd needed\n  \
    wellkeep dev ./monitor.yml          try a configuration\n\n\
    Nothing is healed: it says what would have been. Ctrl-C ends it and leaves nothing behind.")]
pub(super) struct Arguments {
    /// The configuration to try; without one it watches this host
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Same as FILE
    #[arg(long, value_name = "FILE", env = "WELLKEEP_MONITOR_CONFIG")]
    config: Option<PathBuf>,
    /// status.json, the file that the monitor writes [default: in a folder that goes away again]
    #[arg(long, value_name = "FILE", env = "WELLKEEP_STATUS_FILE")]
    status_file: Option<PathBuf>,
    /// ADDR:PORT or unix:PATH [default: 127.0.0.1:9355, or the next free port]
    #[arg(long, value_name = "ADDR", env = "WELLKEEP_LISTEN", value_parser = config::parse_listen)]
    listen: Option<Listen>,
    /// The form of the log on stderr
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

pub(super) fn run(mut arguments: Arguments) -> Exit {
    arguments.config = arguments.file.take().or(arguments.config);
    let Some(log) = log::start(Some(arguments.log_format)) else { return Exit::CannotTell };
    let configured = match arguments.config.as_deref().map(load_observing).transpose() {
        Ok(config) => config,
        Err(problems) => {
            log.fail(Kind::Config, format_args!("{problems:#}"));
            return Exit::WrongConfig;
        }
    };
    match together(arguments, configured) {
        Ok(()) => Exit::Well,
        Err(error) => {
            log.fail(Kind::Failed, error);
            Exit::CannotTell
        }
    }
}

/// The viewer comes first: its address is part of what is watched.
fn together(arguments: Arguments, configured: Option<Config>) -> Result<(), Box<dyn std::error::Error>> {
    let folder = own_folder()?;
    // Never the one that the configuration names: that is the monitor's, which may be at work.
    let status_file = arguments.status_file.unwrap_or_else(|| folder.path().join("status.json"));
    let settings = configured.as_ref().map(|config| config.viewer.clone()).unwrap_or_default();
    let mut options = Options::new(&settings, status_file.clone(), &environment)?;
    // On a developer's machine a taken port is no reason to stop, unless somebody asked for just that one.
    options.port_fallback |= arguments.listen.is_none();
    options.listen = arguments.listen.unwrap_or(options.listen);
    options.owner_of = Box::new(owner_of);
    options.live = configured.clone().map(live_checks);
    let viewer = Viewer::bind(options)?;
    let address = viewer.address().clone();

    let (stop_viewer, stop) = mpsc::channel();
    let (ordering, orders) = tokio::sync::mpsc::channel(4);
    let on_end = ordering.clone();
    let serving = std::thread::Builder::new().name("viewer".to_owned()).spawn(move || {
        let end = viewer.run(stop);
        // A page that is gone is noticed at once: the monitor ends with it. It cannot be told if it has ended already.
        let _ = on_end.try_send(Order::Stop);
        end
    })?;
    let watched = runtime::block_on(async {
        let mut signals = runtime::orders(Order::Stop)?;
        tokio::spawn(async move {
            while let Some(order) = signals.recv().await
                && ordering.send(order).await.is_ok()
            {}
        });
        let config = match configured {
            Some(config) => config,
            None => discover::this_host(Path::new("/proc"), tcp(&address)).await,
        };
        welcome(&config, &address, &status_file);
        let state_dir = status_file.parent().map(Path::to_path_buf).unwrap_or_default();
        let path = arguments.config.clone();
        let options = monitor::Options {
            reload: path.map(|path| -> monitor::Reload {
                Box::new(move || Ok(Reloaded { config: load_observing(&path)?, needs_restart: None }))
            }),
            config,
            status_file: status_file.clone(),
            state_dir,
            proc_root: "/proc".into(),
            bus: BusAddress::System,
            counts_itself: arguments.config.is_none(),
        };
        Ok::<_, io::Error>(monitor::run(options, orders).await)
    });
    let _ = stop_viewer.send(());
    let served = serving.join().map_err(|_| "the viewer ended unexpectedly")?;
    watched??.map_err(Box::new)?;
    served?;
    Ok(())
}

/// Whoever tries a configuration, perhaps beside the real monitor, wants to see what would be healed and no more.
fn load_observing(path: &Path) -> Result<Config, Problems> {
    let mut config = load(path)?;
    config.monitor.observe = true;
    Ok(config)
}

fn welcome(config: &Config, address: &Listen, status_file: &Path) {
    let what = match &config.path {
        Some(path) => format!("what {} says", path.display()),
        None => "this host".to_owned(),
    };
    let count = config.services.len();
    let title = style::paint(style::BOLD, format!("Wellkeep watches {what}: {count} services."));
    let file = status_file.display();
    let is_healed = config.services.iter().any(|service| service.heal.is_some());
    let heal =
        if is_healed { "  heal   only observed: it says what would be done, and does nothing\n" } else { "" };
    let program = std::env::args().next().unwrap_or_else(|| "wellkeep".to_owned());
    let page = shown(address);
    let api = if matches!(address, Listen::Tcp(_)) { format!("{page}api/status") } else { page.clone() };
    print(&format!(
        "{title}\n\n  open   {page}\n  API    {api}\n  file   {file}\n  table  {program} status --status-file {file}\n{heal}\n\
         Ctrl-C ends it.\n\n",
        page = style::paint(style::BOLD, &page),
    ));
}

fn tcp(listen: &Listen) -> Option<SocketAddr> {
    match listen {
        Listen::Tcp(address) => Some(*address),
        Listen::Unix(_) => None,
    }
}

/// A folder for us alone that goes away with us.
fn own_folder() -> io::Result<tempfile::TempDir> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|base| base.is_dir());
    let base = base.unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new().prefix("wellkeep-dev-").tempdir_in(&base).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot make a folder in {}: {error}; set TMPDIR", base.display()),
        )
    })
}
