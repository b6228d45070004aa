//! The monitor as a process: what it writes, and that it writes it whole, whatever happens to it.

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute, not their helpers")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long something may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);

/// A folder with a configuration, and the monitors that work in it.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new(config: &str) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        site.configure(config);
        fs::create_dir(site.path("state")).unwrap();
        site
    }

    fn configure(&self, config: &str) {
        fs::write(self.path("monitor.yml"), config).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn status_file(&self) -> PathBuf {
        self.path("state/status.json")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellkeep"));
        command.arg("monitor").arg("--config").arg(self.path("monitor.yml"));
        command.arg("--status-file").arg(self.status_file());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.env_remove("JOURNAL_STREAM").env_remove("WELLKEEP_STATE_DIR");
        command
    }

    fn monitor(&self) -> Monitor {
        Monitor::start(self.command())
    }

    fn document(&self) -> Option<Value> {
        let bytes = fs::read(self.status_file()).ok()?;
        Some(serde_json::from_slice(&bytes).expect("a document that is there is whole"))
    }

    /// Waits until the document is as wanted.
    fn await_document(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let document = self.document();
            if let Some(document) = &document
                && wanted(document)
            {
                return document.clone();
            }
            assert!(start.elapsed() < PATIENCE, "never {what}: {document:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn await_state(&self, key: &str, state: &str) -> Value {
        self.await_document(&format!("{key} {state}"), |document| document["services"][key]["state"] == state)
    }
}

/// A monitor at work; killed when dropped.
struct Monitor {
    process: Child,
    log: JoinHandle<String>,
}

impl Monitor {
    fn start(mut command: Command) -> Monitor {
        let mut process = command.spawn().unwrap();
        let stderr = process.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).map(|line| line + "\n").collect()
        });
        Monitor { process, log }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end: how it ended and what it logged.
    fn ended(mut self) -> (ExitStatus, String) {
        let status = self.process.wait().unwrap();
        (status, self.log.join().unwrap())
    }

    fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ended()
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A port that accepts connections for as long as this lives.
fn open_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn one_port(port: u16) -> String {
    format!(
        "defaults: {{interval: 1s, retry_interval: 1s, failure_threshold: 2}}\n\
         services:\n  - {{key: web, name: Web, port: {port}}}\n"
    )
}

#[test]
fn the_document_has_every_field_of_the_fixed_shape_with_its_type() {
    let Some(server) = common::servers::python() else {
        return;
    };
    let port = server.port;
    let site = Site::new(&format!(
        "services:\n  - key: flask_web\n    name: \"Flask Web\"\n    url: http://127.0.0.1:{port}/\n    port: {port}\n    \
         systemd: chatstack-web.service\n    process_match:\n      - http.server\n      - '{port}'\n"
    ));
    let monitor = site.monitor();
    let document = site.await_document("looked at", |document| {
        document["services"]["flask_web"]["http"]["status_code"] == 200
            && document["services"]["flask_web"]["process"]["count"].as_u64() > Some(0)
            && document["services"]["flask_web"]["port"]["ok"] == true
    });
    monitor.stop();

    let service = &document["services"]["flask_web"];
    assert_eq!(service["key"], "flask_web");
    assert_eq!(service["name"], "Flask Web");
    assert!(service["ok"].is_boolean());
    assert_eq!(service["http"]["ok"], true);
    assert_eq!(service["http"]["status_code"], 200);
    assert!(service["http"]["latency_ms"].is_u64());
    assert!(service["systemd"]["state"].is_string());
    assert!(service["process"]["count"].is_u64());
    let checked = service["last_checked"].as_str().unwrap();
    assert!(checked.len() == "2025-10-27T12:00:00Z".len() && checked.ends_with('Z'), "{checked}");
    for count in ["ok_count", "fail_count", "total"] {
        assert!(document[count].is_u64(), "{count}");
    }
    assert_eq!(document["mode"], "production_monitoring");
    assert_eq!(document["total"], 1);
}

