//! What the checks of a service add up to: the table of states.

use std::time::Duration;

use crate::config::Timing;
use crate::status::State;

use super::Watched;
use super::check::{CheckState, Standing};

/// More restarts than this within an hour are `unstable`.
const RESTARTS_AN_HOUR: usize = 5;

/// What is believed of a service, and why.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) state: State,
    pub(super) ok: bool,
    pub(super) reason: Option<String>,
}

/// Judges a service by its checks and by the services it needs.
///
/// The rows are tried from the top; the first that fits decides. In grace is a service that was started, or whose
/// dependency came back, less than `start_grace` ago and that was not well since: one that came up and hangs at once is
/// down like any other.
///
/// | critical checks                                     | state    | in grace |
/// |-----------------------------------------------------|----------|----------|
/// | one does not run, and nothing says that it should   | stopped  |          |
/// | systemd is starting one                             | starting |          |
/// | one cannot be told and was stopped, the rest fails  | stopped  |          |
/// | one failed, says systemd                            | down     |          |
/// | one fails, confirmed                                | down     | starting |
/// | (restarted more than five times within an hour)     | unstable |          |
/// | one fails, not confirmed, and passed before         | degraded | starting |
/// | one fails, not confirmed, and never passed          | unknown  | starting |
/// | of one no probe has told anything yet               | unknown  |          |
/// | none can be told, or one that failed before         | unknown  |          |
/// | one passes, not often enough yet                    | unknown  | starting |
/// | one cannot be told, others pass                     | degraded |          |
/// | all pass; one warns, or a warning check fails       | degraded |          |
/// | all pass                                            | up       |          |
///
/// What would be `down` is `blocked` while something it needs is down, blocked, stopped, or just started after that. What would be `starting` is
/// `unstable` when it was restarted that often: a crash loop is never blue. Where no check is critical, the rows from
/// "no probe has told" on are about all of them. Before all rows: a service whose probes do not come back is `unknown`,
/// and one that a person holds is `held`.
pub(super) fn judge(service: &Watched, needs: &[&Watched], now: Duration) -> Judgement {
    if let Some(late) = service.overdue(now) {
        let reason = format!("its probes have not answered for {} s", late.as_secs());
        return Judgement { state: State::Unknown, ok: last_verdict(service), reason: Some(reason) };
    }
    if let Some(held) = &service.held {
        let reason = match reasons_if_any(service, State::Held) {
            Some(reasons) => format!("{}; {reasons}", held.words()),
            None => held.words(),
        };
        return Judgement { state: State::Held, ok: last_verdict(service), reason: Some(reason) };
    }
    let grace = grace(service, now);
    let by_systemd: usize = service.checks.iter().map(|check| check.restarts_within_an_hour(now)).sum();
    let restarts = by_systemd + service.healing.made_within_an_hour(now);
    let state = match state_of(service, grace.is_some(), restarts) {
        State::Starting if restarts > RESTARTS_AN_HOUR => State::Unstable,
        state => state,
    };
    let in_the_way = needs.iter().find(|need| is_in_the_way(need));
    if let (State::Down, Some(need)) = (state, in_the_way) {
        let (name, its) = (&need.config.name, need.state);
        let reason = format!("{name}, which it needs, is {its}; {}", reasons(service, state));
        return Judgement { state: State::Blocked, ok: false, reason: Some(reason) };
    }
    let ok = match state {
        State::Up | State::Degraded => true,
        State::Down | State::Unstable | State::Blocked => false,
        State::Unknown | State::Starting | State::Held | State::Stopped => last_verdict(service),
    };
    let reason = match (state, grace) {
        (State::Up, _) => None,
        (State::Unstable, _) => Some(format!("restarted {restarts} times within the last hour")),
        (State::Starting, Some(grace)) => Some(format!("{grace}; {}", reasons(service, state))),
        _ => Some(reasons(service, state)),
    };
    Judgement { state, ok, reason }
}

/// Whether a service keeps those that need it from being well. One that was down and is just being started still does.
pub(super) fn is_in_the_way(need: &Watched) -> bool {
    match need.state {
        State::Down | State::Blocked | State::Stopped => true,
        State::Starting => need.healing.incident.is_some(),
        _ => false,
    }
}

/// Whether all that decides is confirmed to pass, whatever its state is called.
pub(super) fn is_well(service: &Watched) -> bool {
    deciding(service).all(|check| check.standing(&service.config.timing) == Standing::Passing)
}

/// Whether it is not well, or on its way up, and nothing says that it is down: the thresholds have not decided yet, it
/// dies again and again, or a person holds it.
pub(super) fn is_in_doubt(service: &Watched) -> bool {
    service.state == State::Starting
        || matches!(service.state, State::Unstable | State::Held) && !is_well(service)
        || deciding(service).any(|check| {
            matches!(
                check.standing(&service.config.timing),
                Standing::Wavering | Standing::AlmostFailing | Standing::AlmostPassing
            )
        })
}

