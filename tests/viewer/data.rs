//! What is shown when the document is not what it should be. Nothing of it is ever green.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use wellkeep::status::{Mode, MonitorState};
use wellkeep::viewer::{LiveChecks, Options, Viewer};

use crate::stage::{BOOT, Running, Stage, document, run};

/// What a badge is filled with where all is well.
const GREEN: &str = "#136b38";

/// The word, the reason's beginning, whether the figures are still there; and whatever it is, `/health` refuses, no badge is
/// green, and `/metrics` knows of no monitor and no service.
fn shows(viewer: &Running, data: &str, reason: &str, service_is_shown: bool) {
    let reply = viewer.get("/api/status");
    // Whoever counts failures without a look at `viewer.data` must not take no data for none.
    let status = if data == "none" { 503 } else { 200 };
    assert_eq!((reply.status, reply.data().as_str()), (status, data));
    assert!(reply.reason().contains(reason), "{:?} does not contain {reason:?}", reply.reason());
    assert_eq!(reply.json()["stale"], data != "live");
    assert_eq!(reply.json()["services"].get("flask_web").is_some(), service_is_shown);
    let health = viewer.get("/health");
    assert_eq!((health.status, health.json()["status"].as_str()), (503, Some("fail")), "{}", health.body);
    assert_eq!(health.json()["reason"], reply.reason());
    for path in ["/badge.svg", "/badge/flask_web.svg"] {
        let badge = viewer.get(path).body;
        assert!(data == "live" || !badge.contains(GREEN) && !badge.contains(": up"), "{data}: {badge}");
    }
    let metrics = viewer.get("/metrics").body;
    let state = format!("wellkeep_document_state{{state=\"{data}\"}} 1");
    for line in ["wellkeep_monitor_up 0", &state] {
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("wellkeep_service"), "{metrics}");
}

#[test]
fn a_document_turns_stale_by_silence_alone_and_fresh_by_the_next() {
    let stage = Stage::with(&document(&["flask_web"]));
    let viewer = stage.run();
    stage.pass(15);
    let reply = viewer.get("/api/status");
    assert_eq!((reply.data().as_str(), reply.header("Age")), ("fresh", Some("15")));
    assert_eq!(reply.json()["viewer"].get("reason"), None);

    stage.pass(1);
    shows(&viewer, "stale", "written nothing since 2025-10-27T12:00:00Z", true);
    assert_eq!(viewer.get("/api/status/flask_web").json()["stale"], true);

    let mut next = document(&["flask_web"]);
    next.generated_at = next.generated_at.plus_millis(16_000);
    stage.write(&serde_json::to_vec(&next).unwrap());
    assert_eq!(viewer.get("/api/status").data(), "fresh");
    assert_eq!(viewer.get("/health").status, 200);
}

#[test]
fn a_document_from_before_the_reboot_is_called_that() {
    let mut earlier = document(&["flask_web"]);
    earlier.boot_id = BOOT.replace('1', "9");
    let viewer = Stage::with(&earlier).run();
    shows(&viewer, "earlier_boot", "before this machine was started", true);
}

#[test]
fn a_monitor_that_was_stopped_is_called_that() {
    let mut last = document(&["flask_web"]);
    last.monitor.state = MonitorState::Stopped;
    let viewer = Stage::with(&last).run();
    shows(&viewer, "stopped", "stopped at 2025-10-27T12:00:00Z", true);
}

#[test]
fn figures_from_the_future_are_not_believed() {
    let stage = Stage::with(&document(&["flask_web"]));
    let viewer = stage.run();
    stage.pass(-3600);
    shows(&viewer, "future", "later than this machine's clock", true);
    assert_eq!(viewer.get("/api/status").header("Age"), Some("0"));
    let mut next = document(&["flask_web"]);
    next.generated_at = next.generated_at.plus_millis(-3_600_000);
    stage.write(&serde_json::to_vec(&next).unwrap());
    assert_eq!(viewer.get("/api/status").data(), "fresh", "the monitor is there, and goes by the same clock");
}