#[test]
fn the_document_fits_its_own_schema_in_every_field() {
    let (_listener, port) = open_port();
    let site = Site::new(&one_port(port));
    let monitor = site.monitor();
    let document = site.await_state("web", "up");
    monitor.stop();
    let schema = Command::new(env!("CARGO_BIN_EXE_wellkeep")).arg("schema").output().unwrap();
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let known = |at: &Value| -> Vec<String> { at.as_object().unwrap().keys().cloned().collect() };
    let properties = known(&schema["properties"]);
    for field in known(&document) {
        assert!(properties.contains(&field), "{field} is not in the schema");
    }
    let of_service = known(&schema["$defs"]["Service"]["properties"]);
    for field in known(&document["services"]["web"]) {
        assert!(of_service.contains(&field), "{field} of a service is not in the schema");
    }
}

#[test]
fn after_a_kill_the_changes_of_state_and_the_uptime_of_before_are_still_there() {
    let (listener, port) = open_port();
    let site = Site::new(&one_port(port));
    // What a monitor wrote yesterday.
    let yesterday = jiff::Timestamp::now().as_second() - 86_400;
    let name = jiff::Timestamp::from_second(yesterday).unwrap().to_string()[..10].to_owned();
    fs::create_dir(site.path("state/history")).unwrap();
    let line = "{\"service\":\"web\",\"worst\":\"down\",\"hours\":[[0,24,2700,900]]}\n";
    fs::write(site.path(&format!("state/history/{name}.jsonl")), line).unwrap();

    let first = site.monitor();
    site.await_state("web", "up");
    drop(listener);
    site.await_state("web", "down");
    first.kill();

    let second = site.monitor();
    let pid = second.process.id();
    let document = site.await_document("of the second", |document| document["monitor"]["pid"] == pid);
    let web = &document["services"]["web"];
    let states = |web: &Value| -> Vec<String> {
        let history = web["history"].as_array().unwrap();
        history.iter().map(|transition| transition["to"].as_str().unwrap().to_owned()).collect()
    };
    // The last change may have been on its way to the disk.
    assert!(states(web).starts_with(&["up".to_owned()]), "{web:#}");
    let week = &web["uptime"]["7d"];
    assert!((0.7..0.76).contains(&week["ratio"].as_f64().unwrap()), "{week}");
    assert!(week["known"].as_f64().unwrap() > 0.1, "{week}");

    // An orderly end loses nothing at all.
    site.await_state("web", "down");
    std::thread::sleep(Duration::from_millis(1100));
    second.stop();
    let third = site.monitor();
    let pid = third.process.id();
    let document = site.await_document("of the third", |document| document["monitor"]["pid"] == pid);
    let hour = &document["services"]["web"]["uptime"]["1h"];
    assert!(hour["known"].as_f64().unwrap() > 0.0, "{hour}");
    assert!(states(&document["services"]["web"]).ends_with(&["down".to_owned()]), "{document:#}");
    third.stop();
}

#[test]
fn a_port_that_closes_is_down_and_one_that_opens_is_up() {
    let (listener, port) = open_port();
    let site = Site::new(&one_port(port));
    let monitor = site.monitor();
    site.await_state("web", "up");
    drop(listener);
    let document = site.await_state("web", "down");
    assert_eq!(document["services"]["web"]["ok"], false);
    assert_eq!(document["fail_count"], 1);
    let reason = document["services"]["web"]["reason"].as_str().unwrap();
    assert!(reason.contains("connection refused"), "{reason}");
    let _again = TcpListener::bind(("127.0.0.1", port)).unwrap();
    site.await_state("web", "up");
    let (_, log) = monitor.stop();
    assert!(log.contains("web: down, after"), "{log}");
}

#[test]
fn sigterm_ends_it_though_a_probe_hangs_and_the_document_says_stopped() {
    let (_listener, port) = open_port();
    let site = Site::new(&format!(
        "defaults: {{interval: 30s, timeout: 30s}}\nservices:\n  - {{key: web, url: 'http://127.0.0.1:{port}/'}}\n"
    ));
    let monitor = site.monitor();
    site.await_document("written", |_| true);
    let start = Instant::now();
    let (status, log) = monitor.stop();
    assert!(status.success(), "{log}");
    // Its timeout is longer than that. So short is what is left of it on a machine that is busy with other tests.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(site.document().unwrap()["monitor"]["state"], "stopped");
}

