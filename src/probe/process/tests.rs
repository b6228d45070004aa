use super::*;

fn settings(min: u32, max: Option<u32>) -> Settings {
    Settings { words: vec!["gunicorn".into(), "main:app".into()], min, max }
}

#[test]
fn the_count_must_lie_within_the_limits() {
    let table = [
        (1, None, 0, Some(r#"no process matches "gunicorn" and "main:app""#)),
        (1, None, 1, None),
        (1, None, 100, None),
        (2, None, 1, Some("1 process matches, expected at least 2")),
        (3, None, 2, Some("2 processes match, expected at least 3")),
        (1, Some(4), 4, None),
        (1, Some(4), 5, Some("5 processes match, expected at most 4")),
        (0, Some(0), 0, None),
        (0, Some(0), 1, Some("1 process matches, expected at most 0")),
    ];
    for (min, max, count, reason) in table {
        let expected = reason.map_or(Outcome::PASS, Outcome::fail);
        assert_eq!(judge(&settings(min, max), count, true), expected, "{count} of {min}..{max:?}");
    }
}

#[test]
fn too_few_processes_are_unknown_and_never_a_failure_when_others_are_hidden() {
    for count in [0, 1] {
        let Outcome::Unknown { reason } = judge(&settings(2, None), count, false) else { panic!("{count}") };
        assert!(reason.contains("CAP_SYS_PTRACE"), "{reason}");
    }
    assert_eq!(judge(&settings(2, None), 2, false), Outcome::PASS);
    let too_many = Outcome::fail("5 processes match, expected at most 4");
    assert_eq!(judge(&settings(1, Some(4)), 5, false), too_many);
}

#[test]
fn the_report_sums_memory_and_spans_the_ages() {
    let found: Vec<Match> = (1..=12)
        .map(|pid| Match { pid, memory_bytes: 100, age: Duration::from_millis(u64::from(pid) * 1500) })
        .collect();
    let report = report(&settings(1, None), &found, true);
    assert_eq!(report.running_for, Some(Duration::from_secs(18)));
    let expected = Detail {
        count: 12,
        min: 1,
        max: None,
        memory_bytes: Some(1200),
        oldest_s: Some(18),
        youngest_s: Some(1),
        pids: (1..=10).collect(),
    };
    assert_eq!(report.detail, crate::probe::Detail::Process(expected));
}

#[tokio::test]
async fn an_unreadable_proc_is_unknown_and_never_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let prober = Prober::new(vec![settings(1, None), settings(2, None)], folder.path(), &[]);
    let reports = prober.probe(&[&settings(1, None), &settings(2, None)], Duration::from_secs(3)).await;
    assert_eq!(reports.len(), 2);
    for report in reports {
        let Outcome::Unknown { reason } = report.outcome else { panic!("{:?}", report.outcome) };
        assert!(reason.contains("uptime cannot be read"), "{reason}");
    }
}

#[tokio::test]
async fn a_scan_that_hangs_is_unknown_and_is_not_joined_by_another() {
    let folder = tempfile::tempdir().unwrap();
    // Opening a pipe that nobody writes to blocks, like a process that hangs in the kernel.
    let pipe = folder.path().join("uptime");
    make_pipe(&pipe);
    let prober = Prober::new(vec![settings(1, None)], folder.path(), &[]);
    for _ in 0..2 {
        let reports = prober.probe(&[&settings(1, None)], Duration::from_millis(20)).await;
        let Outcome::Unknown { reason } = &reports[0].outcome else { panic!("{reports:?}") };
        assert!(reason.contains("did not end within 20ms"), "{reason}");
    }
    assert_eq!(prober.turn.available_permits(), 0);
    // Lets the one scan go, so that the runtime can end: a writer, gone at once.
    std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    drop(prober.turn.acquire().await.unwrap());
}

fn make_pipe(path: &std::path::Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}
