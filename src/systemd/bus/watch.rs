//! The changes of units as systemd announces them, over a connection of its own: a stream that nobody reads for a
//! while must not block the answers to anybody's calls.
//!
//! The content of a signal is the witness of what was ordered, and by the time that it could be read again it is gone.
//! So nothing is read again for it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use zbus::message::{Message, Sequence, Type};
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, Variant, fdo};

use super::members::{MANAGER, MANAGER_PATH, ManagerProxy, PropertiesProxy, RawRow, Row, SYSTEMD};
use super::witnessed::{Change, SHUTDOWN_TARGET, Witnessed};
use super::{BusAddress, BusError, RECONNECT_INTERVAL, open, within_limit};
use crate::systemd::unit::{Sign, Told};

/// `daemon-reload` on a machine with 1,000 units sends 2,428 signals at once.
pub(super) const SIGNALS_QUEUED: NonZeroUsize = NonZeroUsize::new(4096).expect("not 0");
/// So much may be told and not yet heard.
const TOLD_QUEUED: usize = 1024;
/// A bus that hangs sends nothing, like a quiet one: it is asked so often whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(10);

const LOGIND: &str = "org.freedesktop.login1";

type Names = Arc<[String]>;

/// Watches units for as long as it exists. A bus that is missing, hangs, or is restarted ends nothing: it tries again,
/// at most once a second.
#[derive(Debug)]
pub struct Watch {
    units: watch::Sender<Names>,
    told: mpsc::Receiver<Told>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch no unit at all, but for whether the machine shuts down. Must be called on a tokio runtime.
    pub fn spawn(address: BusAddress) -> Watch {
        let (units, wanted) = watch::channel(Names::default());
        let (teller, told) = mpsc::channel(TOLD_QUEUED);
        Watch { units, told, task: tokio::spawn(keep_watching(address.resolve(), wanted, teller)) }
    }

    /// Watches these units from now on; the names must be valid and no templates. Told by a new `Began`, unless they
    /// are the same.
    pub fn units(&self, names: Vec<String>) {
        self.units.send_if_modified(|units| {
            let differs = **units != *names;
            *units = names.into();
            differs
        });
    }

    /// What is told next. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Told {
        match self.told.recv().await {
            Some(told) => told,
            // The runtime is on its way down.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_watching(address: String, mut units: watch::Receiver<Names>, told: mpsc::Sender<Told>) {
    let mut teller =
        Teller { told, is_watching: false, is_shutdown_announced: false, is_shutting_down: false };
    loop {
        let began = Instant::now();
        let Err(error) = watch_until_lost(&address, &mut units, &mut teller).await;
        teller.lost(error.to_string()).await;
        sleep_until(began + RECONNECT_INTERVAL).await;
    }
}

/// Tells what there is to tell; nothing twice.
struct Teller {
    told: mpsc::Sender<Told>,
    is_watching: bool,
    /// By logind, which does so before it tells systemd. systemd's own signals alone would be a gamble: it leaves the bus
    /// as soon as that is to be stopped, sometimes before it has said why.
    is_shutdown_announced: bool,
    is_shutting_down: bool,
}

impl Teller {
    async fn began(&mut self, signs: Vec<Sign>) {
        self.is_watching = true;
        self.tell(Told::Began(signs)).await;
    }

    async fn lost(&mut self, why: String) {
        if std::mem::take(&mut self.is_watching) {
            self.tell(Told::Lost(why)).await;
        }
    }

    async fn shutting_down(&mut self, has_begun: bool) {
        let is_shutting_down = has_begun || self.is_shutdown_announced;
        if std::mem::replace(&mut self.is_shutting_down, is_shutting_down) != is_shutting_down {
            self.tell(Told::ShuttingDown(is_shutting_down)).await;
        }
    }

