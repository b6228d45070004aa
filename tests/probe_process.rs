//! The `process` probe over the real `/proc`, with children made for the purpose.
#![allow(clippy::unwrap_used, reason = "in a test program every unwrap is an assertion, also in its helpers")]

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use wellkeep::probe::process::{Detail, Prober, Settings};
use wellkeep::probe::{Outcome, Report};

/// A word that stands in no other command line of this machine.
fn unique_word() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("wellkeep-test-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A child that ends with its value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// A shell that waits, with these arguments in its command line.
    fn waiting(arguments: &[&str]) -> Running {
        Running::start(Command::new("sh").args(["-c", "read line"]).args(arguments))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn probe_of(settings: Settings) -> (Report, Detail) {
    let prober = Prober::new(vec![settings.clone()], "/proc".as_ref(), &[std::process::id()]);
    let report = prober.probe(&[&settings], Duration::from_secs(10)).await.pop().unwrap();
    let wellkeep::probe::Detail::Process(detail) = report.detail.clone() else { panic!("{report:?}") };
    (report, detail)
}

async fn probe(words: &[&str]) -> (Report, Detail) {
    probe_of(Settings { words: words.iter().map(|word| (*word).into()).collect(), min: 1, max: None }).await
}

/// Waits for something that happens in milliseconds, without betting on how many.
async fn eventually(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !happened().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn living_processes_are_counted_with_memory_and_age() {
    let word = unique_word();
    let children: Vec<Running> = (0..3).map(|_| Running::waiting(&[&word, "--port=80"])).collect();
    let mut pids: Vec<u32> = children.iter().map(|child| child.0.id()).collect();
    pids.sort_unstable();

    // A child is a copy of this program until it has become the shell.
    eventually("three shells", async || probe(&[&word]).await.1.count == 3).await;
    let (report, detail) = probe(&[&word, "--port=80"]).await;
    assert_eq!(report.outcome, Outcome::PASS);
    assert_eq!(detail.pids, pids);
    assert!(detail.memory_bytes.unwrap() > 3 * 4096, "{detail:?}");
    assert!(detail.oldest_s.unwrap() < 60, "{detail:?}");
    assert!(report.running_for.unwrap() < Duration::from_secs(60), "{report:?}");

    drop(children);
    let (report, detail) = probe(&[&word]).await;
    assert_eq!(report.outcome, Outcome::fail(format!("no process matches {word:?}")));
    assert_eq!((detail.count, detail.memory_bytes, report.running_for), (0, None, None));
}

#[tokio::test]
async fn the_words_must_not_come_from_several_processes() {
    let (one, two) = (unique_word(), unique_word());
    let _children = [Running::waiting(&[&one]), Running::waiting(&[&two])];
    eventually("the first", async || probe(&[&one]).await.1.count == 1).await;
    eventually("the second", async || probe(&[&two]).await.1.count == 1).await;
    assert_eq!(probe(&[&one, &two]).await.1.count, 0);
}

#[tokio::test]
async fn the_whole_command_line_is_searched_however_long_it_is() {
    let word = unique_word();
    let padding = "x".repeat(100_000);
    let _child = Running::waiting(&[&padding, &word]);
    eventually("the word behind 100,000 others", async || probe(&[&word]).await.1.count == 1).await;
}

#[tokio::test]
async fn a_zombie_does_not_count() {
    let word = unique_word();
    let mut child = Running::waiting(&[&word]);
    eventually("it runs", async || probe(&[&word]).await.1.count == 1).await;
    child.0.stdin.take().unwrap().write_all(b"end\n").unwrap();
    let stat = format!("/proc/{}/stat", child.0.id());
    eventually("it ends", async || std::fs::read_to_string(&stat).unwrap().contains(") Z ")).await;
    assert_eq!(probe(&[&word]).await.1.count, 0);
}

#[tokio::test]
async fn a_title_that_a_process_gave_itself_is_what_counts() {
    let (before, after) = (unique_word(), unique_word());
    let script = format!(r#"$0 = "gunicorn: worker [{after}]"; <STDIN>"#);
    let mut perl = Command::new("perl");
    perl.args(["-e", "eval <STDIN>", &before]);
    let mut child = Running::start(&mut perl);
    eventually("perl runs", async || probe(&[&before]).await.1.count == 1).await;
    writeln!(child.0.stdin.as_mut().unwrap(), "{script}").unwrap();
    eventually("the new title", async || probe(&["gunicorn: worker", &after]).await.1.count == 1).await;
    assert_eq!(probe(&[&before]).await.1.count, 0);
}

#[tokio::test]
async fn the_name_in_argv0_counts_and_not_the_programs_file() {
    let word = unique_word();
    let _child = Running::start(Command::new("sh").arg0(&word).args(["-c", "read line"]));
    eventually("the given name", async || probe(&[&word, "read line"]).await.1.count == 1).await;
}

#[tokio::test]
async fn the_program_that_looks_does_not_see_itself() {
    let own_name = std::env::args().next().unwrap();
    let (_, detail) = probe(&[&own_name]).await;
    assert!(!detail.pids.contains(&std::process::id()), "{detail:?}");
}

#[tokio::test]
async fn limits_are_judged_on_the_real_count() {
    let word = unique_word();
    let _children: Vec<Running> = (0..2).map(|_| Running::waiting(&[&word])).collect();
    eventually("two shells", async || probe(&[&word]).await.1.count == 2).await;
    let settings = |min, max| Settings { words: vec![word.clone()], min, max };
    let (report, _) = probe_of(settings(3, None)).await;
    assert_eq!(report.outcome, Outcome::fail("2 processes match, expected at least 3"));
    let (report, _) = probe_of(settings(1, Some(1))).await;
    assert_eq!(report.outcome, Outcome::fail("2 processes match, expected at most 1"));
    let (report, _) = probe_of(settings(2, Some(2))).await;
    assert_eq!(report.outcome, Outcome::PASS);
}

#[tokio::test]
async fn processes_that_come_and_go_during_the_scan_disturb_nothing() {
    let (word, fleeting) = (unique_word(), unique_word());
    let _child = Running::waiting(&[&word]);
    eventually("the one that stays", async || probe(&[&word]).await.1.count == 1).await;

    let stop = Arc::new(AtomicBool::new(false));
    let coming_and_going = std::thread::spawn({
        let (stop, fleeting) = (stop.clone(), fleeting.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                let status = Command::new("sh").args(["-c", ":", &fleeting]).status();
                assert!(status.unwrap().success());
            }
        }
    });
    for _ in 0..50 {
        assert_eq!(probe(&[&word]).await.0.outcome, Outcome::PASS);
        let (report, detail) = probe(&[&fleeting]).await;
        assert!(detail.count <= 1 && !matches!(report.outcome, Outcome::Unknown { .. }), "{report:?}");
    }
    stop.store(true, Ordering::Relaxed);
    coming_and_going.join().unwrap();
}