#[test]
fn a_clock_that_was_set_a_day_forward_makes_the_figures_old_until_the_next() {
    let stage = Stage::with(&document(&["flask_web"]));
    let viewer = stage.run();
    stage.pass(86_400);
    shows(&viewer, "stale", "written nothing since 2025-10-27T12:00:00Z", true);
    let mut next = document(&["flask_web"]);
    next.generated_at = next.generated_at.plus_millis(86_400_000);
    stage.write(&serde_json::to_vec(&next).unwrap());
    assert_eq!(viewer.get("/api/status").data(), "fresh");
}

/// The time of its making comes again when the clock is set back: the last word of a dead monitor would be true then.
#[test]
fn what_has_been_seen_for_too_long_is_stale_whatever_the_clock_says() {
    let mut last = document(&["flask_web"]);
    last.stale_after_s = 1;
    let stage = Stage::with(&last);
    let viewer = stage.run();
    let deadline = Instant::now() + Duration::from_secs(60);
    while viewer.get("/api/status").data() == "fresh" {
        assert!(
            Instant::now() < deadline,
            "it is noon for ever, and the document of noon is believed for ever"
        );
        std::thread::yield_now();
    }
    shows(&viewer, "stale", "written nothing since 2025-10-27T12:00:00Z", true);
    stage.write(&serde_json::to_vec(&last).unwrap());
    shows(&viewer, "stale", "written nothing since", true);
    stage.write(&serde_json::to_vec(&document(&["flask_web"])).unwrap());
    assert_eq!(viewer.get("/api/status").data(), "fresh");
}

#[test]
fn a_broken_new_file_leaves_the_last_good_figures_marked_stale() {
    let good = serde_json::to_string(&document(&["flask_web"])).unwrap();
    let of_another_version = good.replacen("\"schema\":1", "\"schema\":2", 1);
    let without_services = good.replacen("\"services\":{", "\"other\":{", 1);
    let broken = [
        (&good[..good.len() / 2], "EOF"),
        (&of_another_version, "schema is 2"),
        (&without_services, "missing field `services`"),
        ("", "it is empty"),
        ("[]", "invalid"),
    ];
    for (bytes, reason) in broken {
        let stage = Stage::with(&document(&["flask_web"]));
        let viewer = stage.run();
        assert_eq!(viewer.get("/api/status").data(), "fresh");
        stage.write(bytes.as_bytes());
        shows(&viewer, "stale", reason, true);
        shows(&viewer, "stale", "last good figures", true);
        stage.write(good.as_bytes());
        assert_eq!(viewer.get("/api/status").data(), "fresh");
    }
}

#[test]
fn a_broken_file_with_nothing_before_it_is_no_data() {
    let stage = Stage::new();
    stage.write(b"{\"schema\": 1, \"mode\"");
    let viewer = stage.run();
    shows(&viewer, "none", "is not a status document", false);
    assert_eq!(viewer.get("/api/status/flask_web").status, 503);
}

#[test]
fn no_file_is_no_data_with_every_field_that_readers_rely_on() {
    let viewer = Stage::new().run();
    shows(&viewer, "none", "no monitor has written here yet", false);
    let reply = viewer.get("/api/status");
    assert_eq!(reply.header("Age"), None);
    let status = reply.json();
    assert_eq!(status["services"], serde_json::json!({}));
    for count in ["ok_count", "fail_count", "total"] {
        assert_eq!(status[count], 0, "{count}");
    }
    assert_eq!(status["overall"], "unknown");
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart_from_one_that_is_missing() {
    let stage = Stage::new();
    std::fs::create_dir(stage.status_file()).unwrap();
    let folder = stage.run();
    shows(&folder, "none", "cannot be read: Is a directory", false);

    std::fs::write(stage.folder.path().join("file"), "").unwrap();
    let below_a_file = Viewer::bind(Options {
        status_file: stage.folder.path().join("file/status.json"),
        ..stage.options()
    });
    shows(&run(below_a_file.unwrap()), "none", "cannot be read: Not a directory", false);
}

#[test]
fn a_document_that_vanishes_leaves_the_last_good_figures_marked_stale() {
    let stage = Stage::with(&document(&["flask_web"]));
    let viewer = stage.run();
    assert_eq!(viewer.get("/api/status").data(), "fresh");
    std::fs::remove_file(stage.status_file()).unwrap();
    shows(&viewer, "stale", "does not exist", true);
}

/// Live checks that count how often they were made.
fn counting(stage: &Stage) -> (LiveChecks, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (counter, now) = (count.clone(), stage.options().now);
    let checks = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let mut live = document(&["flask_web"]);
        live.mode = Mode::LiveChecks;
        live.generated_at = now();
        Ok(live)
    };
    (Box::new(checks), count)
}

