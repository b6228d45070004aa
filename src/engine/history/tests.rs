use std::time::Duration;

use super::super::stories::{
    World, cannot_tell, config, fails, fails_as, http_check, identity, passes, port_check, service,
};
use super::super::{Event, Now, ServiceConfig};
use super::*;
use crate::config::Timing;
use crate::probe::{Detail, Failure, http, port};
use crate::status::Hold;
use crate::status::history::Window;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// A world of one service, in which days go by in a moment.
fn world() -> World {
    world_that_looks_every(60)
}

/// The same in which months do.
fn slow_world() -> World {
    world_that_looks_every(1800)
}

fn world_that_looks_every(seconds: u64) -> World {
    let timing = Timing { interval: Duration::from_secs(seconds), ..Timing::default() };
    let mut world = World::of(vec![ServiceConfig { timing, ..service("web") }]);
    world.engine.heartbeat = Duration::from_secs(seconds);
    world
}

fn uptime(world: &World) -> Uptime {
    world.document().services["web"].uptime.unwrap()
}

fn is_about(share: f64, wanted: f64) -> bool {
    (share - wanted).abs() < 0.002
}

/// What is remembered of each hour: (day, hour, minutes up, down, not counted).
fn hours(world: &mut World) -> Vec<(i32, i32, u32, u32, u32)> {
    let now = world.now();
    world.engine.history(now);
    let hours = world.engine.services[0].history.hours.range(i32::MIN, i32::MAX);
    hours.map(|(number, tally)| told(number.div_euclid(24), number.rem_euclid(24), &tally)).collect()
}

/// The same of the hours that are to be written down.
fn written(world: &mut World) -> Vec<(i32, i32, u32, u32, u32)> {
    let now = world.now();
    let days = world.engine.history(now);
    let of = |day: &Day| {
        let number = day.number;
        let hours: Vec<_> = day.services.iter().flat_map(ServiceDay::hours).collect();
        hours.into_iter().map(move |(hour, tally)| told(number, hour, &tally))
    };
    days.iter().flat_map(of).collect()
}

fn told(day: i32, hour: i32, tally: &Tally) -> (i32, i32, u32, u32, u32) {
    assert!(tally.known_ms() <= 3_600_000, "an hour has an hour: {tally:?}");
    let minutes = |ms: u32| (ms + 30_000) / 60_000;
    (day, hour, minutes(tally.up_ms), minutes(tally.down_ms), minutes(tally.not_counted_ms))
}

/// The clock of the wall is set, or the machine slept.
fn set_clock(world: &mut World, seconds: f64) {
    world.wall_ahead_ms += (seconds * 1000.0) as i64;
}

/// A monitor after this one, so many seconds later.
fn restarted(mut world: World, seconds: f64) -> World {
    let now = world.now();
    let (memory, days) = (world.engine.memory(now), world.engine.history(now));
    started_again(&world, seconds, &Past { days, transitions: Vec::new() }, &memory)
}

fn started_again(world: &World, seconds: f64, past: &Past, memory: &crate::status::Memory) -> World {
    let mut next = self::world();
    next.wall_ahead_ms = world.now().wall.as_millis() + (seconds * 1000.0) as i64;
    let configured = config(next.engine.services.iter().map(|service| service.config.clone()).collect());
    next.engine = Engine::new(configured, identity(), next.now());
    next.engine.heartbeat = Duration::from_secs(60);
    next.engine.recall(next.now(), memory);
    next.engine.remember(next.now(), past);
    next
}

#[test]
fn what_was_never_looked_at_is_unknown_and_not_up() {
    let world = world();
    let Window { ratio, known, not_counted } = uptime(&world).day;
    assert_eq!((ratio, known, not_counted), (None, 0.0, 0.0));
}

#[test]
fn an_hour_ends_on_the_hour_and_each_gets_its_own() {
    let mut world = world();
    world.pass(100.0 * MINUTE).answer("web", "port", fails()).pass(10.0 * MINUTE);
    // The failure shows at the next look, within a minute.
    assert_eq!(hours(&mut world), [(0, 0, 60, 0, 0), (0, 1, 41, 9, 0)]);
}

