//! The only place that knows zbus: the connection here, what is asked over it in the files below.

mod members;
mod units;
mod services;
mod witnessed;
mod watch;
mod inspect;
mod act;
mod permission;
mod survey;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use zbus::{Connection, fdo};

use self::units::DetailsCache;
use super::unit::{Permission, UnitCall, UnitState};
use crate::engine::{HealEnd, SystemPhase, UnitFacts};

pub use services::RunningService;
pub use survey::{ClockSync, InstalledUnit, Survey};
pub use watch::Watch;

/// No call waits longer than this for its answer: a stopped bus daemon takes calls and never answers.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// Not more than one attempt to connect in this time.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);
/// Answers find who waits for them without a queue; this is for the few signals of a short conversation.
const ANSWERS_QUEUED: NonZeroUsize = NonZeroUsize::new(64).expect("not 0");
/// So many calls are under way at once: enough to hide the latency, few enough for the bus's limits.
const CALLS_AT_ONCE: usize = 16;

/// Where the bus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusAddress {
    /// The system bus: `$DBUS_SYSTEM_BUS_ADDRESS`, or `/run/dbus/system_bus_socket`.
    System,
    /// A D-Bus address, like `unix:path=/run/dbus/system_bus_socket`.
    At(String),
}

impl BusAddress {
    fn resolve(self) -> String {
        match self {
            BusAddress::At(address) => address,
            BusAddress::System => std::env::var("DBUS_SYSTEM_BUS_ADDRESS")
                .unwrap_or_else(|_| "unix:path=/run/dbus/system_bus_socket".into()),
        }
    }
}

/// Why systemd could not be asked. Says nothing about any unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus's socket does not exist.
    #[error("no system D-Bus: {0} does not exist (is dbus running?)")]
    Missing(String),
    /// The bus's socket is there and takes no connection.
    #[error("no system D-Bus: {address} cannot be connected to: {reason}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// No answer in time.
    #[error("the system D-Bus did not answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The bus is there, systemd is not on it.
    #[error("systemd is not on the system D-Bus (is it this machine's init?): {0}")]
    NoSystemd(String),
    /// systemd left the bus while we listened.
    #[error(
        "systemd left the system D-Bus, as it does when it executes itself anew or the machine shuts down"
    )]
    Left,
    /// The bus closed the connection.
    #[error("the system D-Bus closed the connection, as it does when it is restarted")]
    Closed,
    /// A call failed.
    #[error("systemd could not be asked over D-Bus: {0}")]
    Call(String),
    /// The answer does not fit the question, so no row of it can be trusted.
    #[error("systemd answered for {got} units when asked for {asked}: a unit name in monitor.yml is invalid")]
    RowCount {
        /// So many names were asked for.
        asked: usize,
        /// So many rows came back.
        got: usize,
    },
}

/// systemd, asked over the system D-Bus. It connects at the first call, drops the connection at any error and
/// connects anew at the next call, at most once a second.
#[derive(Debug)]
pub struct Bus {
    address: String,
    proc_root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    failed: Option<(Instant, BusError)>,
    details: DetailsCache,
}

impl Bus {
    /// A bus that is not connected yet.
    pub fn new(address: BusAddress) -> Bus {
        Bus { address: address.resolve(), proc_root: "/proc".into(), state: Mutex::default() }
    }

    /// The states of these units, in the same order, within `limit` (and 5 s at most). The names must be valid and
    /// no templates; a unit that does not exist comes back as `not-found`.
    ///
    /// # Errors
    /// When systemd could not be asked, or took too long. Nothing is known of any unit then.
    pub async fn units(&self, names: &[&str], limit: Duration) -> Result<Vec<UnitState>, BusError> {
        self.ask(limit, async |connection, details| {
            units::read(connection, details, &self.proc_root, names).await
        })
        .await
    }

    /// The running services that start by themselves or that something else needs (enabled, static, generated ...),
    /// without systemd's own and without logins: what `wellkeep dev` watches when nobody configured anything.
    ///
    /// # Errors
    /// When systemd could not be asked, or took too long.
    pub async fn list_services(&self, limit: Duration) -> Result<Vec<RunningService>, BusError> {
        self.ask(limit, async |connection, _| services::list(connection).await).await
    }

