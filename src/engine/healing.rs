//! The engine's part that heals: what is decided and ordered, and what comes back of it.

use std::time::Duration;

use crate::config::Heal;
use crate::status::{Decision, HealResult, Memory, ServiceMemory, State};

use super::check::CheckState;
use super::heal::{
    Acting, Answer, Facts, Healing, MOMENTARY, Obstacle, Phase, decide, is_observing, not_done, words_of,
};
use super::intent::Intent;
use super::schedule::{Tick, hash};
use super::state::{is_in_doubt, is_well};
use super::watched::{TRIGGER_PAUSE, Watched};
use super::{
    Action, Command, Engine, HealEnd, HealId, HealOrder, InspectOrder, Inspection, Now, UnitChange, UnitFacts,
};

impl Engine {
    /// After a service was judged: its incident, its healing, and when to look at it again.
    pub(super) fn tend(&mut self, now: Now, place: usize, commands: &mut Vec<Command>) {
        let service = &mut self.services[place];
        let well = matches!(service.state, State::Up | State::Degraded) && is_well(service);
        service.healing.is_well(well, now.mono);
        let is_bad = matches!(service.state, State::Down | State::Unstable | State::Blocked);
        if service.healing.incident.is_none() && is_bad {
            self.open_incident(now, place, commands);
        }
        self.verify(now, place, commands);
        let service = &self.services[place];
        let is_over = well || service.state == State::Stopped;
        if service.healing.incident.is_some() && is_over && !service.healing.is_busy() {
            self.close_incident(now, place, commands);
        }
        self.consider(now, place, None, commands);
        self.set_alarm(place);
    }

    /// Asks the table, and does what it says.
    fn consider(&mut self, now: Now, place: usize, look: Option<&Inspection>, commands: &mut Vec<Command>) {
        let service = &self.services[place];
        let is_idle = service.healing.incident.is_none() && matches!(service.healing.phase, Phase::Idle);
        let is_under_way = look.is_none() && service.healing.is_busy();
        if is_idle && service.state != State::Stopped || is_under_way {
            return;
        }
        let Some(policy) = service.config.heal.clone() else { return };
        match decide(&policy, &service.healing, &self.facts(now, place, look)) {
            Answer::Well => self.services[place].healing.rest(),
            Answer::Wait(obstacle) => self.wait(now, place, &policy, Decision::Wait, obstacle, commands),
            Answer::Refuse(obstacle) => self.wait(now, place, &policy, Decision::Refuse, obstacle, commands),
            Answer::Look => {
                let id = self.new_heal_id();
                self.services[place].healing.phase = Phase::Looking { id, since: now.mono };
                commands.push(Command::Inspect(InspectOrder { id, unit: policy.unit.clone() }));
            }
            Answer::Act(action) => {
                let seen = look.and_then(|look| look.unit.clone()?.ok());
                self.act(now, place, &policy, action, seen, commands);
            }
        }
    }

    /// What the table decides by.
    fn facts<'a>(&'a self, now: Now, place: usize, look: Option<&'a Inspection>) -> Facts<'a> {
        let service = &self.services[place];
        let since = service.since_mono();
        let doubtful = service.needs.iter().map(|&need| &self.services[need]).find(|need| {
            // What it needs may have gone down with it, and no look at it has ended since.
            let is_unseen = need.round_began < since || !need.round_is_over();
            let is_awaited = is_unseen && need.overdue(now.mono).is_none();
            is_in_doubt(need) || is_awaited && !self.brake.shutting_down
        });
        let limit = look.and_then(|look| look.unit.as_ref()?.as_ref().ok());
        let start_allowed_at = limit.and_then(|unit| {
            let (burst, interval) = unit.start_limit?;
            let unseen = service.checks.iter().flat_map(CheckState::restarts);
            service.witness.start_allowed_at(burst, interval, unseen, now.mono)
        });
        Facts {
            now: now.mono,
            state: service.state,
            reason: service.reason(),
            since,
            grace: service.config.timing.start_grace,
            is_crash: service.checks.iter().any(|check| check.is_critical() && check.failed_by_an_answer()),
            intent: service.witness.intent(),
            doubtful_need: doubtful.map(|need| (need.config.name.as_str(), need.state)),
            host: self.host_obstacle(now, place),
            look,
            start_allowed_at,
        }
    }

