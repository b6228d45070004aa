use super::*;

fn unit(active: &str, sub: &str) -> UnitState {
    UnitState {
        name: "web.service".into(),
        load: "loaded".into(),
        active: active.into(),
        sub: sub.into(),
        ..UnitState::default()
    }
}

fn with(unit: UnitState, details: Details) -> UnitState {
    UnitState { details, ..unit }
}

fn ended(result: &str, exit: Option<Exit>) -> Details {
    Details { result: Some(result.into()), exit, ..Details::default() }
}

#[track_caller]
fn assert_fails(unit: &UnitState, kind: Failure, reason: &str) {
    let reason = reason.into();
    assert_eq!(judge(unit), Outcome::Fail { reason, kind });
}

#[test]
fn every_active_sub_state_passes() {
    for sub in
        ["running", "exited", "listening", "waiting", "mounted", "elapsed", "plugged", "active", "abandoned"]
    {
        assert_eq!(judge(&unit("active", sub)), Outcome::PASS, "{sub}");
    }
}

#[test]
fn a_reloading_unit_passes() {
    assert_eq!(judge(&unit("reloading", "reload")), Outcome::PASS);
    assert_eq!(judge(&unit("refreshing", "refresh")), Outcome::PASS);
}

#[test]
fn a_running_unit_whose_file_is_gone_or_broken_passes_with_a_warning() {
    for load in ["not-found", "bad-setting", "error", "masked"] {
        let unit = UnitState { load: load.into(), ..unit("active", "running") };
        let Outcome::Pass { warning: Some(warning) } = judge(&unit) else { panic!("{load}") };
        assert_eq!(warning, format!("running, but its unit file is {load} by now: the next start will fail"));
    }
}

#[test]
fn a_unit_on_its_way_up_is_starting() {
    assert_fails(&unit("activating", "start-pre"), Failure::Starting, "systemd is starting it (start-pre)");
}

#[test]
fn a_unit_that_systemd_restarts_is_starting_and_says_why_and_how_often() {
    for sub in ["auto-restart", "auto-restart-queued"] {
        let details = Details { restarts: Some(3), ..ended("exit-code", Some(Exit::Status(1))) };
        assert_fails(
            &with(unit("activating", sub), details),
            Failure::Starting,
            "systemd restarts it by itself; 3 restarts so far; before that: exited with status 1",
        );
    }
}

#[test]
fn a_oneshot_passes_at_work_and_at_rest_but_not_when_it_failed() {
    let once = |result| Details { runs_once: true, ..ended(result, Some(Exit::Status(3))) };
    assert_eq!(judge(&with(unit("activating", "start"), once("success"))), Outcome::PASS);
    assert_eq!(judge(&with(unit("inactive", "dead"), once("success"))), Outcome::PASS);
    assert_fails(
        &with(unit("failed", "failed"), once("exit-code")),
        Failure::Certain,
        "failed: exited with status 3",
    );
}

#[test]
fn a_stop_job_is_an_administrators_stop_and_a_restart_job_is_not() {
    let with_job =
        |job: Option<&str>| UnitState { job: job.map(Into::into), ..unit("deactivating", "stop-sigterm") };
    assert_fails(
        &with_job(Some("stop")),
        Failure::Stopping,
        "being stopped (stop-sigterm): an administrator, or a dependency, ordered it",
    );
    assert_fails(
        &with_job(Some("restart")),
        Failure::Starting,
        "being restarted: it is stopping (stop-sigterm)",
    );
    assert_fails(
        &with_job(None),
        Failure::Ordinary,
        "it ended by itself and is being cleaned up (stop-sigterm)",
    );
}

#[test]
fn a_failed_unit_fails_for_certain_and_says_how_it_ended() {
    let table = [
        (ended("exit-code", Some(Exit::Status(3))), "exited with status 3"),
        (
            ended("exit-code", Some(Exit::Status(203))),
            "exited with status 203 (EXEC: the program does not exist or cannot be executed)",
        ),
        (
            ended("exit-code", Some(Exit::Status(0))),
            "one of its commands (ExecStartPre=, ExecStop= ...) failed",
        ),
        (ended("signal", Some(Exit::Signal(9))), "killed by signal 9 (SIGKILL)"),
        (ended("signal", Some(Exit::Signal(34))), "killed by signal 34"),
        (ended("core-dump", Some(Exit::CoreDump(11))), "crashed with signal 11 (SIGSEGV) and dumped core"),
        (
            ended("timeout", Some(Exit::Signal(15))),
            "took longer to start, stop or run than its unit file allows (timeout)",
        ),
        (ended("watchdog", None), "stopped reporting to systemd in time (watchdog)"),
        (ended("oom-kill", Some(Exit::Signal(9))), "killed because memory ran out (oom-kill)"),
        (ended("start-limit-hit", None), "started too often, so systemd starts it no more (start-limit-hit)"),
        (ended("some-new-result", None), "the result is some-new-result"),
        (Details::default(), "systemd does not say how"),
    ];
    for (details, words) in table {
        assert_fails(&with(unit("failed", "failed"), details), Failure::Certain, &format!("failed: {words}"));
    }
}