    /// A fresh look at what may speak against a heal: the unit, if there is one, and the machine. Nothing of it comes
    /// from a cache; it takes 5 s at most.
    pub async fn inspect(&self, unit: Option<&str>) -> (Option<Result<UnitFacts, BusError>>, SystemPhase) {
        inspect::inspect(&self.address, unit).await
    }

    /// Asks systemd to act and waits for the result of its job: for as long as the unit may take to stop and to start,
    /// and 15 minutes where it has no limit. On a connection of its own, so that no look at a unit waits for it.
    /// If the unit is not as it was `seen` any more, nothing is done.
    pub async fn act(&self, call: UnitCall, unit: &str, seen: Option<&UnitFacts>) -> HealEnd {
        act::act(&self.address, call, unit, seen).await
    }

    /// Whether we may do this to the unit, by asking for what systemd checks and then refuses; 5 s at most.
    pub async fn may_heal(&self, call: UnitCall, unit: &str) -> Permission {
        permission::may_heal(&self.address, call, unit).await
    }

    /// What systemd says of an installation: these units, and the machine around them; 5 s at most. Names as for
    /// [`Bus::units`].
    ///
    /// # Errors
    /// When systemd could not be asked, or took too long.
    pub async fn survey(&self, names: &[&str]) -> Result<Survey, BusError> {
        survey::survey(&self.address, names).await
    }

    /// Runs one question on the connection. The connection is taken out for that time, so that an error, a timeout
    /// and a caller that gave up all leave none behind: an answer that comes late must never be taken for the next one.
    async fn ask<T>(
        &self,
        limit: Duration,
        question: impl AsyncFnOnce(&Connection, &mut DetailsCache) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        let limit = limit.min(CALL_LIMIT);
        let answer = timeout(limit, async {
            let mut state = self.state.lock().await;
            let state = &mut *state;
            let connection = match state.connection.take() {
                Some(connection) if !connection.is_closed() => connection,
                _ => self.connect(&mut state.failed, limit).await?,
            };
            let answer = question(&connection, &mut state.details).await?;
            state.connection = Some(connection);
            Ok(answer)
        });
        answer.await.unwrap_or(Err(BusError::TimedOut(limit)))
    }

    async fn connect(
        &self,
        failed: &mut Option<(Instant, BusError)>,
        limit: Duration,
    ) -> Result<Connection, BusError> {
        if let Some((at, error)) = failed
            && at.elapsed() < RECONNECT_INTERVAL
        {
            return Err(error.clone());
        }
        // Set before the attempt: when it never ends, the caller's timeout leaves this behind.
        *failed = Some((Instant::now(), BusError::TimedOut(limit)));
        let built = open(&self.address, ANSWERS_QUEUED).await;
        *failed = built.as_ref().err().map(|error| (Instant::now(), error.clone()));
        built
    }
}

/// A new connection (0.4 ms). `queued` messages wait in it for a reader before it stops to read more.
async fn open(address: &str, queued: NonZeroUsize) -> Result<Connection, BusError> {
    let builder =
        zbus::connection::Builder::address(address).method_timeout(CALL_LIMIT).max_queued(queued).build();
    builder.await.map_err(|error| connect_error(address, &error))
}

fn connect_error(address: &str, error: &zbus::Error) -> BusError {
    let address = address.trim_start_matches("unix:path=").to_owned();
    match error {
        zbus::Error::Connection(io, _) if io.kind() == std::io::ErrorKind::NotFound => {
            BusError::Missing(address)
        }
        zbus::Error::Connection(io, _) => BusError::Unreachable { address, reason: io.to_string() },
        error => BusError::Unreachable { address, reason: error.to_string() },
    }
}

/// What is asked takes no longer than a call may take, all of it together.
async fn within_limit<T>(question: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
    timeout(CALL_LIMIT, question).await.unwrap_or(Err(BusError::TimedOut(CALL_LIMIT)))
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> BusError {
        match &error {
            zbus::Error::InputOutput(io) if io.kind() == std::io::ErrorKind::TimedOut => {
                BusError::TimedOut(CALL_LIMIT)
            }
            zbus::Error::FDO(reply) => match &**reply {
                fdo::Error::ServiceUnknown(text) | fdo::Error::NameHasNoOwner(text) => {
                    BusError::NoSystemd(text.clone())
                }
                _ => BusError::Call(error.to_string()),
            },
            _ => BusError::Call(error.to_string()),
        }
    }
}