#[test]
fn time_that_a_failure_takes_to_be_confirmed_counts_as_down() {
    let mut world = world();
    world.pass(10.0 * MINUTE).answer("web", "port", fails());
    while world.document().services["web"].consecutive_failures == 0 {
        world.pass(0.25);
    }
    let failed_at = world.now;
    while world.state("web") != State::Down {
        world.pass(0.25);
    }
    let took = world.now - failed_at;
    assert!(took > Duration::from_secs(3), "it is not confirmed at once: {took:?}");
    let until = world.now + Duration::from_secs(50) - took;
    world.pass((until - world.now).as_secs_f64());
    let now = world.now();
    world.engine.history(now);
    let total = world.engine.services[0].history.hours.total(1, now.wall);
    assert!((49_000..=51_000).contains(&total.down_ms), "{total:?}");
}

#[test]
fn a_failure_that_is_never_confirmed_costs_nothing() {
    let mut world = world();
    world.pass(10.0 * MINUTE).answer("web", "port", fails());
    while world.document().services["web"].consecutive_failures == 0 {
        world.pass(0.25);
    }
    world.answer("web", "port", passes()).pass(10.0 * MINUTE);
    assert_eq!(uptime(&world).hour.ratio, Some(1.0));
    let [(_, _, up, down, _)] = hours(&mut world)[..] else { panic!("one hour") };
    assert!((20..=21).contains(&up) && down == 0, "also that time is up: {up}");
}

#[test]
fn a_ratio_is_never_rounded_up_to_all() {
    let mut world = slow_world();
    world.pass(DAY).answer("web", "port", fails()).pass(HOUR);
    world.answer("web", "port", passes()).pass(80.0 * DAY);
    let uptime = uptime(&world);
    assert!(uptime.quarter.ratio.unwrap() < 1.0, "{uptime:?}");
    assert_eq!(uptime.day.ratio, Some(1.0));
}

#[test]
fn a_pause_that_somebody_asked_for_does_not_count_whatever_happens_in_it() {
    let mut world = world();
    world.pass(30.0 * MINUTE);
    let hold = Hold {
        since: world.now().wall,
        until: world.now().wall.plus_millis(20 * 60_000),
        by: "ada".to_owned(),
        reason: None,
    };
    world.give(Event::HoldsChanged(vec![(Some("web".to_owned()), hold)]));
    world.answer("web", "port", fails()).pass(10.0 * MINUTE);
    world.answer("web", "port", passes()).pass(20.0 * MINUTE);
    assert_eq!(uptime(&world).hour.ratio, Some(1.0));
    let [(_, 0, up, 0, held), ..] = hours(&mut world)[..] else { panic!("nothing is down") };
    assert!((39..=41).contains(&up) && (19..=21).contains(&held), "{up} {held}");
}

#[test]
fn what_was_stopped_on_purpose_is_neither_up_nor_down_and_what_cannot_be_told_is_unknown() {
    let mut world = world();
    world.pass(10.0 * MINUTE);
    world.answer("web", "port", fails_as(Failure::Stopped)).pass(20.0 * MINUTE);
    world.answer("web", "port", cannot_tell()).pass(20.0 * MINUTE);
    let [(_, _, up, down, stopped)] = hours(&mut world)[..] else { panic!("one hour") };
    // It is still believed stopped until several looks could not tell.
    assert!((9..=12).contains(&up) && down == 0 && (19..=25).contains(&stopped), "{up} {down} {stopped}");
}

#[test]
fn a_clock_that_is_set_back_makes_no_hour_longer_and_hides_no_failure() {
    let mut world = world();
    world.pass(2.0 * HOUR);
    set_clock(&mut world, -HOUR);
    world.answer("web", "port", fails()).pass(30.0 * MINUTE);
    let hours = self::hours(&mut world);
    assert_eq!(hours.len(), 2, "{hours:?}");
    let (_, hour, up, down, _) = hours[1];
    assert_eq!((hour, up + down), (1, 60), "the hour that came twice is one hour: {hours:?}");
    assert!(down >= 15, "what happened in it shows: {hours:?}");
}

