//! What is done around a heal, on behalf of the engine: the look before it, evidence, and then the step itself. The D-Bus
//! calls are in `systemd`.

pub mod evidence;
pub mod hook;
mod mask;
mod program;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::{info, warn};

use self::evidence::{Sources, Subject};
use crate::config::{Config, Heal, HealMode, Step};
use crate::engine::{Action, Event, HealEnd, HealId, HealOrder, InspectOrder, Inspection, UnitFacts};
use crate::host;
use crate::log::Kind;
use crate::monitor::wall_clock;
use crate::store::holds;
use crate::systemd::{Bus, BusAddress, Permission, UnitCall};

/// Where programs are looked for, and all of the environment that they inherit: what ours holds may be secret.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// polkit needs a moment (up to 0.3 s was measured) to read a rule that was written just before.
const RULES_ARE_READ: Duration = Duration::from_secs(2);

/// Where healing is not permitted it is asked again after so long: a rule that comes late, or polkit itself, needs no reload.
const ASKED_AGAIN: Duration = Duration::from_secs(30);

/// Reading the holds once more may take so long.
const HOLDS_LIMIT: Duration = Duration::from_secs(1);

/// The looks and heals under way.
pub struct Healer {
    bus: Arc<Bus>,
    sources: Sources,
    state_dir: PathBuf,
    /// The heals whose call is not made yet.
    pending: Rc<RefCell<BTreeSet<HealId>>>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Event>>>>,
    /// What this configuration may lead to.
    calls: Rc<[(UnitCall, String)]>,
    /// The question whether that is permitted, while there is one.
    question: Option<Pin<Box<dyn Future<Output = Permission>>>>,
    /// Why the latest answer was a no.
    refused: Option<String>,
}

impl Healer {
    /// A healer that saves evidence under this directory.
    pub fn new(bus: BusAddress, proc_root: &Path, state_dir: &Path) -> Healer {
        Healer {
            bus: Arc::new(Bus::new(bus)),
            sources: Sources { proc_root: proc_root.to_owned(), ..Sources::default() },
            state_dir: state_dir.to_owned(),
            pending: Rc::default(),
            under_way: FuturesUnordered::new(),
            calls: Rc::default(),
            question: None,
            refused: None,
        }
    }

    /// Finds out whether we may heal what this configuration asks us to heal. What was asked before counts no more.
    pub fn ask_for_permission(&mut self, config: &Config) {
        self.calls = calls(config).into();
        self.ask_after(if self.calls.is_empty() { Duration::ZERO } else { RULES_ARE_READ });
    }

    fn ask_after(&mut self, pause: Duration) {
        let (bus, calls) = (self.bus.clone(), self.calls.clone());
        self.question = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            permission(&bus, &calls).await
        }));
    }

    /// Takes an answer, tells what is new of it, and asks again where it was a no.
    fn answered(&mut self, answer: Permission) -> Event {
        self.question = None;
        let refused = match answer {
            Permission::Given => None,
            Permission::Refused(why) => Some(why),
            // Without D-Bus each unit check says so, and what was refused before was not given since.
            Permission::Untold(why) => {
                if self.refused.is_none() {
                    info!(event = %Kind::Permission, "whether healing is permitted cannot be told: {why}");
                }
                self.refused.clone()
            }
        };
        if refused.is_some() {
            self.ask_after(ASKED_AGAIN);
        }
        match (&self.refused, &refused) {
            (before, Some(why)) if before.as_ref() != Some(why) => {
                warn!(event = %Kind::Permission, "healing is not permitted: {why}");
            }
            (Some(_), None) => info!(event = %Kind::Permission, "nothing speaks against healing any more"),
            _ => {}
        }
        self.refused.clone_from(&refused);
        Event::CannotHeal(refused)
    }

    /// Looks at what may speak against a heal.
    pub fn inspect(&self, order: InspectOrder) {
        let (bus, proc_root) = (self.bus.clone(), self.sources.proc_root.clone());
        self.under_way.push(Box::pin(async move {
            let (unit, system) = bus.inspect(order.unit.as_deref()).await;
            let unit = unit.map(|unit| unit.map_err(|error| error.to_string()));
            let pressure = host::pressure(&proc_root);
            Event::Inspected(order.id, Inspection { unit, system, pressure })
        }));
    }

    /// Heals, once `saved` says that the decision is on disk.
    pub fn heal(&self, order: HealOrder, saved: impl Future<Output = Result<(), String>> + 'static) {
        let (bus, sources, state_dir) = (self.bus.clone(), self.sources.clone(), self.state_dir.clone());
        let pending = self.pending.clone();
        pending.borrow_mut().insert(order.id);
        self.under_way.push(Box::pin(async move {
            // A full disk is no reason to leave a service down: the budget in memory still holds.
            if let Err(error) = saved.await {
                let HealOrder { key, incident, .. } = &order;
                warn!(service = key, event = %Kind::Storage, incident, "{key}: healing without a record of it: {error}");
            }
            let id = order.id;
            let end = heal(&bus, order, &sources, &state_dir, &pending).await;
            pending.borrow_mut().remove(&id);
            Event::HealFinished(id, end)
        }));
    }

    /// Calls a heal off whose call is not made yet.
    pub fn call_off(&self, id: HealId) {
        self.pending.borrow_mut().remove(&id);
    }

    /// What comes back next; for ever pending while nothing is under way. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Event {
        let question = async {
            match &mut self.question {
                Some(question) => question.await,
                None => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            Some(event) = self.under_way.next() => return event,
            answer = question => answer,
        };
        self.answered(answer)
    }
}

