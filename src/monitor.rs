//! The loop: events in, commands out. Everything is decided in the engine; everything that takes time happens elsewhere
//! and comes back as an event, so nothing that hangs stops the loop.

mod tell;
mod watchdog;
mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::config::{Config, Problems};
use crate::engine::{Edition, Engine, Event, Identity, Now};
use crate::host::Figures;
use crate::log::Kind;
use crate::probe::counted;
use crate::status::lock::{LockError, StateLock};
use crate::status::write::{Writer, render, sweep};
use crate::status::{Memory, Mode, MonitorState, Timestamp, read};
use crate::store::history;
use crate::store::state::{self, Moment};
use crate::systemd::BusAddress;

use self::watchdog::{Feeding, Watchdog};
use self::world::{Places, World};

/// An orderly end waits for the last document, and one that is being written, at most so long.
const LAST_WRITE: Duration = Duration::from_millis(1500);

/// What the loop is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Read the configuration again (SIGHUP).
    Reload,
    /// End in good order (SIGTERM, SIGINT).
    Stop,
}

/// Reads the configuration again.
pub type Reload = Box<dyn Fn() -> Result<Reloaded, Problems>>;

/// A configuration that was read again.
#[derive(Debug)]
pub struct Reloaded {
    /// It is in force from now on ...
    pub config: Config,
    /// ... but for this, which needs a restart of the monitor; a sentence.
    pub needs_restart: Option<String>,
}

/// What the monitor works on. Whatever it reads from outside comes in here.
pub struct Options {
    /// The configuration to begin with.
    pub config: Config,
    /// Reads the configuration again; none when there is no file.
    pub reload: Option<Reload>,
    /// The document.
    pub status_file: PathBuf,
    /// Where the lock is, and all that must survive a restart.
    pub state_dir: PathBuf,
    /// `/proc`, or what stands for it.
    pub proc_root: PathBuf,
    /// Where systemd is asked.
    pub bus: BusAddress,
    /// Whether our own process counts for process checks. Its command line may name what a check looks for, so only
    /// a configuration that the program made itself wants that.
    pub counts_itself: bool,
}

/// Why a monitor could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be made.
    #[error("cannot make the state directory {folder}: {source}; give another one with --state-dir")]
    StateDir {
        /// The directory.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state directory is not ours.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system is at its limit of threads.
    #[error("cannot start the writer's thread: {0}")]
    Thread(std::io::Error),
}

/// Probes, decides, heals and writes until it is told to stop.
pub async fn run(options: Options, mut orders: mpsc::Receiver<Order>) -> Result<(), StartError> {
    let Options { config, reload, status_file, state_dir, proc_root, bus, counts_itself } = options;
    let _lock = take_possession(&state_dir, &status_file)?;
    let clock = Clock::start();
    let boot_id = read::Boot::of(&proc_root).map(|boot| boot.id).unwrap_or_default();
    let memory = recall(&state_dir, &boot_id);
    let places =
        Places { proc_root: &proc_root, state_dir: &state_dir, bus, boot_id: &boot_id, counts_itself };
    let mut world = World::new(places, &config, &memory).map_err(StartError::Thread)?;
    let mut writer = Writer::new(status_file.clone()).map_err(StartError::Thread)?;
    let mut figures = Figures::new();
    let mut journal = Journal::default();
    let mut sequence = 0;

    announce(&config, &status_file);
    let mut engine = Engine::new(config, identity(boot_id), clock.now());
    let mut publish = world.obey(engine.recall(clock.now(), &memory), &engine, clock.now());
    remember(&mut engine, &clock, &state_dir);
    let mut event = Event::Tick;
    let mut watchdog = Watchdog::new(sd_notify::watchdog_enabled());
    let mut writing_since = None;
    let mut needs_restart = None;
    loop {
        let now = clock.now();
        let commands = engine.handle(now, event);
        publish |= world.obey(commands, &engine, now);
        if publish && !writer.is_busy() {
            publish = false;
            sequence += 1;
            let state = MonitorState::Running;
            let edition =
                Edition { sequence, host: figures.read(), state, needs_restart: needs_restart.clone() };
            writer.start(render(&engine.document(clock.now(), edition)));
            writing_since = Some(now.mono);
        }
        feed(&mut watchdog, now, writing_since.filter(|_| writer.is_busy()), &status_file);
        let wakeup =
            watchdog.wakeup().map_or(engine.next_wakeup(), |wakeup| wakeup.min(engine.next_wakeup()));
        event = tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Reload) => reread(reload.as_deref(), &mut world, &mut needs_restart),
                Some(Order::Stop) | None => break,
            },
            result = writer.finished() => journal.written(result, &status_file),
            event = world.next() => event,
            () = clock.reaches(wakeup) => Event::Tick,
        };
    }

    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let state = MonitorState::Stopped;
    let edition = Edition { sequence: sequence + 1, host: figures.read(), state, needs_restart };
    writer.start(render(&engine.document(clock.now(), edition)));
    let history = engine.history(clock.now());
    tokio::join!(finish(writer, &status_file), world.save(engine.memory(clock.now()), history));
    Ok(())
}

/// What an earlier monitor left, as of now.
fn recall(state_dir: &Path, boot_id: &str) -> Memory {
    let loaded = state::load(state_dir, &Moment::now(boot_id));
    if let Some(warning) = loaded.warning {
        warn!(event = %Kind::Storage, "{warning}");
    }
    loaded.memory
}