#[test]
fn a_clock_that_leaps_ahead_leaves_a_gap_and_comes_back_without_a_loss() {
    let mut world = world();
    world.pass(HOUR);
    set_clock(&mut world, DAY);
    world.pass(HOUR);
    let leapt = hours(&mut world);
    assert!(leapt.contains(&(0, 0, 60, 0, 0)) && leapt.iter().any(|hour| hour.0 == 1), "{leapt:?}");
    let day = uptime(&world).day;
    assert!(day.ratio == Some(1.0) && day.known < 0.1, "the leap itself is unknown: {day:?}");
    set_clock(&mut world, -DAY);
    world.pass(HOUR);
    let hours = self::hours(&mut world);
    assert_eq!(hours[0], (0, 0, 60, 0, 0), "{hours:?}");
    assert!(hours.iter().any(|hour| (hour.0, hour.1) == (0, 2) && hour.2 >= 59), "{hours:?}");
}

#[test]
fn time_asleep_is_unknown() {
    let mut world = world();
    world.pass(30.0 * MINUTE);
    // The monotonic clock stands still meanwhile, the other goes on.
    set_clock(&mut world, 8.0 * HOUR);
    world.pass(30.0 * MINUTE);
    let day = uptime(&world).day;
    assert_eq!(day.ratio, Some(1.0));
    assert!(day.known > 0.03 && day.known < 0.05, "one hour of a day is known: {day:?}");
}

#[test]
fn time_in_which_the_monitor_itself_hung_is_unknown() {
    let mut world = world();
    world.pass(20.0 * MINUTE);
    world.now += Duration::from_secs(1200);
    world.pass(20.0 * MINUTE);
    assert_eq!(hours(&mut world).iter().map(|hour| hour.2).sum::<u32>(), 40);
}

#[test]
fn time_without_a_monitor_is_unknown_and_all_before_is_still_known() {
    let mut world = world();
    world.pass(20.0 * MINUTE).answer("web", "port", fails()).pass(10.0 * MINUTE);
    let mut next = restarted(world, 600.0);
    let hour = uptime(&next).hour;
    assert!((0.65..0.72).contains(&hour.ratio.unwrap()), "{hour:?}");
    next.pass(19.0 * MINUTE);
    let [(_, 0, up, down, 0)] = hours(&mut next)[..] else { panic!("one hour") };
    // It is believed to be as it was until the first look, and up from the second on.
    assert!((49..=51).contains(&(up + down)) && down >= 9, "{up} {down}");
    assert!((0.8..0.9).contains(&uptime(&next).hour.known), "ten minutes are unknown: {hour:?}");
}

#[test]
fn a_kill_loses_what_was_not_written_yet_and_that_is_a_minute_at_most() {
    let mut world = world();
    world.pass(10.0 * MINUTE);
    let now = world.now();
    let days = world.engine.history(now);
    world.pass(50.0);
    let mut next = started_again(
        &world,
        5.0,
        &Past { days, transitions: Vec::new() },
        &crate::status::Memory::default(),
    );
    next.pass(9.0 * MINUTE);
    assert_eq!(hours(&mut next), [(0, 0, 19, 0, 0)]);
}

#[test]
fn what_was_booked_is_written_down_once_a_minute_and_no_more_often() {
    let mut world = world();
    world.engine.heartbeat = Duration::from_secs(5);
    let mut written = 0;
    for second in 0..600 {
        let now =
            Now { mono: Duration::from_secs(second), wall: Timestamp::from_millis(second as i64 * 1000) };
        let commands = world.engine.handle(now, Event::Tick);
        written += commands.iter().filter(|command| matches!(command, Command::History(_))).count();
    }
    assert!((8..=10).contains(&written), "{written}");
}

#[test]
fn the_day_before_is_written_to_its_end_after_midnight() {
    let mut world = world();
    world.pass(DAY - 30.0);
    written(&mut world);
    world.pass(MINUTE);
    let after = written(&mut world);
    assert_eq!((after.len(), after[23], after[24]), (25, (0, 23, 60, 0, 0), (1, 0, 1, 0, 0)), "{after:?}");
    world.pass(20.0 * MINUTE);
    written(&mut world);
    world.pass(20.0 * MINUTE);
    assert!(written(&mut world).iter().all(|hour| hour.0 == 1), "it is over");
}

#[test]
fn after_90_days_the_oldest_is_forgotten() {
    let mut world = slow_world();
    world.answer("web", "port", fails()).pass(DAY);
    world.answer("web", "port", passes()).pass(80.0 * DAY);
    let before = uptime(&world);
    assert!(before.quarter.ratio.unwrap() < 0.99 && before.month.ratio == Some(1.0), "{before:?}");
    world.pass(15.0 * DAY);
    let after = uptime(&world);
    assert_eq!((after.quarter.ratio, is_about(after.quarter.known, 1.0)), (Some(1.0), true), "{after:?}");
}

