//! The healing of one service: where it stands, and the table that decides.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::config::{Heal, HealMode, Step};
use crate::status::{
    self, HealPhase, HealResult, HealStatus, HealTotals, Incident, LastHeal, ServiceMemory, State,
};

use super::intent::Intent;
use super::{Action, HealId, Inspection, Now, Pressure, SystemPhase, UnitFacts};

/// Budgets are for an hour, and a trial beyond them is made once in it.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// After so long without a fault the backoff begins anew.
const WELL_AGAIN: Duration = Duration::from_secs(600);
/// From the confirmation to the first heal. Services that die of one cause die within milliseconds of each other: with
/// this pause the first is not healed before the third is known.
const SETTLE: Duration = Duration::from_millis(500);
/// The codes of what takes a moment, and is no decision that anybody wants to read about.
pub(super) const MOMENTARY: [&str; 2] = ["settle", FIRST_THE_NEED];
const FIRST_THE_NEED: &str = "first-the-need";
/// The codes of what passes at a time that is known; then the step is made unless something new is in the way. To count
/// down to anything else would promise what only a person or luck can bring: a unit with a mistyped name has no next
/// restart, it is only looked at again.
const TIMED: [&str; 8] =
    ["budget", "backoff", "settle", "host-budget", "common-cause", "turn", "started", "start-limit"];
/// What is in the way and sends no word when it goes is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A missing permission is tried again after this.
const FORBIDDEN: Duration = Duration::from_secs(300);
/// Above this share of time (percent of the last 10 s in which some task waited) the machine starves.
const MEMORY_PRESSURE: f32 = 25.0;
/// As above, for a CPU: a busy machine has some tasks waiting for it most of the time.
const CPU_PRESSURE: f32 = 80.0;

/// After so long a starving machine is no excuse any more: perhaps this very service is what starves it.
const PATIENCE: Duration = Duration::from_secs(300);
/// So many heals of one incident are kept: the first, and the latest.
const HEALS_KEPT: usize = 24;

/// Where the healing of a service stands.
#[derive(Debug, Default)]
pub(super) struct Healing {
    pub(super) phase: Phase,
    pub(super) incident: Option<Incident>,
    last: Option<LastHeal>,
    /// How the heals ended, all that there were.
    totals: HealTotals,
    /// Heals in a row that did not keep it well: the backoff's exponent.
    attempts: u32,
    /// Heals in a row that were cancelled.
    cancelled: u32,
    /// The backoff.
    not_before: Duration,
    /// When each heal of the last hour stops counting against the budget.
    spent: VecDeque<Duration>,
    /// The same for those of them that were only observed.
    observed: VecDeque<Duration>,
    /// The budget was used up: one trial an hour until it was well for a while.
    exhausted: bool,
    /// That was told in this incident.
    is_noticed: bool,
    well_since: Option<Duration>,
    /// The codes of the obstacles that were written down since the latest heal: one line for each, however often it is
    /// met, also when two take turns.
    noted: BTreeSet<&'static str>,
}

/// What is going on.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// Something is in the way.
    Waiting(Obstacle),
    /// The look before a heal is under way since `since`.
    Looking { id: HealId, since: Duration },
    /// The heal is under way.
    Acting(Acting),
    /// It was made at `since`; until `until` the checks may say that it helped.
    Verifying { since: Duration, until: Duration },
}

/// A heal under way. What it costs and what its end means is settled by how it was ordered, whatever a reload says
/// meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acting {
    pub(super) id: HealId,
    pub(super) began: Duration,
    pub(super) observe: bool,
    /// It stops the unit or resets it, and then starts it. No signal tells our order from an administrator's.
    pub(super) starts_unit: bool,
}

/// What is in the way of a heal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// The same for the same obstacle, whatever the words.
    pub(super) code: &'static str,
    /// To follow "not restarted:".
    pub(super) words: String,
    /// When it is looked at again; none when something must happen first, which then is an event.
    pub(super) until: Option<Duration>,
}

impl Obstacle {
    pub(super) fn new(code: &'static str, words: impl Into<String>, until: Option<Duration>) -> Obstacle {
        Obstacle { code, words: words.into(), until }
    }