/// What this configuration may lead to. The rule that `wellkeep privileges` writes allows no more: whoever only reloads may
/// not restart, and for a program nothing needs to be permitted.
fn calls(config: &Config) -> Vec<(UnitCall, String)> {
    let acts = |heal: &&Heal| heal.mode == HealMode::Act && !config.monitor.observe;
    let heals = config.services.iter().filter_map(|service| service.heal.as_ref()).filter(acts);
    let mut calls = Vec::new();
    for (unit, heal) in heals.filter_map(|heal| Some((heal.unit.as_ref()?, heal))) {
        for (step, call) in [(Step::Restart, UnitCall::TryRestart), (Step::Reload, UnitCall::Reload)] {
            if heal.steps.contains(&step) {
                calls.push((call, unit.clone()));
            }
        }
    }
    calls
}

/// The first answer that is no permission.
async fn permission(bus: &Bus, calls: &[(UnitCall, String)]) -> Permission {
    for (call, unit) in calls {
        match bus.may_heal(*call, unit).await {
            Permission::Given => {}
            answer => return answer,
        }
    }
    Permission::Given
}

async fn heal(
    bus: &Bus,
    order: HealOrder,
    sources: &Sources,
    state_dir: &Path,
    pending: &RefCell<BTreeSet<HealId>>,
) -> HealEnd {
    let subject = subject(&order);
    let HealOrder { key, incident, .. } = &order;
    match evidence::collect(&order, subject, sources, state_dir).await {
        Ok(path) => {
            info!(service = key, event = %Kind::Evidence, incident, "{key}: what was found before is in {}", path.display());
        }
        Err(error) => warn!(service = key, event = %Kind::Evidence, incident, "{key}: {error}"),
    }
    // The evidence took its time, and a person may have been quick.
    if is_held(state_dir, &order.key).await {
        return HealEnd::Cancelled("meanwhile a person asked for a pause".to_owned());
    }
    if let (Some(unit), Some(seen)) = (order.unit.as_deref(), &order.seen) {
        match bus.inspect(Some(unit)).await.0 {
            Some(Ok(now)) if is_same(seen, &now) => {}
            Some(Ok(now)) => return HealEnd::Cancelled(changed(seen, &now)),
            Some(Err(error)) => return HealEnd::Cancelled(format!("its unit cannot be looked at: {error}")),
            None => {}
        }
    }
    if !pending.borrow_mut().remove(&order.id) {
        return HealEnd::Cancelled("meanwhile somebody ordered its unit to stop".to_owned());
    }
    if order.observe {
        return HealEnd::Done;
    }
    match &order.action {
        Action::TryRestart(unit) => bus.act(UnitCall::TryRestart, unit, order.seen.as_ref()).await,
        Action::Start(unit) => bus.act(UnitCall::Start, unit, order.seen.as_ref()).await,
        Action::Reload(unit) => bus.act(UnitCall::Reload, unit, order.seen.as_ref()).await,
        Action::Run(hook) => hook::run(hook, &order, state_dir).await,
    }
}