fn run_live(stage: &Stage, checks: LiveChecks) -> Running {
    let viewer = Viewer::bind(Options { live: Some(checks), ..stage.options() });
    run(viewer.unwrap())
}

#[test]
fn without_a_monitor_the_viewer_looks_for_itself_once_in_five_seconds_whatever_is_asked() {
    let stage = Stage::new();
    let (checks, count) = counting(&stage);
    let viewer = run_live(&stage, checks);
    shows(&viewer, "live", "the viewer looked for itself", true);
    assert_eq!(viewer.get("/api/status").json()["mode"], "live_checks");
    for _ in 0..50 {
        viewer.get("/api/status");
    }
    stage.pass(4);
    viewer.get("/health");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    stage.pass(1);
    viewer.get("/api/status/flask_web");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    stage.pass(-3600);
    viewer.get("/api/status");
    assert_eq!(count.load(Ordering::SeqCst), 3, "a clock that was set back does not put it off");
}

#[test]
fn a_monitor_that_comes_or_a_broken_file_ends_the_live_checks() {
    let stage = Stage::new();
    let (checks, _) = counting(&stage);
    let viewer = run_live(&stage, checks);
    shows(&viewer, "live", "", true);
    stage.write(b"{");
    shows(&viewer, "none", "is not a status document", false);
    stage.write(&serde_json::to_vec(&document(&["flask_web"])).unwrap());
    assert_eq!(viewer.get("/api/status").data(), "fresh");
}

#[test]
fn live_checks_that_fail_or_panic_are_no_data_and_are_tried_again() {
    let stage = Stage::new();
    let count = AtomicUsize::new(0);
    let checks: LiveChecks = Box::new(move || match count.fetch_add(1, Ordering::SeqCst) {
        0 => Err("no configuration".to_owned()),
        1..=20 => panic!("a fault in a probe"),
        _ => Ok(document(&["flask_web"])),
    });
    let viewer = run_live(&stage, checks);
    shows(&viewer, "none", "live checks failed: no configuration", false);
    for _ in 1..=20 {
        stage.pass(5);
        shows(&viewer, "none", "live checks failed: a fault in Wellkeep", false);
    }
    stage.pass(5);
    let looked = viewer.get("/api/status");
    assert_eq!(looked.data(), "stale", "that document is of noon");
}

#[test]
fn live_checks_are_never_made_twice_at_a_time_and_nobody_waits_for_them() {
    let stage = Stage::new();
    let (started, has_started) = channel();
    let (finish, may_finish) = channel::<()>();
    let may_finish = std::sync::Mutex::new(may_finish);
    let checks: LiveChecks = Box::new(move || {
        started.send(()).unwrap();
        let _ = may_finish.lock().unwrap().recv();
        Ok(document(&["flask_web"]))
    });
    let viewer = run_live(&stage, checks);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| viewer.get("/api/status").data());
        has_started.recv().unwrap();
        for _ in 0..20 {
            shows(&viewer, "none", "the first live checks are under way", false);
        }
        finish.send(()).unwrap();
        assert_eq!(first.join().unwrap(), "live");
        assert!(has_started.try_recv().is_err());

        // The next look takes long, and the figures of the one before are as old as they are.
        stage.pass(16);
        scope.spawn(|| viewer.get("/api/status"));
        has_started.recv().unwrap();
        shows(&viewer, "stale", "last looked for itself at 2025-10-27T12:00:00Z", true);
        finish.send(()).unwrap();
    });
}