#[test]
fn a_service_that_a_reload_took_away_and_brought_back_has_its_past() {
    let mut world = world();
    world.pass(HOUR);
    let with: Vec<_> = world.engine.services.iter().map(|service| service.config.clone()).collect();
    let reload = |services| Event::ConfigChanged(config(services));
    world.give(reload(vec![service("other")]));
    world.pass(30.0 * MINUTE);
    world.give(reload(with));
    world.pass(30.0 * MINUTE);
    let day = uptime(&world).day;
    assert_eq!(day.ratio, Some(1.0));
    let total = world.engine.services[0].history.hours.total(24, world.now().wall);
    let minutes = total.up_ms / 60_000;
    assert!((88..=91).contains(&minutes), "an hour before, half an hour since: {minutes}");
}

#[test]
fn restarts_and_heals_are_counted_in_their_hour() {
    let mut world = world();
    world.extras.insert("port", (None, Some(0)));
    world.pass(HOUR);
    world.extras.insert("port", (None, Some(3)));
    world.pass(10.0 * MINUTE);
    let now = world.now();
    let hours: Vec<(i32, u16)> = world.engine.history(now)[0].services[0]
        .hours()
        .map(|(hour, tally)| (hour, tally.restarts))
        .collect();
    assert_eq!(hours, [(0, 0), (1, 3)]);
}

#[test]
fn each_of_the_five_windows_tells_its_own_time_and_no_other() {
    let history = &mut History::new(Now { mono: Duration::ZERO, wall: Timestamp::from_millis(0) });
    let today = 20_780;
    // All of it was up but for a failure in each window that the one before does not reach.
    let book = |history: &mut History, from_ms: i64, ms: i64, ok: bool| {
        let now = |at_ms: i64| Now { mono: Duration::ZERO, wall: Timestamp::from_millis(at_ms) };
        history.leave_out(now(from_ms));
        history.book(now(from_ms + ms), if ok { State::Up } else { State::Down }, ok);
    };
    let end = i64::from(today) * DAY_MS + DAY_MS;
    let minute = 60_000;
    for (days, down) in [(80, 18 * 60), (20, 6 * 60), (3, 6 * 60)] {
        let start = end - days * DAY_MS;
        book(history, start, down * minute, false);
        book(history, start + down * minute, DAY_MS - down * minute, true);
    }
    book(history, end - DAY_MS, 3 * HOUR_MS, false);
    book(history, end - DAY_MS + 3 * HOUR_MS, DAY_MS - 3 * HOUR_MS - 30 * minute, true);
    book(history, end - 30 * minute, 15 * minute - 1, false);
    book(history, end - 15 * minute - 1, 15 * minute, true);
    let uptime = history.uptime();
    // Minutes up of minutes known, by window.
    let day = 24.0 * 60.0;
    let last_day = day - 180.0 - 15.0;
    let expected = [
        (uptime.hour, 45.0, 60.0),
        (uptime.day, last_day, day),
        (uptime.week, last_day + day - 360.0, 2.0 * day),
        (uptime.month, last_day + 2.0 * day - 720.0, 3.0 * day),
        (uptime.quarter, last_day + 3.0 * day - 1800.0, 4.0 * day),
    ];
    for (window, up, known) in expected {
        let ratio = window.ratio.unwrap();
        assert!((ratio - up / known).abs() < 0.0005, "{ratio} is not {up} of {known}: {uptime:?}");
    }
    let ratios = expected.map(|(window, ..)| window.ratio.unwrap());
    for (place, ratio) in ratios.iter().enumerate() {
        assert!(ratios[..place].iter().all(|other| (other - ratio).abs() > 0.01), "{ratios:?}");
    }
}

/// From now on the port accepts after so many milliseconds, and the HTTP check is answered after so many.
fn answers_within(world: &mut World, port_ms: u64, http_ms: u64) {
    let http = http::Detail { latency_ms: Some(http_ms), ..http::Detail::default() };
    let port = port::Detail { latency_ms: Some(port_ms), ..port::Detail::default() };
    world.details.extend([("http", Detail::Http(http)), ("port", Detail::Port(port))]);
}