    fn host_obstacle(&self, now: Now, place: usize) -> Option<Obstacle> {
        let unit = self.services[place].config.unit();
        let same_unit = unit.and_then(|unit| self.by_unit.get(unit)).into_iter().flatten();
        let mut others = same_unit.filter(|&&other| other != place).map(|&other| &self.services[other]);
        if let Some(other) = others.find(|other| other.healing.is_busy()) {
            return Some(Obstacle::same_unit(&other.config.name, now.mono));
        }
        let name = |service: &'_ Watched| service.config.name.clone();
        let (mut busy, mut first) = (None, None);
        if self.brake.is_pulled() {
            let others = || self.services.iter().enumerate().filter(|(other, _)| *other != place);
            busy = others().find(|(_, service)| service.healing.is_busy()).map(|(_, service)| name(service));
            // In the order of dependencies, then of the configuration.
            let rank = |place: usize| (self.services[place].depth, place);
            let waits_too = |service: &Watched| matches!(&service.healing.phase, Phase::Waiting(obstacle) if obstacle.code == "turn");
            first = others()
                .find(|&(other, service)| rank(other) < rank(place) && waits_too(service))
                .map(|(_, service)| name(service));
        }
        self.brake.obstacle(self.heal_budget, busy.as_deref(), first.as_deref(), now.mono)
    }

    /// Something is in the way. One line for each obstacle, however often it is met.
    fn wait(
        &mut self,
        now: Now,
        place: usize,
        policy: &Heal,
        decision: Decision,
        obstacle: Obstacle,
        commands: &mut Vec<Command>,
    ) {
        let next_at = obstacle.until.map(|until| now.wall_at(until));
        let healing = &mut self.services[place].healing;
        let words = format!("{}: {}", not_done(healing.step(policy)), obstacle.words);
        let is_notice = match obstacle.code {
            "budget" => healing.exhaust(),
            "host-budget" => self.brake.exhaust(),
            _ => false,
        };
        let is_worth_a_line = !MOMENTARY.contains(&obstacle.code);
        if healing.wait(obstacle) && is_worth_a_line {
            let decision = if is_notice { Decision::Notice } else { decision };
            self.note(now, Some(place), decision, words, next_at, commands);
        }
    }

    /// Heals.
    fn act(
        &mut self,
        now: Now,
        place: usize,
        policy: &Heal,
        action: Action,
        seen: Option<UnitFacts>,
        commands: &mut Vec<Command>,
    ) {
        let id = self.new_heal_id();
        let observe = is_observing(policy, self.observe);
        let service = &mut self.services[place];
        let step = words_of(service.healing.step(policy));
        let acting = Acting {
            id,
            began: now.mono,
            observe,
            starts_unit: matches!(action, Action::TryRestart(_) | Action::Start(_)),
        };
        let order = HealOrder {
            id,
            key: service.config.key.clone(),
            incident: service.healing.incident.as_ref().map(|open| open.id.clone()).unwrap_or_default(),
            attempt: service.healing.begin(acting, step.clone(), now),
            action,
            unit: policy.unit.clone(),
            reason: service.reason().to_owned(),
            checks: Box::new(service.results()),
            seen,
            observe,
        };
        let heals = service.healing.heals_within_an_hour(now.mono);
        let (would, decision) = match observe {
            true => ("would ", Decision::WouldHeal),
            false => {
                self.brake.spend(now.mono);
                ("", Decision::Heal)
            }
        };
        let words = format!("{would}{step} ({heals} of {} within an hour): {}", policy.budget, order.reason);
        self.note(now, Some(place), decision, words, None, commands);
        self.tell_incident(place, commands);
        commands.push(Command::Heal(Box::new(order)));
    }

    /// The look before a heal came back.
    pub(super) fn inspected(&mut self, now: Now, id: HealId, look: &Inspection, commands: &mut Vec<Command>) {
        let is_this =
            |service: &Watched| matches!(service.healing.phase, Phase::Looking { id: own, .. } if own == id);
        let Some(place) = self.services.iter().position(is_this) else { return };
        let service = &mut self.services[place];
        service.healing.phase = Phase::Idle;
        if let Some(Ok(unit)) = &look.unit
            && let (Some(age), Some((_, interval))) = (unit.running_for, unit.start_limit)
            && age < interval
        {
            service.witness.note_start(now.mono.saturating_sub(age));
        }
        self.consider(now, place, Some(look), commands);
        self.set_alarm(place);
    }

