//! The log on stderr: its forms, and what becomes of it when nobody reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Far longer than anything takes, for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

/// A folder with a configuration.
struct Site(TempDir);

impl Site {
    fn new(config: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("monitor.yml"), config).unwrap();
        Site(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, command: &str) -> Command {
        let mut wellkeep = Command::new(env!("CARGO_BIN_EXE_wellkeep"));
        wellkeep.arg(command).arg("--config").arg(self.path("monitor.yml"));
        wellkeep.env("WELLKEEP_STATUS_FILE", self.path("status.json")).env("NO_COLOR", "1");
        wellkeep.env_remove("JOURNAL_STREAM").env_remove("WELLKEEP_STATE_DIR").env_remove("WELLKEEP_LISTEN");
        wellkeep.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        wellkeep
    }

    fn document(&self) -> Value {
        fs::read(self.path("status.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    fn await_document(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let looked_at = Instant::now();
            if wanted(&self.document()) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "never {what}: {:#?}", self.document());
            // A document of thousands takes long to read, and the monitor needs the CPU as well.
            std::thread::sleep(Duration::from_millis(20).max(4 * looked_at.elapsed()));
        }
    }

    fn await_state(&self, key: &str, state: &str) {
        self.await_document(&format!("{key} {state}"), |document| {
            document["services"][key]["state"] == state
        });
    }

    fn await_all_down(&self) {
        let is_down = |service: &Value| service["state"] == "down";
        self.await_document("all down", |document| {
            document["services"].as_object().is_some_and(|services| services.values().all(is_down))
        });
    }
}

fn terminate(process: &Child) {
    assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
}

/// Killed when dropped, so that no test leaves one behind.
struct Monitor(Child);

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// All lines that are JSON objects, which must be all.
fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[test]
fn each_line_of_json_is_one_object_with_time_level_message_and_what_it_is_about() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let site = Site::new(&format!(
        "defaults: {{interval: 1s, retry_interval: 1s, failure_threshold: 2}}\nservices: [{{key: web, port: {port}}}]"
    ));
    let mut monitor = Monitor(site.command("monitor").args(["--log-format", "json"]).spawn().unwrap());
    site.await_state("web", "up");
    drop(listener);
    site.await_state("web", "down");
    terminate(&monitor.0);
    let mut text = String::new();
    monitor.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let lines = objects(&text);
    for line in &lines {
        let time = line["time"].as_str().unwrap();
        assert!(time.len() == "2026-11-23T14:02:47.123Z".len() && time.ends_with('Z'), "{line}");
        assert!(
            line["level"].is_string() && line["message"].is_string() && line["event"].is_string(),
            "{line}"
        );
        let known = ["time", "level", "message", "service", "event", "incident"];
        assert!(line.as_object().unwrap().keys().all(|field| known.contains(&field.as_str())), "{line}");
    }
    let times: Vec<&str> = lines.iter().map(|line| line["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{text}");
    assert_eq!(lines.first().unwrap()["event"], "start");
    assert_eq!(lines.last().unwrap()["event"], "stop", "the last line is not lost: {text}");
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let transitions = of("transition");
    let [.., down] = &transitions[..] else { panic!("{text}") };
    assert_eq!(down["level"], "error");
    assert_eq!(down["service"], "web");
    let message = down["message"].as_str().unwrap();
    assert!(message.starts_with("web: down, after ") && message.contains("connection refused"), "{message}");
    let [opened] = &of("opened")[..] else { panic!("{text}") };
    assert!(opened["incident"].as_str().unwrap().ends_with("-web"), "{opened}");
    assert_eq!(down["incident"], opened["incident"], "the change that opens an incident belongs to it");
    let place = |wanted: &Value| lines.iter().position(|line| line == wanted).unwrap();
    assert!(place(down) < place(opened), "what changed is told first: {text}");
}

#[test]
fn a_line_of_text_is_told_once_and_its_fields_are_not_repeated_behind_it() {
    let site = Site::new("services: [{key: web, port: 1}]");
    let mut monitor = Monitor(site.command("monitor").spawn().unwrap());
    site.await_state("web", "down");
    terminate(&monitor.0);
    let mut text = String::new();
    monitor.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let down: Vec<&str> = text.lines().filter(|line| line.contains("web: down")).collect();
    let [down] = &down[..] else { panic!("{text}") };
    assert!(down.contains("Z ERROR web: down, after ") && !down.contains("transition"), "{down}");
    assert!(text.ends_with("Z  INFO stopped\n"), "{text}");
}