#[test]
fn a_crash_loop_that_systemd_gave_up_says_after_how_many_restarts() {
    let details = Details { restarts: Some(5), ..ended("exit-code", Some(Exit::Status(1))) };
    assert_fails(
        &with(unit("failed", "failed"), details),
        Failure::Certain,
        "failed: exited with status 1, after 5 restarts by systemd",
    );
}

#[test]
fn a_masked_unit_is_stopped_whether_it_failed_before_or_not() {
    for active in ["inactive", "failed"] {
        let unit = UnitState { load: "masked".into(), ..unit(active, "dead") };
        let reason = "masked: nothing can start it (`systemctl unmask web.service` allows it again)";
        assert_fails(&unit, Failure::Stopped, reason);
    }
}

#[test]
fn a_unit_that_is_not_found_is_a_fault_of_the_configuration_and_names_the_nearest() {
    let missing = UnitState { load: "not-found".into(), ..unit("inactive", "dead") };
    assert_fails(&missing, Failure::Ordinary, "unit web.service not found: check the name in monitor.yml");
    let near = UnitState { nearest: Some("webs.service".into()), ..missing };
    assert_fails(
        &near,
        Failure::Ordinary,
        "unit web.service not found: check the name in monitor.yml (did you mean webs.service?)",
    );
}

#[test]
fn a_unit_that_systemd_cannot_load_is_a_fault_of_the_configuration() {
    for load in ["bad-setting", "error"] {
        let unit = UnitState { load: load.into(), ..unit("inactive", "dead") };
        let reason = format!(
            "systemd cannot load web.service ({load}): `systemd-analyze verify web.service` says why"
        );
        assert_fails(&unit, Failure::Ordinary, &reason);
    }
}

#[test]
fn a_silent_end_is_unexplained_because_nobody_can_tell_it_from_an_administrators_stop_afterwards() {
    assert_fails(
        &with(unit("inactive", "dead"), ended("success", None)),
        Failure::Unexplained,
        "inactive (dead): stopped by an administrator, or it ended by itself; systemd does not tell which afterwards",
    );
}

#[test]
fn a_disabled_unit_that_does_not_run_is_unexplained_since_somebody_may_have_started_it() {
    let details = Details { unit_file_state: Some("disabled".into()), ..ended("success", None) };
    assert_fails(
        &with(unit("inactive", "dead"), details),
        Failure::Unexplained,
        "inactive and disabled: it does not start at boot, and nobody started it",
    );
}

#[test]
fn an_unmet_condition_is_stopped_and_an_unmet_assertion_a_failure() {
    let details = Details { condition_unmet: true, ..ended("success", None) };
    assert_fails(
        &with(unit("inactive", "dead"), details),
        Failure::Stopped,
        "not started: a Condition...= of the unit is not met (`systemctl status web.service` shows which)",
    );
    let details = Details { assertion_unmet: true, ..ended("success", None) };
    assert_fails(
        &with(unit("inactive", "dead"), details),
        Failure::Ordinary,
        "not started: an Assert...= of the unit is not met (`systemctl status web.service` shows which)",
    );
    assert_fails(
        &with(unit("inactive", "dead"), ended("exec-condition", None)),
        Failure::Stopped,
        "not started: its ExecCondition= said no",
    );
}

#[test]
fn a_oneshot_that_cleans_up_after_its_work_passes() {
    let once = Details { runs_once: true, ..ended("success", None) };
    assert_eq!(judge(&with(unit("deactivating", "stop-post"), once)), Outcome::PASS);
}

#[test]
fn a_oneshot_whose_timer_is_not_active_is_stopped() {
    let triggered_by = vec!["web.timer".to_owned()];
    let once = Details { runs_once: true, triggered_by, ..ended("success", None) };
    assert_fails(
        &with(unit("inactive", "dead"), once),
        Failure::Stopped,
        "at rest, and what starts it is not active: web.timer",
    );
}

#[test]
fn a_service_that_waits_for_its_socket_passes() {
    let unit = UnitState { waits_for: Some("web.socket".into()), ..unit("inactive", "dead") };
    assert_eq!(judge(&unit), Outcome::PASS);
}