/// The table.
fn state_of(service: &Watched, in_grace: bool, restarts: usize) -> State {
    let timing = &service.config.timing;
    let critical = || service.checks.iter().filter(|check| check.is_critical());
    let any = |standing: Standing| critical().any(|check| check.standing(timing) == standing);
    let any_deciding = |standing: Standing| deciding(service).any(|check| check.standing(timing) == standing);
    let is_blind = |check: &CheckState| check.standing(timing) == Standing::Blind;
    // A service that comes from a stop or a start is on its way up, even if no check can tell when it was started.
    let coming_up = in_grace || matches!(service.state, State::Stopped | State::Starting);
    let or_starting = |state: State, starting: bool| if starting { State::Starting } else { state };

    if any(Standing::Stopped) {
        State::Stopped
    } else if any(Standing::Starting) {
        State::Starting
    } else if is_silent_since_its_stop(service) {
        State::Stopped
    } else if critical().any(|check| check.failed_for_certain() && !is_blind(check)) {
        State::Down
    } else if any(Standing::Failing) {
        or_starting(State::Down, in_grace)
    } else if restarts > RESTARTS_AN_HOUR {
        State::Unstable
    } else if any(Standing::Wavering) {
        or_starting(State::Degraded, in_grace)
    } else if any(Standing::AlmostFailing) {
        or_starting(State::Unknown, in_grace)
    } else if any_deciding(Standing::NotLooked)
        || deciding(service).all(is_blind)
        || deciding(service).any(|check| is_blind(check) && check.last_verdict() == Some(false))
    {
        State::Unknown
    } else if any_deciding(Standing::AlmostPassing) {
        or_starting(State::Unknown, coming_up)
    } else if any(Standing::Blind) || service.checks.iter().any(|check| is_amiss(check, timing)) {
        State::Degraded
    } else {
        State::Up
    }
}

/// Whether it was stopped when its unit could be told last, and nothing has answered since: what a stop explains is no
/// failure only because the bus is gone. Of a unit that is all there is to look at nobody can tell.
fn is_silent_since_its_stop(service: &Watched) -> bool {
    let critical = || service.checks.iter().filter(|check| check.is_critical());
    let standing = |check: &CheckState| check.standing(&service.config.timing);
    critical().any(|check| standing(check) == Standing::Blind && check.was_stopped())
        && critical().any(|check| standing(check) == Standing::Failing)
        && !critical().any(|check| matches!(standing(check), Standing::Passing | Standing::AlmostPassing))
}

/// The checks by which it is known whether a service was looked at: the critical ones, or all where none is.
fn deciding(service: &Watched) -> impl Iterator<Item = &CheckState> {
    let none_is_critical = !service.checks.iter().any(CheckState::is_critical);
    service.checks.iter().filter(move |check| none_is_critical || check.is_critical())
}

/// A check of any severity that keeps an otherwise passing service from being `up`.
fn is_amiss(check: &CheckState, timing: &Timing) -> bool {
    match check.standing(timing) {
        Standing::Passing | Standing::AlmostPassing => check.warning().is_some(),
        // A check marked `severity: warning` may be blind without hiding that the service is well.
        Standing::NotLooked | Standing::Blind => false,
        _ => true,
    }
}

/// Why failures are forgiven yet, in words; none when they are not.
fn grace(service: &Watched, now: Duration) -> Option<String> {
    let limit = service.config.timing.start_grace;
    let is_forgiven = |age: Duration| {
        let was_well_since = service.well_at.is_some_and(|at| now.saturating_sub(at) < age);
        age < limit && !was_well_since
    };
    let started = service.checks.iter().filter_map(|check| check.age(now)).min();
    if let Some(age) = started.filter(|age| is_forgiven(*age)) {
        return Some(format!("started {} s ago", age.as_secs()));
    }
    let freed = service.freed_at.map(|at| now.saturating_sub(at));
    let age = freed.filter(|age| is_forgiven(*age))?;
    Some(format!("what it needs is back since {} s", age.as_secs()))
}

/// The last verdict of the checks: all that ever said something said yes.
fn last_verdict(service: &Watched) -> bool {
    let mut verdicts = deciding(service).filter_map(CheckState::last_verdict).peekable();
    verdicts.peek().is_some() && verdicts.all(|verdict| verdict)
}

/// What each check that is not as it should be has to say.
fn reasons(service: &Watched, state: State) -> String {
    reasons_if_any(service, state).unwrap_or_else(|| "not looked yet".to_owned())
}

fn reasons_if_any(service: &Watched, state: State) -> Option<String> {
    let parts: Vec<String> =
        service.checks.iter().filter_map(|check| reason_of(check, service, state)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn reason_of(check: &CheckState, service: &Watched, state: State) -> Option<String> {
    let timing = &service.config.timing;
    let kind = check.kind();
    let standing = check.standing(timing);
    // What merely follows from a stop need not be told beside it.
    if state == State::Stopped && standing != Standing::Stopped && !check.was_stopped() {
        return None;
    }
    match (standing, check.reason(timing)) {
        (Standing::NotLooked, None) => Some(format!("{kind}: not looked yet")),
        (Standing::AlmostPassing, _) => {
            Some(format!("{kind}: passes ({} of {})", check.passes(), timing.success_threshold))
        }
        // Of what is down already nobody counts how far another check is.
        (Standing::Wavering | Standing::AlmostFailing, Some(reason))
            if !matches!(state, State::Down | State::Blocked) =>
        {
            Some(format!("{kind}: {reason} (failure {} of {})", check.failures(), timing.failure_threshold))
        }
        (Standing::Failing, _) if check.passes() > 0 => {
            Some(format!("{kind}: passes again ({} of {})", check.passes(), timing.success_threshold))
        }
        (_, Some(reason)) => Some(format!("{kind}: {reason}")),
        (_, None) => None,
    }
}