    /// A heal came back.
    pub(super) fn heal_finished(&mut self, now: Now, id: HealId, end: HealEnd, commands: &mut Vec<Command>) {
        let this = |service: &Watched| match service.healing.phase {
            Phase::Acting(acting) if acting.id == id => Some(acting),
            _ => None,
        };
        let found =
            self.services.iter().enumerate().find_map(|(place, service)| Some((place, this(service)?)));
        let Some((place, acting)) = found else { return };
        let service = &mut self.services[place];
        // None when a reload took it away meanwhile: what was begun has its end all the same.
        let policy = service.config.heal.clone();
        match end {
            HealEnd::Done if acting.observe => self.end_heal(place, HealResult::Observed, now),
            HealEnd::Done => {
                self.cannot_heal = None;
                // Systemd gives a start its time, and so does the grace.
                let timing = &service.config.timing;
                let least = timing.start_grace + timing.retry_interval * (timing.success_threshold + 1);
                let within = policy.map_or(least, |policy| policy.verify_within.max(least));
                service.healing.verify(within, now.mono);
                service.history.count(now, 0, 1);
            }
            HealEnd::Failed(ref why) | HealEnd::Untold(ref why) => {
                // What became of our own order when nobody heard of it may be somebody else's doing.
                if acting.starts_unit && matches!(end, HealEnd::Failed(_)) {
                    service.witness.was_our_doing();
                }
                // An attempt that failed is a heal as well; so it is in the budget and in the totals.
                service.history.count(now, 0, 1);
                self.end_heal(place, HealResult::Failed, now);
                self.note_end(now, place, Decision::HealFailed, why, commands);
            }
            HealEnd::Cancelled(why) => {
                if !acting.observe {
                    self.brake.refund(acting.began);
                }
                self.end_heal(place, HealResult::Cancelled, now);
                self.note_end(now, place, Decision::Cancel, &why, commands);
            }
            HealEnd::Forbidden(why) => {
                self.brake.refund(acting.began);
                self.services[place].healing.forbid(now.mono);
                self.note_end(now, place, Decision::Notice, &why, commands);
                self.cannot_heal = Some(why);
            }
        }
        self.tell_incident(place, commands);
        self.trigger(now, place);
        self.evaluate(now, place, commands);
    }

    fn end_heal(&mut self, place: usize, result: HealResult, now: Now) {
        let seed = self.seed_of(place);
        let service = &mut self.services[place];
        service.healing.end(result, service.config.heal.as_ref(), seed, now.mono);
        self.save = true;
    }

    /// Tells the backoff of this service on this host from that of all others.
    fn seed_of(&self, place: usize) -> u64 {
        self.seed ^ hash(&self.services[place].config.key)
    }

    /// One line about the end of a step.
    fn note_end(
        &mut self,
        now: Now,
        place: usize,
        decision: Decision,
        why: &str,
        commands: &mut Vec<Command>,
    ) {
        let step = words_of_last(self.healing(place));
        let what = match decision {
            Decision::Cancel | Decision::Notice => "was not made",
            _ => "did not help",
        };
        self.note(now, Some(place), decision, format!("{step} {what}: {why}"), None, commands);
    }

    /// Whether a heal that was made helped.
    fn verify(&mut self, now: Now, place: usize, commands: &mut Vec<Command>) {
        let service = &self.services[place];
        let Phase::Verifying { since, until } = service.healing.phase else { return };
        let was_looked_at = service.round_began >= since && service.round_is_over();
        // Signals ask for rounds within the first moment, in which also what dies at once is up.
        let is_proof = service.round_began >= since + service.config.timing.retry_interval;
        if is_well(service) && was_looked_at && is_proof {
            let took = now.mono.saturating_sub(since).as_secs();
            self.end_heal(place, HealResult::Healed, now);
            let words = format!("{} helped: well again after {took} s", words_of_last(self.healing(place)));
            self.note(now, Some(place), Decision::Healed, words, None, commands);
        } else if service.state == State::Stopped && was_looked_at {
            self.end_heal(place, HealResult::Failed, now);
            self.note_end(now, place, Decision::HealFailed, "it was stopped meanwhile", commands);
        } else if now.mono >= until || service.state == State::Down && was_looked_at && is_crashed(service) {
            let why = service.reason().to_owned();
            self.end_heal(place, HealResult::Failed, now);
            self.note_end(now, place, Decision::HealFailed, &why, commands);
        } else {
            return;
        }
        self.tell_incident(place, commands);
    }

    fn healing(&self, place: usize) -> &Healing {
        &self.services[place].healing
    }