    /// Another service about the same unit is being healed: that may help this one as well.
    pub(super) fn same_unit(other: &str, now: Duration) -> Obstacle {
        Obstacle::new(
            "same-unit",
            format!("{other}, of the same unit, is being healed"),
            Some(now + LOOK_AGAIN),
        )
    }
}

/// What the table decides by.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) now: Duration,
    /// What is believed of the service, and why.
    pub(super) state: State,
    pub(super) reason: &'a str,
    /// When that began.
    pub(super) since: Duration,
    /// What a start is given to become well.
    pub(super) grace: Duration,
    /// Whether it fails by more than an answer that did not come in time: a crash, a refusal, a status 500 are no less
    /// true on a busy machine.
    pub(super) is_crash: bool,
    /// Why its unit does not run, if it does not.
    pub(super) intent: Intent,
    /// A service that it needs is not well, and nothing says that it is down: its name and state.
    pub(super) doubtful_need: Option<(&'a str, State)>,
    /// What concerns the whole host.
    pub(super) host: Option<Obstacle>,
    /// The look just before the heal, once it was made.
    pub(super) look: Option<&'a Inspection>,
    /// When systemd's own limit allows one more start, if not now.
    pub(super) start_allowed_at: Option<Duration>,
}

/// What the table says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It needs no healing.
    Well,
    /// Not now.
    Wait(Obstacle),
    /// Not unless a person does something.
    Refuse(Obstacle),
    /// Nothing known speaks against it: look again, just before acting.
    Look,
    /// Nothing speaks against it.
    Act(Action),
}

/// Decides what is to be done about a service. The rows are tried from the top; the first that fits decides. The
/// numbers are those of the healing rules in the README.
///
/// | rule | the service, the host, the look                                | answer              |
/// |------|-----------------------------------------------------------------|---------------------|
/// |      | a person asked for a pause                                      | wait for its end    |
/// | 5    | stopped: by order, or nobody watched; masked; condition not met | refuse              |
/// | 10   | blocked by what it needs                                        | wait for that       |
/// | 2    | anything else but down                                          | well                |
/// | 7    | the budget is used up: one trial an hour                        | wait                |
/// | 7    | backoff                                                         | wait                |
/// | 2    | down just now: who dies of the same cause?                      | wait half a second  |
/// | 10   | what it needs is in doubt, or was not looked at since           | wait                |
/// | 3    | another service about the same unit is being healed             | wait                |
/// | 11, 13, 7 | shutdown, common cause, the host's budget                  | wait                |
/// | 3    | not looked yet                                                  | look                |
/// | 13   | the boot is not finished, or the host shuts down                | wait                |
/// | 12   | the machine itself starves, and answers are only late           | wait, 5 min at most |
/// | 3    | the unit cannot be told                                         | wait                |
/// | 5    | the unit is masked, not found, wrong, or not for manual use     | refuse              |
/// | 4    | systemd is at work on it                                        | wait                |
/// | 3    | it was started since the service went down: its grace           | wait                |
/// | 5    | it does not run, and it was not seen to end by itself           | refuse              |
/// | 6    | one more start would be beyond systemd's own limit              | wait                |
/// |      | else                                                            | act                 |
pub(super) fn decide(policy: &Heal, healing: &Healing, facts: &Facts<'_>) -> Answer {
    let now = facts.now;
    let wait = |code, words: String, until| Answer::Wait(Obstacle::new(code, words, until));
    match facts.state {
        State::Held => return wait("held", facts.reason.to_owned(), None),
        State::Stopped => return Answer::Refuse(Obstacle::new("stopped", facts.reason, None)),
        State::Blocked => return wait("blocked", facts.reason.to_owned(), None),
        State::Down => {}
        _ => return Answer::Well,
    }
    if let Some(trial) = healing.next_trial(policy, now) {
        let words = format!("its budget of {} heals an hour is used up; one trial an hour", policy.budget);
        return wait("budget", words, Some(trial));
    }
    if now < healing.not_before {
        return wait("backoff", "a pause after the last attempt".to_owned(), Some(healing.not_before));
    }
    if now < facts.since + SETTLE {
        return wait("settle", "it went down this moment".to_owned(), Some(facts.since + SETTLE));
    }
    match facts.doubtful_need {
        Some((need, State::Up | State::Degraded)) => {
            let words = format!("{need}, which it needs, is looked at first");
            return wait(FIRST_THE_NEED, words, Some(now + SETTLE));
        }
        Some((need, state)) => {
            let words = format!("{need}, which it needs, is not well either: {state}");
            return wait("need", words, Some(now + LOOK_AGAIN));
        }
        None => {}
    }
    if let Some(obstacle) = &facts.host {
        return Answer::Wait(obstacle.clone());
    }
    match facts.look {
        None => Answer::Look,
        Some(look) => decide_by_look(policy, healing, facts, look),
    }
}