#[test]
fn a_second_monitor_on_the_same_state_directory_is_refused_and_told_of_the_first() {
    let (_listener, port) = open_port();
    let site = Site::new(&one_port(port));
    let first = site.monitor();
    site.await_document("written", |_| true);
    let (status, log) = site.monitor().ended();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains(&format!("pid {}", first.process.id())), "{log}");
    first.stop();
}

#[test]
fn a_wrong_configuration_ends_it_with_78_and_names_the_place() {
    let site = Site::new("services:\n  - key: web\n    prot: 80\n");
    let (status, log) = site.monitor().ended();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("monitor.yml:3:5"), "{log}");
}

#[test]
fn sighup_takes_a_new_configuration_and_keeps_the_last_good_one() {
    let (_listener, port) = open_port();
    let site = Site::new(&one_port(port));
    let monitor = site.monitor();
    site.await_state("web", "up");
    site.configure("services: [");
    monitor.signal("HUP");
    let document =
        site.await_document("an error", |document| document["monitor"]["config"]["error"].is_string());
    assert_eq!(document["services"]["web"]["state"], "up");
    site.configure(&one_port(port).replace("name: Web", "name: Shop"));
    monitor.signal("HUP");
    let document = site.await_document("mended", |document| document["services"]["web"]["name"] == "Shop");
    assert!(document["monitor"]["config"]["error"].is_null(), "{document:#?}");
    assert_eq!(document["services"]["web"]["state"], "up", "an unchanged check goes on as it was");
    monitor.stop();
}

#[test]
fn a_reload_says_which_of_the_places_are_in_force_only_after_a_restart() {
    let (_listener, port) = open_port();
    let site = Site::new(&one_port(port));
    let monitor = site.monitor();
    site.await_state("web", "up");
    // Where the document is was said on the command line: the configuration has no say in it.
    let moved = "monitor: {status_file: /elsewhere/status.json, state_dir: /elsewhere}\n";
    site.configure(&(one_port(port) + moved));
    monitor.signal("HUP");
    let document = site.await_document("a word about it", |document| {
        document["monitor"]["config"]["needs_restart"].is_string()
    });
    let said = document["monitor"]["config"]["needs_restart"].as_str().unwrap();
    assert!(said.starts_with("state_dir /elsewhere (still "), "{said}");
    site.configure(&one_port(port));
    monitor.signal("HUP");
    site.await_document("mended", |document| document["monitor"]["config"]["needs_restart"].is_null());
    let (_, log) = monitor.stop();
    assert!(log.contains("is in force after a restart: systemctl restart wellkeep-monitor"), "{log}");
}