async fn is_held(state_dir: &Path, key: &str) -> bool {
    let (state_dir, key) = (state_dir.to_owned(), key.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let holds = holds::read(&state_dir, wall_clock()).holds;
        holds.iter().any(|(held, _)| held.as_ref().is_none_or(|held| *held == key))
    });
    // A disk that hangs holds nobody; what was read before is in force anyway.
    matches!(tokio::time::timeout(HOLDS_LIMIT, reading).await, Ok(Ok(true)))
}

/// Whether the unit is still as it was when the heal was decided.
fn is_same(seen: &UnitFacts, now: &UnitFacts) -> bool {
    let essence = |unit: &UnitFacts| {
        (unit.load.clone(), unit.active.clone(), unit.job.clone(), unit.invocation.clone())
    };
    essence(seen) == essence(now)
}

fn changed(seen: &UnitFacts, now: &UnitFacts) -> String {
    match &now.job {
        Some(job) => format!("meanwhile a {job} job was queued for its unit"),
        None if now.load != seen.load => format!("meanwhile its unit file became {}", now.load),
        None if now.active != seen.active => {
            format!("meanwhile its unit went from {} to {}", seen.active, now.active)
        }
        None => "meanwhile its unit was started anew".to_owned(),
    }
}

fn subject(order: &HealOrder) -> Subject {
    let checks = &order.checks;
    let systemd = checks.systemd.as_ref().map(|check| &check.detail);
    let process = checks.process.as_ref().map(|check| &check.detail);
    Subject {
        unit: order.unit.clone().or_else(|| Some(systemd?.unit.clone())),
        main_pid: systemd.and_then(|detail| detail.main_pid),
        pids: process.map(|detail| detail.pids.clone()).unwrap_or_default(),
        answers: serde_json::to_string_pretty(checks).unwrap_or_default(),
    }
}

/// Text that others wrote, fit for a terminal: bytes that are no text and characters that steer are replaced.
fn printable(bytes: &[u8]) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    String::from_utf8_lossy(bytes).chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_is_asked_for_what_the_policies_do_and_for_no_more() {
        let text = "services:\n\
            - {key: restarts, systemd: a.service, heal: restart}\n\
            - {key: reloads, systemd: b.service, heal: reload}\n\
            - {key: runs, systemd: c.service, heal: {run: /usr/local/bin/fix}}\n\
            - {key: observes, systemd: d.service, heal: observe}\n";
        let config = Config::parse(text, Path::new("monitor.yml"), &|_| None).unwrap();
        let asked =
            [(UnitCall::TryRestart, "a.service".to_owned()), (UnitCall::Reload, "b.service".to_owned())];
        assert_eq!(calls(&config), asked);
        let config = Config::parse(&format!("monitor: {{observe: true}}\n{text}"), Path::new("m"), &|_| None);
        assert_eq!(calls(&config.unwrap()), []);
    }

    #[test]
    fn what_changed_just_before_a_heal_is_called_what_it_is() {
        let seen = UnitFacts { load: "loaded".into(), active: "active".into(), ..UnitFacts::default() };
        let masked = UnitFacts { load: "masked".into(), ..seen.clone() };
        let stopped = UnitFacts { active: "inactive".into(), ..masked.clone() };
        let another_run = UnitFacts { invocation: Some("2".into()), ..seen.clone() };
        let words = [
            (&masked, "file became masked"),
            (&stopped, "file became masked"),
            (&another_run, "started anew"),
        ];
        for (now, words) in words {
            assert!(!is_same(&seen, now));
            let told = changed(&seen, now);
            assert!(told.contains(words), "{told}");
        }
        assert!(is_same(&seen, &seen));
    }

    #[test]
    fn what_is_not_permitted_is_asked_again_until_it_is() {
        let mut healer = Healer::new(BusAddress::System, Path::new("/proc"), Path::new("/nonexistent"));
        let no = || Permission::Refused("no rule".to_owned());
        // A bus that is silent has not permitted anything.
        let untold = Permission::Untold("no answer".to_owned());
        for (answer, is_refused) in [(no(), true), (no(), true), (untold, true), (Permission::Given, false)] {
            let asked = healer.answered(answer);
            assert!(matches!(asked, Event::CannotHeal(why) if why.is_some() == is_refused));
            assert_eq!(healer.question.is_some(), is_refused);
        }
    }
}