/// The rows of the table from the look on.
fn decide_by_look(policy: &Heal, healing: &Healing, facts: &Facts<'_>, look: &Inspection) -> Answer {
    let again = Some(facts.now + LOOK_AGAIN);
    let wait = |code, words: String| Answer::Wait(Obstacle::new(code, words, again));
    match look.system {
        SystemPhase::Starting => return wait("boot", "the boot is not finished yet".to_owned()),
        SystemPhase::Stopping => return wait("shutdown", "the host shuts down".to_owned()),
        SystemPhase::Running | SystemPhase::Unknown => {}
    }
    let is_excused = !facts.is_crash && facts.now < facts.since + PATIENCE;
    if let Some(words) = starving(look.pressure).filter(|_| is_excused) {
        return wait("pressure", format!("{words}, so a late answer is no fault of the service"));
    }
    let step = healing.step(policy);
    let unit = match &look.unit {
        None => return act(policy, step, None),
        Some(Err(why)) => return wait("blind", format!("its unit cannot be looked at: {why}")),
        Some(Ok(unit)) => unit,
    };
    if let Some(words) = not_startable(unit) {
        return Answer::Refuse(Obstacle::new("unit", words, again));
    }
    if let Some(words) = at_work(unit) {
        return wait("systemd", words);
    }
    let is_meant_to_run = matches!(facts.intent, Intent::Ended | Intent::Run);
    if let Some(age) =
        unit.running_for.filter(|age| *age < facts.grace && facts.now.saturating_sub(*age) > facts.since)
    {
        let words = format!("its unit was started {} s ago, since it went down", age.as_secs());
        let until = facts.now + (facts.grace - age);
        return Answer::Wait(Obstacle::new("started", words, Some(until)));
    }
    match unit.active.as_str() {
        "inactive" if !is_meant_to_run => {
            let words = "its unit does not run: stopped by order, or nobody watched when it ended";
            return Answer::Refuse(Obstacle::new("stopped", words, None));
        }
        "failed" if facts.intent == Intent::Stop && unit.result.as_deref() != Some("start-limit-hit") => {
            let words = "its unit was stopped by order, and that did not go well";
            return Answer::Refuse(Obstacle::new("stopped", words, None));
        }
        // The reset before the start ends systemd's count as well.
        "failed" => return act(policy, step, Some(unit)),
        _ => {}
    }
    let starts = step == &Step::Restart || step == &Step::Reload && unit.active == "inactive";
    if let Some(at) = facts.start_allowed_at.filter(|_| starts) {
        let words = "systemd would refuse the start and leave it stopped (StartLimitBurst=)";
        return Answer::Wait(Obstacle::new("start-limit", words, Some(at)));
    }
    act(policy, step, Some(unit))
}

fn act(policy: &Heal, step: &Step, unit: Option<&UnitFacts>) -> Answer {
    let name = || policy.unit.clone().unwrap_or_default();
    let runs = unit.is_none_or(|unit| !matches!(unit.active.as_str(), "failed" | "inactive"));
    Answer::Act(match step {
        Step::Run(hook) => Action::Run(hook.clone()),
        // Nothing that does not run can reload.
        Step::Restart | Step::Reload if !runs => Action::Start(name()),
        Step::Restart => Action::TryRestart(name()),
        Step::Reload => Action::Reload(name()),
    })
}