#[test]
fn under_10_000_reads_and_50_kills_every_document_is_whole() {
    let (_listener, port) = open_port();
    let mut config = one_port(port);
    // Long enough that a write could be caught in the middle.
    for n in 0..200 {
        config += &format!("  - {{key: s{n}, port: {port}}}\n");
    }
    let site = Site::new(&config);
    site.monitor().kill();
    let first = site.monitor();
    site.await_document("written", |_| true);
    first.kill();

    let ended = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicUsize::new(0));
    let readers: Vec<JoinHandle<()>> = (0..2)
        .map(|_| {
            let (path, ended, reads) = (site.status_file(), ended.clone(), reads.clone());
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) || reads.load(Ordering::Relaxed) < 10_000 {
                    let bytes = fs::read(&path).expect("the document never goes away");
                    assert_eq!(&bytes[bytes.len() - 2..], b"}\n");
                    let document: Value = serde_json::from_slice(&bytes).expect("every document is whole");
                    assert_eq!(document["services"].as_object().unwrap().len(), 201);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for n in 0..50 {
        let monitor = site.monitor();
        // Some die while they start, some in the middle of a write, some between two.
        std::thread::sleep(Duration::from_millis(n * 7 % 300));
        monitor.kill();
    }
    ended.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    assert!(reads.load(Ordering::Relaxed) >= 10_000);
    // What the killed ones left is swept by the next.
    let last = site.monitor();
    site.await_document("fresh", |document| document["monitor"]["pid"] == last.process.id());
    let leavings: Vec<_> = fs::read_dir(site.path("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".atomicwrite"))
        .collect();
    // The one that is being written right now may be there.
    assert!(leavings.len() <= 1, "{leavings:?}");
    last.stop();
}

/// Runs a script as root in a mount namespace of its own; the site's folder is `$1`, the state directory `$1/state`.
fn in_own_mounts(site: &Site, setup: &str) -> Option<Monitor> {
    if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).ok() != Some(0) {
        return None;
    }
    let script = format!(
        "{setup}; exec \"$2\" monitor --config \"$1/monitor.yml\" --status-file \"$1/state/status.json\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", &script, "sh"]);
    command.arg(site.folder.path()).arg(env!("CARGO_BIN_EXE_wellkeep"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).env_remove("JOURNAL_STREAM");
    Some(Monitor::start(command))
}

/// The state directory as the monitor's own mounts show it.
fn through(monitor: &Monitor, site: &Site) -> PathBuf {
    let inside = site.path("state").strip_prefix("/").unwrap().to_owned();
    Path::new("/proc").join(monitor.process.id().to_string()).join("root").join(inside)
}

fn document_in(folder: &Path) -> Option<Value> {
    let bytes = fs::read(folder.join("status.json")).ok()?;
    Some(serde_json::from_slice(&bytes).expect("a document that is there is whole"))
}

fn await_in(folder: &Path, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        if let Some(document) = document_in(folder).filter(&wanted) {
            return document;
        }
        assert!(start.elapsed() < PATIENCE, "never {what}: {:#?}", document_in(folder));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_full_disk_leaves_the_old_document_and_the_monitor_catches_up() {
    let (listener, port) = open_port();
    let site = Site::new(&one_port(port));
    let Some(monitor) = in_own_mounts(&site, "mount -t tmpfs -o size=64k tmpfs \"$1/state\"") else {
        return common::skip("mounting a small disk needs root");
    };
    let folder = through(&monitor, &site);
    await_in(&folder, "up", |document| document["services"]["web"]["state"] == "up");
    // Fill it to the last byte.
    let filler = folder.join("filler");
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    drop(listener);
    std::thread::sleep(Duration::from_secs(7));
    let old = document_in(&folder).expect("the old document survives");
    assert_eq!(old["services"]["web"]["state"], "up");
    fs::remove_file(&filler).unwrap();
    await_in(&folder, "caught up", |document| document["services"]["web"]["state"] == "down");
    let (status, log) = monitor.stop();
    assert!(status.success());
    let told = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    for file in ["status.json", "state.json", "ledger.jsonl"] {
        assert_eq!(told(&format!("{file}: No space left")), 1, "told once, not every second: {log}");
    }
    assert_eq!(told("status.json is written again"), 1, "{log}");
}

#[test]
fn a_read_only_state_directory_leaves_the_old_document_and_the_monitor_catches_up() {
    let (listener, port) = open_port();
    let site = Site::new(&one_port(port));
    let Some(monitor) = in_own_mounts(&site, "mount -t tmpfs tmpfs \"$1/state\"") else {
        return common::skip("mounting a disk read-only needs root");
    };
    let folder = through(&monitor, &site);
    await_in(&folder, "up", |document| document["services"]["web"]["state"] == "up");
    let inside = |command: &str| {
        let target = monitor.process.id().to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--target", &target, "sh", "-ec", command, "sh"]).arg(site.path("state"));
        assert!(enter.status().unwrap().success(), "{command}");
    };
    // A mount of its own over itself: that has no file open for writing, so it can turn read-only.
    inside("mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\"");
    drop(listener);
    std::thread::sleep(Duration::from_secs(7));
    let old = document_in(&folder).expect("the old document survives");
    assert_eq!(old["services"]["web"]["state"], "up");
    inside("umount \"$1\"");
    await_in(&folder, "caught up", |document| document["services"]["web"]["state"] == "down");
    let (_, log) = monitor.stop();
    assert!(log.contains("Read-only file system"), "{log}");
}

#[test]
fn an_idle_monitor_answers_signals_and_costs_next_to_nothing() {
    let (_listener, port) = open_port();
    let site = Site::new(&one_port(port));
    let monitor = site.monitor();
    let first = site.await_state("web", "up")["sequence"].as_u64().unwrap();
    std::thread::sleep(Duration::from_secs(6));
    let second = site.document().unwrap()["sequence"].as_u64().unwrap();
    // Only the heartbeat of 5 s: nothing changed.
    assert!((1..=3).contains(&(second - first)), "{first} {second}");
    monitor.stop();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
}