#[test]
fn why_it_does_not_begin_is_told_in_the_form_that_was_asked_for() {
    let site = Site::new("services: [{key: web, prt: 1}]");
    let text = site.command("monitor").output().unwrap();
    assert_eq!(text.status.code(), Some(78));
    assert!(err(&text).starts_with("error: ") && err(&text).contains("prt"), "{}", err(&text));
    let json = site.command("monitor").args(["--log-format", "json"]).output().unwrap();
    assert_eq!(json.status.code(), Some(78));
    let [line] = &objects(&err(&json))[..] else { panic!("{}", err(&json)) };
    assert_eq!((&line["level"], &line["event"]), (&"error".into(), &"config".into()));
    assert!(line["message"].as_str().unwrap().contains("prt"), "{line}");
}

#[test]
fn serve_logs_json_too_also_why_it_cannot_listen() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new("services: [{key: web, port: 1}]");
    let output = site.command("serve").args(["--log-format", "json", "--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let lines = objects(&err(&output));
    assert_eq!(lines.last().unwrap()["event"], "failed", "{lines:#?}");
}

/// A monitor of so many services that are down, with a stderr that nobody reads and that has room for 4 KiB
/// more.
fn unread(count: usize) -> (Site, Monitor, BufReader<PipeReader>) {
    let services: String = (0..count).map(|number| format!("  - {{key: s{number}, port: 1}}\n")).collect();
    let site = Site::new(&format!(
        "monitor: {{heartbeat: 1s}}\ndefaults: {{interval: 1s, retry_interval: 1s, failure_threshold: 1, \
         success_threshold: 1}}\nservices:\n{services}"
    ));
    let (reader, mut writer) = std::io::pipe().unwrap();
    // A pipe holds 64 KiB.
    writeln!(writer, "{:61439}", "").unwrap();
    let monitor = site.command("monitor").args(["--log-format", "json"]).stderr(writer).spawn().unwrap();
    (site, Monitor(monitor), BufReader::new(reader))
}

#[test]
fn a_stderr_that_nobody_reads_stops_neither_the_monitor_nor_its_end_and_keeps_the_order() {
    let (site, mut monitor, reader) = unread(100);
    // 100 services are 200 lines: far more than the pipe holds.
    site.await_all_down();
    let before = site.document()["sequence"].as_u64().unwrap();
    site.await_document("going on", |document| document["sequence"].as_u64() > Some(before + 2));
    let mut lines = reader.lines().skip(1);
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["event"], "start");
    // Now it is read, and nothing was lost.
    let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    terminate(&monitor.0);
    assert!(monitor.0.wait().unwrap().success());
    let lines = objects(&reading.join().unwrap());
    let down = lines.iter().filter(|line| line["event"] == "transition" && line["level"] == "error").count();
    assert_eq!(down, 100);
    assert!(lines.iter().all(|line| line["event"] != "log"), "nothing was lost");
    assert_eq!(lines.last().unwrap()["event"], "stop");
}

#[test]
fn the_end_does_not_wait_for_ever_for_a_stderr_that_nobody_reads() {
    let (site, mut monitor, _reader) = unread(100);
    site.await_all_down();
    terminate(&monitor.0);
    let start = Instant::now();
    while monitor.0.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < PATIENCE, "it hangs at its end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(site.document()["monitor"]["state"], "stopped", "the last document is written all the same");
}

#[test]
fn lines_without_room_are_counted_and_told_when_it_goes_on() {
    // 2,500 services are 5,000 lines, and 4,096 may wait.
    let (site, mut monitor, reader) = unread(2500);
    site.await_all_down();
    let reading = std::thread::spawn(move || {
        reader.lines().skip(1).map_while(Result::ok).collect::<Vec<_>>().join("\n")
    });
    terminate(&monitor.0);
    monitor.0.wait().unwrap();
    let lines = objects(&reading.join().unwrap());
    let lost: Vec<&Value> = lines.iter().filter(|line| line["event"] == "log").collect();
    let [told] = &lost[..] else { panic!("told {} times", lost.len()) };
    let count: usize = told["message"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
    let about_services = lines.iter().filter(|line| line["service"].is_string()).count();
    assert!(count > 500 && about_services + count >= 5000, "{count} lost, {about_services} told");
}