/// Why nobody can start this unit as it is.
fn not_startable(unit: &UnitFacts) -> Option<String> {
    match unit.load.as_str() {
        "loaded" if unit.refuses_manual => Some(
            "its unit may not be started or stopped by hand (RefuseManualStart=, RefuseManualStop=)"
                .to_owned(),
        ),
        "loaded" => None,
        "masked" => Some("its unit is masked".to_owned()),
        "not-found" => Some("its unit does not exist (any more)".to_owned()),
        load => Some(format!("systemd cannot load its unit ({load})")),
    }
}

/// What systemd is doing with this unit.
fn at_work(unit: &UnitFacts) -> Option<String> {
    match (&unit.job, unit.active.as_str(), unit.sub.as_str()) {
        (Some(job), _, _) => Some(format!("systemd has a {job} job for its unit")),
        (None, "activating", "auto-restart" | "auto-restart-queued") => {
            Some("systemd restarts it by itself".to_owned())
        }
        (None, "activating" | "reloading" | "refreshing" | "deactivating" | "maintenance", sub) => {
            Some(format!("systemd is at work on its unit ({sub})"))
        }
        _ => None,
    }
}

fn starving(pressure: Pressure) -> Option<String> {
    let over = |share: Option<f32>, limit: f32| share.filter(|share| *share >= limit);
    if let Some(share) = over(pressure.memory, MEMORY_PRESSURE) {
        return Some(format!("memory is short (somebody waits for it {share:.0} % of the time)"));
    }
    over(pressure.cpu, CPU_PRESSURE)
        .map(|share| format!("the CPU is overloaded (somebody waits for it {share:.0} % of the time)"))
}