    /// A unit changed, or the watch over it began.
    pub(super) fn unit_changed(
        &mut self,
        now: Now,
        change: &UnitChange,
        is_beginning: bool,
        commands: &mut Vec<Command>,
    ) {
        for place in self.by_unit.get(&change.unit).cloned().unwrap_or_default() {
            let witness = &mut self.services[place].witness;
            let before = witness.memory();
            match is_beginning {
                true => witness.begin(change),
                false => witness.saw(change, now.mono),
            }
            self.save |= witness.memory() != before;
            // Between our decision and our call somebody stopped or reset it. If the call was made already, this is what
            // came of that, and calling it off does nothing.
            if let Phase::Acting(acting) = self.services[place].healing.phase
                && matches!(self.services[place].witness.intent(), Intent::Stop | Intent::Reset)
            {
                commands.push(Command::CallOff(acting.id));
            }
            self.trigger(now, place);
        }
    }

    pub(super) fn watch_lost(&mut self) {
        self.services.iter_mut().for_each(|service| service.witness.lose());
    }

    /// Something happened to a service: it is looked at at once, or as soon as the round in flight is over.
    pub(super) fn trigger(&mut self, now: Now, place: usize) {
        let service = &mut self.services[place];
        let Some(due) = service.due else {
            service.is_wanted_again = true;
            return;
        };
        let earliest = service.triggered.map_or(Duration::ZERO, |at| at + TRIGGER_PAUSE);
        let tick = match earliest <= now.mono {
            true => Tick::at_or_before(now.mono),
            false => Tick::at_or_after(earliest),
        };
        service.triggered = Some(now.mono.max(earliest));
        if tick < due {
            self.set_due(place, tick);
        }
    }

    /// When this service must be looked at again, for its healing's sake.
    fn set_alarm(&mut self, place: usize) {
        let alarm = self.services[place].healing.alarm();
        let before = std::mem::replace(&mut self.services[place].alarm, alarm);
        if before != alarm {
            before.map(|at| self.alarms.remove(&(at, place)));
            self.alarms.extend(alarm.map(|at| (at, place)));
        }
    }

    /// The services whose alarm rang are judged again.
    pub(super) fn ring_alarms(&mut self, now: Now, commands: &mut Vec<Command>) {
        while let Some(&(at, place)) = self.alarms.first().filter(|(at, _)| *at <= now.mono) {
            self.alarms.remove(&(at, place));
            self.services[place].alarm = None;
            self.evaluate(now, place, commands);
        }
    }

    pub(super) fn new_heal_id(&mut self) -> HealId {
        self.next_heal += 1;
        HealId(self.next_heal)
    }

    /// What must survive a restart of the monitor, from this moment on.
    pub fn memory(&self, now: Now) -> Memory {
        let of = |service: &Watched| (service.config.key.clone(), service.memory(now.mono));
        let services = self.services.iter().map(of).filter(|(_, memory)| *memory != ServiceMemory::default());
        Memory { services: services.collect(), ..self.brake.memory(now.mono) }
    }

    /// Takes up what an earlier monitor left.
    pub fn recall(&mut self, now: Now, memory: &Memory) -> Vec<Command> {
        let commands = &mut Vec::new();
        self.brake.recall(memory, now.mono);
        for place in 0..self.services.len() {
            let seed = self.seed_of(place);
            let service = &mut self.services[place];
            let Some(remembered) = memory.services.get(&service.config.key) else { continue };
            if service.recall(remembered, seed, now.mono) {
                let words = format!(
                    "the monitor ended in the middle of {}: nobody knows what came of it",
                    words_of_last(&service.healing)
                );
                self.note(now, Some(place), Decision::HealFailed, words, None, commands);
                self.tell_incident(place, commands);
            }
        }
        std::mem::take(commands)
    }

    /// The places of the services that are about a unit.
    pub(super) fn units(services: &[Watched]) -> std::collections::HashMap<String, Vec<usize>> {
        let mut by_unit = std::collections::HashMap::<String, Vec<usize>>::new();
        for (place, service) in services.iter().enumerate() {
            if let Some(unit) = service.config.unit() {
                by_unit.entry(unit.to_owned()).or_default().push(place);
            }
        }
        by_unit
    }
}

/// Whether systemd itself says that it failed.
fn is_crashed(service: &Watched) -> bool {
    service.witness.intent() != Intent::Run
        && service.checks.iter().any(|check| check.is_critical() && check.failed_for_certain())
}

/// The latest heal as a subject: `the restart`, `/usr/local/bin/mend`.
fn words_of_last(healing: &Healing) -> String {
    let last = healing.incident.as_ref().and_then(|incident| incident.heals.last());
    let step = last.map_or("heal", |heal| &heal.step);
    match step.strip_prefix("run ") {
        Some(program) => program.to_owned(),
        None => format!("the {step}"),
    }
}