/// Gives the engine the services' past, as earlier monitors wrote it down.
fn remember(engine: &mut Engine, clock: &Clock, state_dir: &Path) {
    if let Err(error) = history::read_each(state_dir, |past| engine.remember(clock.now(), &past)) {
        let folder = state_dir.join(history::FOLDER);
        warn!(event = %Kind::Storage, "{} cannot be read: {error}; what it holds is not in the document", folder.display());
    }
}

/// Waits for the last document, but not for ever.
async fn finish(mut writer: Writer, status_file: &Path) {
    let last = async {
        let mut result = Ok(());
        while writer.is_busy() {
            result = writer.finished().await;
        }
        result
    };
    match tokio::time::timeout(LAST_WRITE, last).await {
        Ok(Ok(())) => info!(event = %Kind::Stop, "stopped"),
        Ok(Err(error)) => {
            error!(event = %Kind::Stop, "stopped; {} cannot be written: {error}", status_file.display());
        }
        Err(_) => {
            error!(event = %Kind::Stop, "stopped; writing {} hangs: its disk does not answer", status_file.display());
        }
    }
}

/// Makes the state directory, takes its lock, and clears away what a killed monitor left.
fn take_possession(state_dir: &Path, status_file: &Path) -> Result<StateLock, StartError> {
    std::fs::create_dir_all(state_dir)
        .map_err(|source| StartError::StateDir { folder: state_dir.to_owned(), source })?;
    let lock = StateLock::acquire(state_dir)?;
    let folder = match status_file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The lock keeps others out of the state directory only.
    let min_age = if folder == state_dir { Duration::ZERO } else { Duration::from_secs(60) };
    if let Err(error) = sweep(folder, min_age) {
        warn!(event = %Kind::Storage, "cannot clear unfinished documents out of {}: {error}", folder.display());
    }
    Ok(lock)
}

fn identity(boot_id: String) -> Identity {
    Identity {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        boot_id,
        mode: Mode::ProductionMonitoring,
    }
}

fn announce(config: &Config, status_file: &Path) {
    let checks: usize = config.services.iter().map(|service| service.checks.len()).sum();
    info!(
        event = %Kind::Start,
        "watching {} with {}; writing {}",
        counted(config.services.len(), "service"),
        counted(checks, "check"),
        status_file.display()
    );
    if config.monitor.observe {
        info!(event = %Kind::Start, "observing: it is said what would be healed, and nothing is");
    }
}

/// Reads the configuration again. A wrong one changes nothing but what the document says of it.
fn reread(
    reload: Option<&dyn Fn() -> Result<Reloaded, Problems>>,
    world: &mut World,
    needs_restart: &mut Option<String>,
) -> Event {
    let Some(reload) = reload else {
        warn!(event = %Kind::Config, "told to reload, but there is no configuration file");
        return Event::Tick;
    };
    let reloading = sd_notify::NotifyState::monotonic_usec_now()
        .and_then(|now| sd_notify::notify(&[sd_notify::NotifyState::Reloading, now]));
    let read = reload();
    if reloading.is_ok() {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    }
    match read {
        Ok(Reloaded { config, needs_restart: news }) => {
            info!(event = %Kind::Config, "configuration reloaded: watching {}", counted(config.services.len(), "service"));
            if let Some(news) = &news {
                warn!(event = %Kind::Config, "{news}");
            }
            *needs_restart = news;
            world.configure(&config);
            Event::ConfigChanged(config)
        }
        Err(problems) => {
            error!(event = %Kind::Config, "the configuration is wrong, the last good one stays in force:\n{problems}");
            Event::ConfigRefused(problems.to_string())
        }
    }
}

/// What was told of the documents, so that a full disk is told once and not once a second.
#[derive(Default)]
struct Journal {
    has_tried: bool,
    failing: bool,
}

impl Journal {
    fn written(&mut self, result: std::io::Result<()>, path: &Path) -> Event {
        // Also when it failed: a full disk is no reason to be started again and again.
        if !std::mem::replace(&mut self.has_tried, true) {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        }
        match result {
            Ok(()) => {
                if self.failing {
                    info!(event = %Kind::Storage, "{} is written again", path.display());
                }
                self.failing = false;
                Event::Tick
            }
            Err(error) => {
                if !self.failing {
                    error!(event = %Kind::Storage, "cannot write {}: {error}; trying again every second", path.display());
                }
                self.failing = true;
                Event::WriteFailed
            }
        }
    }
}

/// Tells systemd, where it wants to know, that the monitor is at work.
fn feed(watchdog: &mut Watchdog, now: Now, writing_since: Option<Duration>, status_file: &Path) {
    match watchdog.turned(now.mono, writing_since) {
        Feeding::Due => {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
        Feeding::NotDue => {}
        Feeding::Withheld(written_for) => error!(
            event = %Kind::Storage,
            "writing {} has hung for {} s: its disk does not answer. Unless that ends, systemd kills and restarts the monitor",
            status_file.display(),
            written_for.as_secs()
        ),
    }
}

/// The two clocks.
struct Clock {
    origin: Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    fn now(&self) -> Now {
        Now { mono: self.origin.elapsed(), wall: wall_clock() }
    }

    /// Waits for a moment of [`Now::mono`].
    async fn reaches(&self, mono: Duration) {
        tokio::time::sleep_until(self.origin + mono).await;
    }
}

/// The wall clock.
pub fn wall_clock() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since_1970.as_millis() as i64)
}