/// What is written down of how fast it answered: (day of the file, hour since the start, probes, mean, most).
fn latency(world: &mut World) -> Vec<(i32, i32, u32, u32, u32)> {
    let now = world.now();
    let days = world.engine.history(now);
    let of = |day: &Day| {
        let hours: Vec<_> = day.services.iter().flat_map(ServiceDay::latency).collect();
        let number = day.number;
        hours.into_iter().map(move |(hour, latency)| {
            (number, hour, latency.probes, latency.mean_ms().unwrap(), latency.max_ms)
        })
    };
    days.iter().flat_map(of).collect()
}

#[test]
fn an_hour_has_the_mean_and_the_slowest_of_the_probes_that_passed() {
    let mut world = world();
    answers_within(&mut world, 10, 0);
    world.pass(30.0 * MINUTE);
    answers_within(&mut world, 30, 0);
    world.pass(30.0 * MINUTE);
    answers_within(&mut world, 3000, 0);
    world.answer("web", "port", fails()).pass(30.0 * MINUTE);
    world.answer("web", "port", cannot_tell()).pass(90.0 * MINUTE);
    answers_within(&mut world, 7, 0);
    world.answer("web", "port", passes()).pass(HOUR);
    let [(0, 0, 60..=63, 19..=21, 30), (0, 3, 60..=63, 7, 7)] = latency(&mut world)[..] else {
        panic!("two hours, and no failure in them: {:?}", latency(&mut world))
    };
}

#[test]
fn the_latency_is_that_of_the_http_check_also_while_that_fails_and_the_ports_where_there_is_none() {
    for (checks, wanted) in [(vec![port_check(), http_check()], 40), (vec![port_check()], 1)] {
        let mut world = World::of(vec![ServiceConfig { checks, ..service("web") }]);
        answers_within(&mut world, 1, 40);
        world.pass(5.0 * MINUTE).answer("web", "http", fails()).pass(5.0 * MINUTE);
        let [(0, 0, _, mean, most)] = latency(&mut world)[..] else { panic!("one hour") };
        assert_eq!((mean, most), (wanted, wanted));
    }
}

#[test]
fn the_latency_of_an_hour_goes_on_under_the_next_monitor() {
    let mut world = world();
    answers_within(&mut world, 10, 0);
    world.pass(20.0 * MINUTE);
    let mut next = restarted(world, 60.0);
    answers_within(&mut next, 40, 0);
    next.pass(10.0 * MINUTE);
    let [(0, 0, 30..=33, 19..=21, 40)] = latency(&mut next)[..] else { panic!("{:?}", latency(&mut next)) };
}

#[test]
fn only_the_file_of_today_has_the_latency_and_it_has_that_of_yesterday_too_from_midnight_on() {
    let mut world = world();
    answers_within(&mut world, 10, 0);
    world.pass(2.0 * DAY - 1.0);
    for _ in 0..3 {
        let told = latency(&mut world);
        let hours: Vec<i32> = told.iter().map(|hour| hour.1).collect();
        let now = (world.now().wall.as_millis() / HOUR_MS) as i32;
        // Right after midnight nothing was measured yet in the hour that is under way.
        assert!(hours.len() >= 23 && hours.iter().all(|hour| (now - 23..=now).contains(hour)), "{told:?}");
        assert!(told.iter().all(|hour| hour.0 == now / 24), "{told:?}");
        world.pass(1.0);
    }
}

#[test]
fn days_of_a_clock_that_was_ahead_hide_no_latency_of_now() {
    let mut world = world();
    answers_within(&mut world, 10, 0);
    world.pass(HOUR);
    let now = world.now();
    let mut days = world.engine.history(now);
    set_clock(&mut world, 30.0 * DAY);
    // As many hours as are kept.
    world.pass(DAY + 0.5 * HOUR);
    let now = world.now();
    days.extend(world.engine.history(now));
    set_clock(&mut world, -31.0 * DAY - 0.5 * HOUR);
    let memory = crate::status::Memory::default();
    let mut next = started_again(&world, 0.0, &Past { days, transitions: Vec::new() }, &memory);
    assert!(latency(&mut next).iter().any(|hour| hour.1 == 0), "{:?}", latency(&mut next));
}