impl Healing {
    /// The step of the ladder that comes next.
    pub(super) fn step<'p>(&self, policy: &'p Heal) -> &'p Step {
        // What was cancelled was not tried.
        let was_made = |heal: &&LastHeal| heal.result != Some(HealResult::Cancelled);
        let made =
            self.incident.as_ref().map_or(0, |incident| incident.heals.iter().filter(was_made).count());
        // Never empty: the configuration sees to it.
        &policy.steps[made.min(policy.steps.len() - 1)]
    }

    /// When the next trial is, while the budget does not allow a heal.
    fn next_trial(&self, policy: &Heal, now: Duration) -> Option<Duration> {
        let spent = self.spent.iter().filter(|at| **at > now);
        // A heal counts for an hour, so the latest stops counting an hour after it was made.
        let latest = spent.clone().max()?;
        (self.exhausted || spent.count() >= policy.budget as usize).then_some(*latest)
    }

    /// How many heals of the last hour count against the budget.
    pub(super) fn heals_within_an_hour(&self, now: Duration) -> usize {
        self.spent.iter().filter(|at| **at > now).count()
    }

    /// How many of them were really made.
    pub(super) fn made_within_an_hour(&self, now: Duration) -> usize {
        let observed = self.observed.iter().filter(|at| **at > now).count();
        self.heals_within_an_hour(now).saturating_sub(observed)
    }

    /// The budget is found to be used up: from now on one trial an hour, until it was well for a while. Says whether that is
    /// news in this incident.
    pub(super) fn exhaust(&mut self) -> bool {
        self.exhausted = true;
        !std::mem::replace(&mut self.is_noticed, true)
    }

    /// The incident is over.
    pub(super) fn conclude(&mut self) {
        self.incident = None;
        self.is_noticed = false;
        self.rest();
    }

    /// Remembers since when it is well, and forgets what went before after a while.
    pub(super) fn is_well(&mut self, is_well: bool, now: Duration) {
        if let Some(since) = self.well_since
            && now >= since + WELL_AGAIN
        {
            (self.attempts, self.cancelled, self.exhausted) = (0, 0, false);
        }
        self.well_since = is_well.then(|| self.well_since.unwrap_or(now));
    }

    /// A heal begins: it counts from now on.
    pub(super) fn begin(&mut self, acting: Acting, step: String, now: Now) -> u32 {
        self.spent.retain(|at| *at > now.mono);
        self.spent.push_back(now.mono + HOUR);
        self.observed.retain(|at| *at > now.mono);
        self.observed.extend(acting.observe.then_some(now.mono + HOUR));
        self.phase = Phase::Acting(acting);
        self.noted.clear();
        let before = self.incident.as_ref().and_then(|incident| incident.heals.last());
        let attempt = 1 + before.map_or(0, |heal| heal.attempt);
        let heal = LastHeal { at: now.wall, step, attempt, result: None };
        if let Some(incident) = &mut self.incident {
            if incident.heals.len() == HEALS_KEPT {
                incident.heals.remove(1);
            }
            incident.heals.push(heal.clone());
        }
        self.last = Some(heal);
        attempt
    }

    /// The step was made; the checks have the word.
    pub(super) fn verify(&mut self, within: Duration, now: Duration) {
        self.phase = Phase::Verifying { since: now, until: now + within };
    }

    /// A heal is over. What was not made costs nothing. Without a policy, which a reload took away meanwhile, there is no
    /// pause to keep.
    pub(super) fn end(&mut self, result: HealResult, policy: Option<&Heal>, seed: u64, now: Duration) {
        self.phase = Phase::Idle;
        self.noted.clear();
        match result {
            HealResult::Cancelled => {
                self.spent.pop_back();
                // Each costs evidence and two lines in the ledger: one that is cancelled again and again must not do
                // so every five seconds.
                let pause = LOOK_AGAIN * (1 << self.cancelled.min(6));
                self.cancelled += 1;
                self.not_before = now + pause;
            }
            _ => {
                self.cancelled = 0;
                self.attempts = self.attempts.saturating_add(1);
                self.not_before =
                    now + policy.map_or(Duration::ZERO, |policy| backoff(policy, self.attempts, seed));
            }
        }
        self.set_result(result);
    }

    /// It may not be made at all: tried again after a while.
    pub(super) fn forbid(&mut self, now: Duration) {
        self.phase = Phase::Idle;
        self.spent.pop_back();
        self.not_before = now + FORBIDDEN;
        self.set_result(HealResult::Cancelled);
    }

    fn set_result(&mut self, result: HealResult) {
        self.totals.count(result);
        let in_incident = self.incident.as_mut().and_then(|incident| incident.heals.last_mut());
        for heal in self.last.iter_mut().chain(in_incident) {
            heal.result = heal.result.or(Some(result));
        }
    }

    /// Something is in the way; whether that is to be written down.
    pub(super) fn wait(&mut self, obstacle: Obstacle) -> bool {
        let is_new = self.noted.insert(obstacle.code);
        self.phase = Phase::Waiting(obstacle);
        is_new
    }

    /// Nothing is to be done any more.
    pub(super) fn rest(&mut self) {
        if matches!(self.phase, Phase::Waiting(_)) {
            self.phase = Phase::Idle;
        }
        self.noted.clear();
    }

    /// When the matter must be looked at again.
    pub(super) fn alarm(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Waiting(obstacle) => obstacle.until,
            Phase::Verifying { until, .. } => Some(*until),
            Phase::Idle | Phase::Looking { .. } | Phase::Acting(_) => None,
        }
    }

    /// Whether the step is being made.
    pub(super) fn is_acting(&self) -> bool {
        matches!(self.phase, Phase::Acting(_))
    }

    /// Whether something is being done about the service.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Looking { .. } | Phase::Acting(_) | Phase::Verifying { .. })
    }

    /// Whether it waits for the brake, or is being healed.
    pub(super) fn is_braked(&self) -> bool {
        let waits = matches!(&self.phase, Phase::Waiting(obstacle) if matches!(obstacle.code, "common-cause" | "turn"));
        waits || self.is_busy()
    }

    /// Whether it waits for what takes a moment only.
    pub(super) fn waits_a_moment(&self) -> bool {
        matches!(&self.phase, Phase::Waiting(obstacle) if MOMENTARY.contains(&obstacle.code))
    }

    /// Its part of the document.
    pub(super) fn status(&self, policy: &Heal, observe: bool, state: State, now: Now) -> HealStatus {
        let heals = self.heals_within_an_hour(now.mono) as u32;
        let (phase, obstacle, looking_since) = match &self.phase {
            Phase::Idle => (HealPhase::Idle, None, None),
            Phase::Waiting(obstacle) => (HealPhase::Waiting, Some(obstacle), None),
            Phase::Looking { since, .. } => (HealPhase::Looking, None, Some(*since)),
            Phase::Acting(_) => (HealPhase::Acting, None, None),
            Phase::Verifying { .. } => (HealPhase::Verifying, None, None),
        };
        let is_timed = obstacle.is_none_or(|obstacle| TIMED.contains(&obstacle.code));
        let is_next =
            state == State::Down && is_timed && matches!(phase, HealPhase::Waiting | HealPhase::Looking);
        HealStatus {
            mode: if observe { status::HealMode::Observe } else { status::HealMode::Act },
            unit: policy.unit.clone(),
            steps: policy.steps.iter().map(words_of).collect(),
            heals_within_an_hour: heals,
            budget: policy.budget,
            phase,
            looking_since: looking_since.map(|since| now.wall_before(since)),
            totals: self.totals,
            last: self.last.clone(),
            next: is_next.then(|| words_of(self.step(policy))),
            next_at: self.alarm().map(|at| now.wall_at(at)),
            why_not: obstacle.map(|obstacle| obstacle.words.clone()),
        }
    }

    /// What must survive a restart of the monitor.
    pub(super) fn memory(&self, now: Duration) -> ServiceMemory {
        let left_ms = |at: Duration| at.saturating_sub(now).as_millis() as u64;
        let is_open = matches!(self.phase, Phase::Acting(_) | Phase::Verifying { .. });
        ServiceMemory {
            spent_ms: self.spent.iter().map(|at| left_ms(*at)).filter(|left| *left > 0).collect(),
            attempts: self.attempts,
            pause_ms: left_ms(self.not_before),
            exhausted: self.exhausted,
            totals: self.totals,
            under_way: self.last.clone().filter(|_| is_open),
            last: self.last.clone(),
            incident: self.incident.clone(),
            ..ServiceMemory::default()
        }
    }

    /// Takes up what an earlier monitor left. Says whether it ended in the middle of a heal.
    pub(super) fn recall(
        &mut self,
        memory: &ServiceMemory,
        policy: Option<&Heal>,
        seed: u64,
        now: Duration,
    ) -> bool {
        let at = |left: &u64| now + Duration::from_millis(*left);
        self.spent = memory.spent_ms.iter().map(at).collect();
        self.attempts = memory.attempts;
        self.not_before = at(&memory.pause_ms);
        self.exhausted = memory.exhausted;
        self.totals = memory.totals;
        self.last.clone_from(&memory.last);
        self.incident.clone_from(&memory.incident);
        let was_interrupted = memory.under_way.is_some();
        if was_interrupted {
            self.end(HealResult::Interrupted, policy, seed, now);
        }
        was_interrupted
    }
}