#[test]
fn a_unit_with_a_queued_start_is_starting() {
    let unit = UnitState { job: Some("start".into()), ..unit("inactive", "dead") };
    assert_fails(&unit, Failure::Starting, "systemd is about to start it (a start job is queued)");
}

#[test]
fn an_inactive_unit_with_a_bad_result_is_a_failure() {
    assert_fails(
        &with(unit("inactive", "dead"), ended("signal", Some(Exit::Signal(9)))),
        Failure::Ordinary,
        "inactive, and it did not end well: killed by signal 9 (SIGKILL)",
    );
}

#[test]
fn a_unit_that_is_being_cleaned_is_stopped() {
    assert_fails(
        &unit("maintenance", "cleaning"),
        Failure::Stopped,
        "in maintenance: `systemctl clean` is removing its data",
    );
}

#[test]
fn a_word_of_a_newer_systemd_is_unknown_and_named() {
    let outcome = judge(&unit("hibernating", "deep"));
    assert_eq!(
        outcome,
        Outcome::unknown("systemd calls it hibernating (loaded), words that this version does not know")
    );
}

#[test]
fn the_report_carries_what_was_read_and_how_long_it_runs() {
    let details = Details {
        restarts: Some(2),
        main_pid: Some(42),
        memory_bytes: Some(4096),
        since_us: Some(1_761_566_400_987_654),
        started_us: Some(host::monotonic_us() - 5_000_000),
        ..ended("success", None)
    };
    let settings = Settings { unit: "alias.service".into() };
    let report = report(&settings, &with(unit("active", "running"), details));
    assert_eq!(report.outcome, Outcome::PASS);
    assert_eq!(report.restarts, Some(2));
    let running_for = report.running_for.unwrap();
    assert!(
        running_for >= Duration::from_secs(5) && running_for < Duration::from_secs(60),
        "{running_for:?}"
    );
    let expected = Detail {
        unit: "alias.service".into(),
        state: "active".into(),
        sub_state: Some("running".into()),
        load_state: Some("loaded".into()),
        result: Some("success".into()),
        restarts: Some(2),
        main_pid: Some(42),
        memory_bytes: Some(4096),
        since: Some(Timestamp::from_millis(1_761_566_400_987)),
        ..Detail::default()
    };
    assert_eq!(report.detail, crate::probe::Detail::Systemd(expected));
}

fn settings(unit: &str) -> Settings {
    Settings { unit: unit.into() }
}

#[tokio::test]
async fn without_a_bus_every_outcome_is_unknown_and_says_where_the_bus_should_be() {
    let bus = Bus::new(crate::systemd::BusAddress::At("unix:path=/nonexistent/bus".into()));
    let (one, two) = (settings("a.service"), settings("b.service"));
    let reports = probe_all(&bus, &[&one, &two], Duration::from_secs(3)).await;
    let reason = "no system D-Bus: /nonexistent/bus does not exist (is dbus running?)";
    assert_eq!(reports.len(), 2);
    for (report, unit) in reports.iter().zip(["a.service", "b.service"]) {
        assert_eq!(report.outcome, Outcome::unknown(reason));
        assert_eq!(report.detail, crate::probe::Detail::Systemd(settings(unit).blank()));
    }
}

#[tokio::test]
async fn a_bus_that_takes_the_connection_and_never_answers_is_unknown_after_the_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let bus = Bus::new(crate::systemd::BusAddress::At(format!("unix:path={}", path.display())));
    let limit = Duration::from_millis(50);
    let began = Instant::now();
    let reports = probe_all(&bus, &[&settings("a.service")], limit).await;
    assert_eq!(reports[0].outcome, Outcome::unknown("the system D-Bus did not answer within 50ms"));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_bus_that_refuses_is_asked_at_most_once_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let bus = Bus::new(crate::systemd::BusAddress::At(format!("unix:path={}", path.display())));
    for _ in 0..5 {
        let reports = probe_all(&bus, &[&settings("a.service")], Duration::from_millis(10)).await;
        assert!(matches!(reports[0].outcome, Outcome::Unknown { .. }));
    }
    assert!(listener.accept().is_ok());
    assert!(listener.accept().is_err(), "a second connection was made at once");
}

#[tokio::test]
async fn nothing_to_ask_asks_nobody() {
    let bus = Bus::new(crate::systemd::BusAddress::At("unix:path=/nonexistent/bus".into()));
    assert_eq!(probe_all(&bus, &[], Duration::ZERO).await, []);
}