    async fn tell(&self, told: Told) {
        // Nobody listens any more only when this task is about to be aborted.
        let _ = self.told.send(told).await;
    }
}

/// Watches over one connection, until that fails.
async fn watch_until_lost(
    address: &str,
    units: &mut watch::Receiver<Names>,
    teller: &mut Teller,
) -> Result<Infallible, BusError> {
    let (connection, mut messages) = within_limit(subscribe(address)).await?;
    if teller.is_shutdown_announced
        && let Ok(is_announced) = within_limit(is_preparing(&connection)).await
    {
        // That it was called off may have been said while nobody heard it.
        teller.is_shutdown_announced = is_announced;
    }
    let mut witnessed = Witnessed::default();
    // One question at a time, answered while signals go on being read: see `SIGNALS_QUEUED`.
    let mut question = FuturesUnordered::new();
    let mut look_again = true;
    let mut ping_at = Instant::now() + PING_INTERVAL;
    loop {
        if look_again && question.is_empty() {
            look_again = false;
            question.push(ask(&connection, Question::Look(units.borrow_and_update().clone())));
        }
        let is_idle = question.is_empty();
        tokio::select! {
            message = messages.next() => {
                let message = message.ok_or(BusError::Closed)?.map_err(|_| BusError::Closed)?;
                match read(&message, &witnessed) {
                    Some(Signal::Changed(path, change)) => {
                        for sign in witnessed.apply(&path, change, message.recv_position()) {
                            teller.tell(Told::Changed(sign)).await;
                        }
                    }
                    Some(Signal::Reloaded) => look_again = true,
                    Some(Signal::Left) => return Err(BusError::Left),
                    Some(Signal::Shutdown(is_announced)) => teller.is_shutdown_announced = is_announced,
                    None => continue,
                }
            }
            Some(answer) = question.next() => {
                ping_at = Instant::now() + PING_INTERVAL;
                let (question, message) = answer?;
                let Question::Look(names) = question else { continue };
                let rows = rows(&message, &names)?;
                if witnessed.adopt(&names, &rows, message.recv_position()) || !teller.is_watching {
                    teller.began(witnessed.signs()).await;
                }
            }
            Ok(()) = units.changed(), if is_idle => look_again = true,
            () = sleep_until(ping_at), if is_idle => question.push(ask(&connection, Question::Ping)),
        }
        if teller.is_watching {
            teller.shutting_down(witnessed.is_shutting_down()).await;
        }
    }
}

/// Whether logind is still about to shut the machine down.
async fn is_preparing(connection: &Connection) -> Result<bool, BusError> {
    let logind = PropertiesProxy::builder(connection)
        .destination(LOGIND)
        .path("/org/freedesktop/login1")
        .build()
        .await?;
    let is_preparing = logind.get("org.freedesktop.login1.Manager", "PreparingForShutdown").await?;
    is_preparing.try_into().map_err(|_| BusError::Closed)
}

/// Connects and has everything announced that is listened to. After that, and not before, the units are listed, so that
/// no change is lost in between.
async fn subscribe(address: &str) -> Result<(Connection, MessageStream), BusError> {
    let connection = open(address, SIGNALS_QUEUED).await?;
    // All in one queue, because their order counts.
    let messages = MessageStream::from(&connection);
    let bus = fdo::DBusProxy::new(&connection).await?;
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    let rules = [
        signal()
            .sender(SYSTEMD)
            .interface("org.freedesktop.DBus.Properties")
            .member("PropertiesChanged")
            .path_namespace("/org/freedesktop/systemd1/unit")
            .arg(0, "org.freedesktop.systemd1.Unit"),
        signal().sender(SYSTEMD).interface(MANAGER).member("Reloading").path(MANAGER_PATH),
        signal()
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, SYSTEMD),
        signal().sender(LOGIND).interface("org.freedesktop.login1.Manager").member("PrepareForShutdown"),
    ];
    for rule in rules {
        bus.add_match_rule(rule.build()?).await.map_err(zbus::Error::from)?;
    }
    ManagerProxy::new(&connection).await?.subscribe().await?;
    Ok((connection, messages))
}

/// What is asked over the connection that is listened to.
enum Question {
    /// How the units of these names are, and `shutdown.target`.
    Look(Names),
    /// Whether bus and systemd are there.
    Ping,
}

async fn ask(connection: &Connection, question: Question) -> Result<(Question, Message), BusError> {
    let answer = within_limit(async {
        Ok(match &question {
            Question::Look(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).chain([SHUTDOWN_TARGET]).collect();
                let to = (Some(SYSTEMD), MANAGER_PATH, Some(MANAGER));
                connection.call_method(to.0, to.1, to.2, "ListUnitsByNames", &names).await?
            }
            Question::Ping => {
                let peer = Some("org.freedesktop.DBus.Peer");
                connection.call_method(Some(SYSTEMD), MANAGER_PATH, peer, "Ping", &()).await?
            }
        })
    });
    let message = answer.await?;
    Ok((question, message))
}

/// The rows of the answer, one for each name and one for `shutdown.target`.
fn rows(answer: &Message, names: &[String]) -> Result<Vec<Row>, BusError> {
    let rows: Vec<RawRow> = answer.body().deserialize()?;
    let asked = names.len() + 1;
    if rows.len() != asked {
        return Err(BusError::RowCount { asked, got: rows.len() });
    }
    Ok(rows.into_iter().map(Row::from).collect())
}

/// A signal that matters.
enum Signal {
    /// This unit changed so.
    Changed(String, Change),
    /// All units were read anew: a name may now be an alias.
    Reloaded,
    /// systemd gave up its name on the bus.
    Left,
    /// logind is about to shut the machine down, or did not after all.
    Shutdown(bool),
}

fn read(message: &Message, witnessed: &Witnessed<Sequence>) -> Option<Signal> {
    if message.message_type() != Type::Signal {
        return None;
    }
    let header = message.header();
    match header.member()?.as_str() {
        "PropertiesChanged" => {
            let path = header.path()?.as_str();
            // Most signals are about others, and their properties are many.
            if !witnessed.watches(path) {
                return None;
            }
            let body = message.body();
            let (_, changed, _): (&str, HashMap<&str, Variant<'_>>, Vec<&str>) = body.deserialize().ok()?;
            Some(Signal::Changed(path.to_owned(), change(changed)))
        }
        "Reloading" => {
            let is_beginning: bool = message.body().deserialize().ok()?;
            (!is_beginning).then_some(Signal::Reloaded)
        }
        "NameOwnerChanged" => {
            let body = message.body();
            let (_, old, _): (&str, &str, &str) = body.deserialize().ok()?;
            // Its coming is no news: what we asked it meanwhile waited for that.
            (!old.is_empty()).then_some(Signal::Left)
        }
        "PrepareForShutdown" => Some(Signal::Shutdown(message.body().deserialize().ok()?)),
        _ => None,
    }
}

fn change(mut properties: HashMap<&str, Variant<'_>>) -> Change {
    let mut text = |name| properties.remove(name).and_then(|value| String::try_from(value).ok());
    let (active, sub) = (text("ActiveState"), text("SubState"));
    let job = properties.remove("Job").and_then(|job| <(u32, OwnedObjectPath)>::try_from(job).ok());
    Change { active, sub, has_job: job.map(|(id, _)| id != 0) }
}
