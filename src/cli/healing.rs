//! Healing in words: what is going on, and what comes next. Pure; shared by `status` and `why`.

use super::words::{at_and_in, clock, counted, seconds_between, span};
use crate::status::{
    Document, HealMode, HealPhase, HealResult, HealStatus, Hold, LastHeal, Service, State, Timestamp,
};

/// A wait of more seconds than the longest usual pause between two heals needs its reason.
const USUAL_PAUSE: u64 = 300;

/// What is done about a service, in few words; none when nothing is to be said.
pub(super) fn short(service: &Service, now: Timestamp) -> Option<String> {
    if let Some(hold) = &service.hold {
        let reason = hold.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        return Some(format!("held until {}{reason}", clock(hold.until, now)));
    }
    let is_said = |why: &str| service.reason.as_deref().is_some_and(|reason| reason.contains(why));
    let heal = service.heal.as_ref()?;
    let last = heal.last.as_ref();
    match heal.phase {
        HealPhase::Idle => None,
        HealPhase::Looking => Some(looking_before(heal)),
        HealPhase::Acting => Some(format!("{} now", doing(last_step(heal)))),
        HealPhase::Verifying => Some(format!("{}, being verified", done(last_step(heal)))),
        HealPhase::Waiting => match (&heal.next, &heal.why_not) {
            (Some(step), _) => Some(planned(heal, step, now)),
            // Mostly the state itself is the reason, and stands there already.
            (None, Some(why)) if is_said(why) => Some("not healed".to_owned()),
            (None, Some(why)) => Some(format!("not healed: {why}")),
            (None, None) => last.and_then(|last| last.result).map(|result| outcome(result).to_owned()),
        },
    }
}

/// `restart 2 of 5 in 34s`
fn planned(heal: &HealStatus, step: &str, now: Timestamp) -> String {
    let left = heal.next_at.map(|at| seconds_between(now, at));
    let is_far = left.is_some_and(|left| left > USUAL_PAUSE);
    let when = match left {
        Some(0) | None => "next".to_owned(),
        Some(left) => format!("in {}", span(left)),
    };
    let would = if heal.mode == HealMode::Observe { "would " } else { "" };
    if heal.heals_within_an_hour < heal.budget {
        let why = heal.why_not.as_ref().filter(|_| is_far).map(|why| format!(": {why}")).unwrap_or_default();
        return format!("{would}{step} {} of {} {when}{why}", heal.heals_within_an_hour + 1, heal.budget);
    }
    format!(
        "needs you: {} within an hour are used up; {would}{step} {when} as a trial",
        counted(heal.budget as usize, "heal")
    )
}

/// What happens next with a service and when, or what must happen first, as sentences for a person.
pub(super) fn next(service: &Service, document: &Document, config_path: &str, now: Timestamp) -> String {
    if let Some(hold) = &service.hold {
        return on_hold(service, hold, now);
    }
    let Some(heal) = &service.heal else {
        return match service.state {
            State::Down | State::Unstable | State::Blocked => off(service, config_path),
            _ => format!("{}\nHealing is off, as nobody asked for it.", idle(service, document, now)),
        };
    };
    if let Some(why) = &document.monitor.cannot_heal {
        return format!("Healing cannot act on this machine, whatever the configuration says: {why}.");
    }
    match heal.phase {
        HealPhase::Looking => looking(heal, now),
        HealPhase::Acting => acting(heal, now),
        HealPhase::Verifying => verifying(heal, now),
        HealPhase::Waiting => waiting(service, heal, document, now),
        HealPhase::Idle => idle(service, document, now),
    }
}

fn on_hold(service: &Service, hold: &Hold, now: Timestamp) -> String {
    let reason = hold.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "On hold since {}, until {} (ends in {}), asked for by {}{reason}. Nothing is healed until then. \
         Sooner with: sudo wellkeep release {}",
        clock(hold.since, now),
        clock(hold.until, now),
        span(seconds_between(now, hold.until)),
        hold.by,
        service.key
    )
}

/// Nobody asked for healing.
fn off(service: &Service, config_path: &str) -> String {
    let (write, observe) = match &service.checks.systemd {
        Some(_) => ("heal: restart", "`heal: observe`"),
        None => ("heal: {unit: NAME.service, steps: [restart]}", "with `mode: observe` in the braces"),
    };
    format!(
        "Nothing: healing is off, as nobody asked for it. To turn it on, write in {config_path} below `- key: {}`\n\n    \
         {write}\n\n\
         (or {observe}, to see first what would be done), and then: sudo systemctl reload wellkeep-monitor",
        service.key
    )
}

