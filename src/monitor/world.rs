//! Everything outside of the engine that the loop listens to and gives orders to.

use std::path::{Path, PathBuf};
use std::process;

use tracing::{error, info, warn};

use super::tell;
use crate::config::Config;
use crate::engine::ProbeId;
use crate::engine::{Command, Engine, Event, Now, Request};
use crate::heal::Healer;
use crate::host::Deaths;
use crate::log::Kind;
use crate::probe::runner::Runner;
use crate::probe::{Detail, Report};
use crate::status::Memory;
use crate::status::history::Day;
use crate::store::{HoldWatch, Store};
use crate::systemd::{BusAddress, Told, Watch};

/// Where the world is.
pub(super) struct Places<'p> {
    pub(super) proc_root: &'p Path,
    pub(super) state_dir: &'p Path,
    pub(super) bus: BusAddress,
    pub(super) boot_id: &'p str,
    /// Whether our own process counts for process checks.
    pub(super) counts_itself: bool,
}

/// The world.
pub(super) struct World {
    runner: Runner,
    watch: Watch,
    deaths: Deaths<ProbeId>,
    healer: Healer,
    holds: HoldWatch,
    store: Store,
    state_dir: PathBuf,
}

impl World {
    /// The world as of this configuration. `memory` is what an earlier monitor left.
    pub(super) fn new(places: Places<'_>, config: &Config, memory: &Memory) -> std::io::Result<World> {
        let Places { proc_root, state_dir, bus, boot_id, counts_itself } = places;
        let excluded = (!counts_itself).then(process::id).into_iter().collect();
        let mut world = World {
            runner: Runner::new(proc_root, bus.clone(), excluded),
            watch: Watch::spawn(bus.clone()),
            deaths: Deaths::default(),
            healer: Healer::new(bus, proc_root, state_dir),
            holds: HoldWatch::start(state_dir)?,
            store: Store::start(state_dir, boot_id, memory)?,
            state_dir: state_dir.to_owned(),
        };
        world.configure(config);
        Ok(world)
    }

    /// Another configuration is in force.
    pub(super) fn configure(&mut self, config: &Config) {
        self.runner.configure(config);
        let mut units: Vec<String> =
            config.services.iter().filter_map(|service| Some(service.unit()?.to_owned())).collect();
        units.sort();
        units.dedup();
        self.watch.units(units);
        // The checks have new names; what they find is watched anew.
        self.deaths = Deaths::default();
        self.healer.ask_for_permission(config);
    }

    /// Does what the engine wants. Says whether a document is to be written.
    pub(super) fn obey(&mut self, commands: Vec<Command>, engine: &Engine, now: Now) -> bool {
        let mut probes: Vec<Request> = Vec::new();
        let mut publish = false;
        for command in commands {
            match command {
                Command::Probe(request) => probes.push(request),
                Command::Record(record) => {
                    tell::transition(&record);
                    self.store.transition(&record.key, &record.transition);
                }
                Command::Publish => publish = true,
                Command::Inspect(order) => self.healer.inspect(order),
                Command::Heal(order) => self.healer.heal(*order, self.store.save(engine.memory(now))),
                Command::CallOff(id) => self.healer.call_off(id),
                Command::Note(entry) => {
                    tell::decision(&entry);
                    self.store.note(entry);
                }
                Command::Incident(incident) => self.store.incident(incident),
                // Nobody waits for it: it is written also when the future is dropped.
                Command::Save => drop(self.store.save(engine.memory(now))),
                Command::History(days) => drop(self.store.history(days)),
            }
        }
        self.runner.start(probes);
        publish
    }

    /// The last save of an orderly end.
    pub(super) async fn save(&self, memory: Memory, history: Vec<Day>) {
        let (saved, ()) = tokio::join!(self.store.save(memory), self.store.history(history));
        if let Err(error) = saved {
            error!(event = %Kind::Storage, "counters and budgets in {} are not saved: {error}", self.state_dir.display());
        }
    }

    /// What happens next. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Event {
        tokio::select! {
            told = self.watch.next() => witnessed(told),
            event = self.healer.next() => event,
            id = self.deaths.next() => Event::ProcessEnded(id),
            holds = self.holds.changed() => Event::HoldsChanged(holds),
            (id, report) = self.runner.next() => self.probed(id, report),
        }
    }

    fn probed(&mut self, id: ProbeId, report: Report) -> Event {
        if let Detail::Process(detail) = &report.detail {
            self.deaths.watch(id, &detail.pids);
        }
        Event::Outcome(id, report)
    }
}

fn witnessed(told: Told) -> Event {
    match told {
        Told::Began(signs) => Event::WatchBegan(signs.into_iter().map(Into::into).collect()),
        Told::Changed(sign) => Event::UnitChanged(sign.into()),
        Told::Lost(why) => {
            warn!(event = %Kind::Units, "units are not watched: {why}; trying again every second");
            Event::WatchLost
        }
        Told::ShuttingDown(is_so) => {
            let what = if is_so { "shuts down: nothing is probed or healed" } else { "stays up" };
            info!(event = %Kind::Host, "the host {what}");
            Event::ShuttingDown(is_so)
        }
    }
}
