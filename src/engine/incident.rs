//! Incidents, and the lines of the ledger.

use crate::status::{Decision, Entry, HealResult, Incident, State, Timestamp};

use super::{Command, Engine, Now, Watched};

impl Engine {
    pub(super) fn open_incident(&mut self, now: Now, place: usize, commands: &mut Vec<Command>) {
        let service = &mut self.services[place];
        let key = service.config.key.clone();
        let incident = Incident {
            id: incident_id(now.wall, &key),
            service: key.clone(),
            began: service.left_up(),
            detected: now.wall,
            ended: None,
            cause: service.reason().to_owned(),
            outcome: None,
            heals: Vec::new(),
        };
        let state = service.state;
        let off = if service.config.heal.is_none() { "; healing is off for it" } else { "" };
        let words = format!("{state}: {}{off}", incident.cause);
        service.healing.incident = Some(incident);
        self.note(now, Some(place), Decision::Opened, words, None, commands);
        self.tell_incident(place, commands);
        // What it needs is looked at as well, at once.
        for need in self.services[place].needs.clone() {
            self.trigger(now, need);
        }
        if state == State::Down
            && let Some(count) = self.brake.went_down(&key, now.mono)
        {
            let words = format!(
                "{count} services went down within a minute, which points to a common cause: \
                 nothing is healed for a while, and then one at a time"
            );
            self.note(now, None, Decision::Wait, words, None, commands);
        }
    }

    pub(super) fn close_incident(&mut self, now: Now, place: usize, commands: &mut Vec<Command>) {
        let service = &mut self.services[place];
        let helped = service.healing.incident.as_ref().and_then(|incident| {
            incident.heals.iter().rev().find(|heal| heal.result == Some(HealResult::Healed))
        });
        let outcome = match (service.state, helped) {
            (State::Stopped, _) => "stopped: nothing says that it should run".to_owned(),
            (_, Some(heal)) => format!("well again by heal {} ({})", heal.attempt, heal.step),
            (_, None) => "well again without a heal".to_owned(),
        };
        self.end_incident(now, place, outcome, commands);
    }

    pub(super) fn end_incident(
        &mut self,
        now: Now,
        place: usize,
        outcome: String,
        commands: &mut Vec<Command>,
    ) {
        let Some(incident) = &mut self.services[place].healing.incident else { return };
        incident.ended = Some(now.wall);
        incident.outcome = Some(outcome.clone());
        self.tell_incident(place, commands);
        self.note(now, Some(place), Decision::Closed, outcome, None, commands);
        self.services[place].healing.conclude();
        self.brake.forget(&self.services[place].config.key);
        if self.brake.is_pulled() && !self.services.iter().any(|other| self.is_of_common_cause(other)) {
            self.brake.release();
        }
    }

    /// Whether the brake must hold for it. What has been down for long and waits for something else has no part in a common
    /// cause; what is in the middle of its incident and cannot be told, or was just freed by what it needs, may be down, and
    /// have its turn, in a moment.
    fn is_of_common_cause(&self, service: &Watched) -> bool {
        if service.healing.incident.is_none() {
            return false;
        }
        match service.state {
            State::Unknown => true,
            State::Starting => service.config.heal.is_some(),
            _ => service.healing.is_braked() || service.healing.waits_a_moment(),
        }
    }

    pub(super) fn tell_incident(&mut self, place: usize, commands: &mut Vec<Command>) {
        self.save = true;
        commands.extend(self.services[place].healing.incident.clone().map(Command::Incident));
    }

    /// Writes a decision down.
    pub(super) fn note(
        &mut self,
        now: Now,
        place: Option<usize>,
        decision: Decision,
        words: String,
        next_at: Option<Timestamp>,
        commands: &mut Vec<Command>,
    ) {
        let service = place.map(|place| &self.services[place]);
        commands.push(Command::Note(Entry {
            at: now.wall,
            service: service.map(|service| service.config.key.clone()),
            decision,
            words,
            incident: service.and_then(|service| Some(service.healing.incident.as_ref()?.id.clone())),
            next_at,
        }));
        self.publishing.changed = true;
        self.save = true;
    }
}

/// `20261123T114743Z-web`: sorts by time, and is a folder's name.
fn incident_id(at: Timestamp, key: &str) -> String {
    let time: String = at.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{time}-{key}")
}