/// `looking again before restarting`
fn looking_before(heal: &HealStatus) -> String {
    format!("looking again before {}", doing(heal.next.as_deref().unwrap_or("healing")))
}

fn looking(heal: &HealStatus, now: Timestamp) -> String {
    let since = heal.looking_since.map(|at| format!(", for {}", span(seconds_between(at, now))));
    let look = sentence(looking_before(heal));
    format!("{look}{}. Nothing was done yet: what has changed calls it off.", since.unwrap_or_default())
}

fn acting(heal: &HealStatus, now: Timestamp) -> String {
    let ago = heal.last.as_ref().map(|last| format!(", for {}", span(seconds_between(last.at, now))));
    let step = sentence(doing(last_step(heal)));
    format!("{step} now{}. Then the checks tell whether it helped.", ago.unwrap_or_default())
}

fn verifying(heal: &HealStatus, now: Timestamp) -> String {
    let step = sentence(done(last_step(heal)));
    let at = heal.last.as_ref().map(|last| format!(" at {}", clock(last.at, now))).unwrap_or_default();
    let until = heal.next_at.map(|at| format!(" {}", at_and_in(at, now))).unwrap_or_default();
    format!("{step}{at}, and being verified by its checks. If it is not well{until}, that did not help.")
}

fn waiting(service: &Service, heal: &HealStatus, document: &Document, now: Timestamp) -> String {
    if service.state == State::Blocked
        && let Some(needs) = in_the_way(service, document)
    {
        return format!(
            "Not healed: {}, which it needs, is {} since {}; looked at again when {} is up.",
            needs.key,
            needs.state,
            clock(needs.since, now),
            needs.key
        );
    }
    let why = heal.why_not.as_ref().map(|why| format!("Not healed now: {}", full_stop(why)));
    if service.state == State::Stopped {
        return why
            .map_or_else(|| idle(service, document, now), |why| format!("{why} {}", to_start(service)));
    }
    let again = heal.next_at.map(|at| at_and_in(at, now));
    let next = match (&heal.next, again) {
        (Some(step), when) => {
            let when = when.map(|when| format!(" {when}")).unwrap_or_default();
            Some(format!("{}{when}{}.", would(heal, step), of_budget(heal)))
        }
        (None, Some(when)) => Some(format!("Looked at again {when}.")),
        (None, None) => None,
    };
    let said: Vec<String> = [why, next].into_iter().flatten().collect();
    if said.is_empty() { "It is decided with the next look.".to_owned() } else { said.join(" ") }
}

fn would(heal: &HealStatus, step: &str) -> String {
    match heal.mode {
        HealMode::Act => sentence(step.to_owned()),
        HealMode::Observe => format!("It only observes: `{step}` would be done"),
    }
}

/// `, 2 of 5 within an hour`
fn of_budget(heal: &HealStatus) -> String {
    match heal.heals_within_an_hour {
        used if used < heal.budget => format!(", {} of {} within an hour", used + 1, heal.budget),
        _ => ", as a trial".to_owned(),
    }
}

/// Why nothing is to be done in a state that is not healed.
fn idle(service: &Service, document: &Document, now: Timestamp) -> String {
    let key = &service.key;
    let needs = in_the_way(service, document);
    match (service.state, needs) {
        (State::Up, _) => "Nothing: it is well.".to_owned(),
        (State::Blocked, Some(needs)) => format!(
            "Nothing: {}, which it needs, is {} since {}; looked at again when {} is up.",
            needs.key,
            needs.state,
            clock(needs.since, now),
            needs.key
        ),
        (State::Blocked, None) => "Nothing: what it needs is not up.".to_owned(),
        (State::Down, _) => "It is decided with the next look.".to_owned(),
        (State::Unstable, _) => {
            "Nothing: it passes at the moment, and keeps being restarted. Its log says why: see its history."
                .to_owned()
        }
        (State::Degraded, _) => "Nothing: only what is down, confirmed, is healed.".to_owned(),
        (State::Unknown, _) => "Nothing: what cannot be told is no reason to act.".to_owned(),
        (State::Starting, _) => "Nothing while it starts.".to_owned(),
        (State::Held, _) => format!("Nothing: it is on hold. End that with: sudo wellkeep release {key}"),
        (State::Stopped, _) => format!(
            "Nothing: what somebody stopped or masked is never started by itself. {}",
            to_start(service)
        ),
    }
}