/// A step as a person would say it.
pub(super) fn words_of(step: &Step) -> String {
    match step {
        Step::Restart => "restart".to_owned(),
        Step::Reload => "reload".to_owned(),
        Step::Run(hook) => format!("run {}", hook.command.first().map_or("", String::as_str)),
    }
}

/// What is not done, as a person would say it: `not restarted`.
pub(super) fn not_done(step: &Step) -> &'static str {
    match step {
        Step::Restart => "not restarted",
        Step::Reload => "not reloaded",
        Step::Run(_) => "not healed",
    }
}

/// Whether only the call is left out.
pub(super) fn is_observing(policy: &Heal, host_observes: bool) -> bool {
    host_observes || policy.mode == HealMode::Observe
}

/// The pause after the `attempts`-th heal in a row: doubling up to its limit, a tenth more or less so that fifty hosts
/// with one fault do not act in step.
fn backoff(policy: &Heal, attempts: u32, seed: u64) -> Duration {
    let doubled = policy.backoff.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let pause = doubled.min(policy.backoff_max);
    let tenth = 90 + (mixed(seed ^ u64::from(attempts)) % 21) as u32;
    pause * tenth / 100
}

/// SplitMix64's mixing step: neighbours end far apart.
fn mixed(seed: u64) -> u64 {
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}

#[cfg(test)]
mod tests;