/// How a person starts what is stopped; what is masked nobody can start before that is taken back.
fn to_start(service: &Service) -> String {
    let restart = format!("sudo wellkeep restart {}", service.key);
    let unit = service.checks.systemd.as_ref().map(|check| &check.detail);
    match unit.filter(|unit| unit.load_state.as_deref() == Some("masked")) {
        Some(unit) => {
            format!("Allow it again, and start it, with: sudo systemctl unmask {} && {restart}", unit.unit)
        }
        None => format!("Start it with: {restart}"),
    }
}

/// The first of the services that this one needs and that is not well.
pub(super) fn in_the_way<'a>(service: &Service, document: &'a Document) -> Option<&'a Service> {
    let mut needs = service.depends_on.iter().filter_map(|key| document.services.get(key));
    needs.find(|needs| matches!(needs.state, State::Down | State::Blocked | State::Stopped))
}

/// One heal that was made: `restart: it helped`.
pub(super) fn made(heal: &LastHeal) -> String {
    match heal.result {
        Some(result) => format!("{}: {}", heal.step, outcome(result)),
        None => format!("{}: not known yet whether it helped", heal.step),
    }
}

fn outcome(result: HealResult) -> &'static str {
    match result {
        HealResult::Healed => "it helped",
        HealResult::Failed => "it did not help",
        HealResult::Cancelled => "not done after all",
        HealResult::Observed => "only observed, not done",
        HealResult::Interrupted => "cut off by the end of the monitor",
    }
}

fn last_step(heal: &HealStatus) -> &str {
    heal.last.as_ref().map_or("restart", |last| &last.step)
}

/// `restart` -> `restarting`. A step of which the word is not known is named as it is.
fn doing(step: &str) -> String {
    match step.split_once(' ') {
        _ if step == "restart" => "restarting".to_owned(),
        _ if step == "start" => "starting".to_owned(),
        _ if step == "reload" => "reloading".to_owned(),
        Some(("run", program)) => format!("running {program}"),
        _ => step.to_owned(),
    }
}

/// `restart` -> `restarted`.
fn done(step: &str) -> String {
    match step.split_once(' ') {
        _ if matches!(step, "restart" | "start" | "reload") => format!("{step}ed"),
        Some(("run", program)) => format!("{program} was run"),
        _ => format!("{step} done"),
    }
}

fn sentence(words: String) -> String {
    let mut letters = words.chars();
    match letters.next() {
        Some(first) if first.is_ascii_lowercase() => {
            first.to_ascii_uppercase().to_string() + letters.as_str()
        }
        _ => words,
    }
}

fn full_stop(words: &str) -> String {
    if words.ends_with(['.', '!', '?']) { words.to_owned() } else { format!("{words}.") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{at, document};
    use super::*;

    const FILE: &str = "/etc/wellkeep/monitor.yml";

    /// What is said at noon of a service that is down, with this healing: in few words, and in sentences.
    fn said(heal: Value) -> (Option<String>, String) {
        let mut policy = json!({"mode": "act", "steps": ["restart"], "heals_within_an_hour": 1, "budget": 5,
            "phase": "waiting"});
        policy.as_object_mut().unwrap().extend(heal.as_object().unwrap().clone());
        of(json!({"web": {"state": "down", "ok": false, "heal": policy}}))
    }

    fn of(services: Value) -> (Option<String>, String) {
        let document = document("12:00:00", services);
        let web = &document.services["web"];
        (short(web, at("12:00:00")), next(web, &document, FILE, at("12:00:00")))
    }

    fn short_of(heal: Value) -> String {
        said(heal).0.unwrap()
    }

    #[test]
    fn the_next_heal_is_told_with_its_number_and_its_time() {
        let next =
            json!({"next": "restart", "next_at": at("12:00:34"), "why_not": "the last restart did not help"});
        let (short, long) = said(next);
        assert_eq!(short.unwrap(), "restart 2 of 5 in 34s");
        assert_eq!(
            long,
            "Not healed now: the last restart did not help. Restart at 12:00:34 UTC (in 34s), 2 of 5 within an hour."
        );
    }

    #[test]
    fn a_used_up_budget_and_a_mere_observer_are_told_as_such() {
        let next = |more: Value| {
            let mut heal = json!({"next": "restart", "next_at": at("12:34:00")});
            heal.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            heal
        };
        assert_eq!(
            short_of(next(json!({"heals_within_an_hour": 5}))),
            "needs you: 5 heals within an hour are used up; restart in 34m as a trial"
        );
        assert_eq!(short_of(next(json!({"mode": "observe"}))), "would restart 2 of 5 in 34m");
        assert_eq!(
            short_of(next(json!({"why_not": "the host's budget is used up"}))),
            "restart 2 of 5 in 34m: the host's budget is used up"
        );
        assert!(
            said(next(json!({"mode": "observe"})))
                .1
                .contains("It only observes: `restart` would be done at 12:34:00 UTC (in 34m), 2 of 5")
        );
    }

    #[test]
    fn what_is_going_on_is_told_in_the_words_of_its_step() {
        let during = |phase: &str, step: &str| {
            short_of(json!({"phase": phase, "last": {"at": at("11:59:48"), "step": step, "attempt": 1}}))
        };
        assert_eq!(during("acting", "restart"), "restarting now");
        assert_eq!(during("acting", "reload"), "reloading now");
        assert_eq!(during("verifying", "restart"), "restarted, being verified");
        assert_eq!(during("acting", "run /bin/fix"), "running /bin/fix now");
        assert_eq!(during("verifying", "run /bin/fix"), "/bin/fix was run, being verified");
    }

    #[test]
    fn the_look_before_a_heal_is_no_heal_and_has_its_own_time() {
        let last = json!({"at": at("11:20:00"), "step": "reload", "attempt": 1, "result": "failed"});
        let looking =
            json!({"phase": "looking", "looking_since": at("11:59:57"), "next": "restart", "last": last});
        let (short, long) = said(looking);
        assert_eq!(short.unwrap(), "looking again before restarting");
        assert_eq!(
            long,
            "Looking again before restarting, for 3s. Nothing was done yet: what has changed calls it off."
        );
    }

    #[test]
    fn a_dependency_is_named_with_its_state_and_what_must_happen_first() {
        let heal = json!({"mode": "act", "steps": ["restart"], "heals_within_an_hour": 0, "budget": 5,
            "phase": "waiting", "why_not": "postgres is down"});
        let (short, long) = of(json!({
            "web": {"state": "blocked", "ok": false, "depends_on": ["redis", "postgres"], "heal": heal},
            "redis": {},
            "postgres": {"state": "down", "ok": false, "since": at("11:56:03")},
        }));
        assert_eq!(short.unwrap(), "not healed: postgres is down");
        assert_eq!(
            long,
            "Not healed: postgres, which it needs, is down since 11:56:03 UTC; looked at again when postgres is up."
        );
    }

    #[test]
    fn a_reason_that_stands_there_already_is_not_told_again() {
        let with = |reason: &str| {
            let heal = json!({"mode": "act", "steps": ["restart"], "heals_within_an_hour": 0, "budget": 5,
                "phase": "waiting", "why_not": "systemd: masked"});
            of(json!({"web": {"state": "stopped", "reason": reason, "heal": heal}})).0.unwrap()
        };
        assert_eq!(with("http: refused; systemd: masked"), "not healed");
        assert_eq!(with("http: refused"), "not healed: systemd: masked");
    }

    #[test]
    fn that_healing_is_off_is_told_with_what_to_write() {
        let (short, long) = of(json!({"web": {"state": "down", "ok": false,
            "systemd": {"ok": false, "outcome": "fail", "unit": "web.service", "state": "failed"}}}));
        assert_eq!(short, None);
        assert!(
            long.contains("write in /etc/wellkeep/monitor.yml below `- key: web`\n\n    heal: restart\n"),
            "{long}"
        );
        let (_, without_unit) = of(json!({"web": {"state": "down", "ok": false}}));
        assert!(without_unit.contains("heal: {unit: NAME.service, steps: [restart]}"), "{without_unit}");
    }

    #[test]
    fn a_hold_goes_before_all_else() {
        let hold = json!({"since": at("11:58:00"), "until": at("12:08:00"), "by": "ada", "reason": "deploy"});
        let (short, long) = of(json!({"web": {"state": "held", "hold": hold}}));
        assert_eq!(short.unwrap(), "held until 12:08:00 UTC: deploy");
        assert!(long.contains("until 12:08:00 UTC (ends in 8m), asked for by ada: deploy."), "{long}");
        assert!(long.ends_with("sudo wellkeep release web"), "{long}");
    }

    #[test]
    fn what_somebody_stopped_is_not_started_and_what_cannot_be_told_is_no_reason() {
        let heal = json!({"mode": "act", "steps": ["restart"], "heals_within_an_hour": 0, "budget": 5, "phase": "idle"});
        let in_state = |state: &str| of(json!({"web": {"state": state, "heal": heal}}));
        assert_eq!(in_state("up"), (None, "Nothing: it is well.".to_owned()));
        assert!(in_state("stopped").1.contains("wellkeep restart web"));
        assert!(in_state("unknown").1.contains("no reason to act"));
    }
}
