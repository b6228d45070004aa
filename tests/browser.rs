//! The page, the admin page and the widget in a real Chromium.
//!
//! Pictures of what was drawn are left in `target/tmp/screenshots`: a test cannot tell whether a page is clear.

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute, not their helpers")]

mod common;
#[path = "browser/situations.rs"]
mod situations;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use common::servers;
use common::site::Site;
use common::webdriver::Browser;

/// A document with a service in every state, as the monitor writes it.
fn every_state() -> Value {
    serde_json::from_str(include_str!("widget/every-state.json")).expect("the fixture is JSON")
}

/// The same host on a good day.
fn all_well() -> Value {
    let mut document = every_state();
    let services = document["services"].as_object_mut().expect("services");
    services.retain(|_, service| service["state"] == "up");
    document
}

/// The same document with so many services more, which are well: `service_000`, called "Unit 0", and so on.
fn with_many(mut document: Value, count: usize) -> Value {
    let services = document["services"].as_object_mut().expect("services");
    let pattern = services["flask_web"].clone();
    for number in 0..count {
        let mut service = pattern.clone();
        service["name"] = json!(format!("Unit {number}"));
        services.insert(format!("service_{number:03}"), service);
    }
    document
}

/// The same document from a monitor that keeps the past.
fn with_uptime(mut document: Value) -> Value {
    for service in document["services"].as_object_mut().expect("services").values_mut() {
        let day = if service["ok"] == true { 1.0 } else { 0.99799 };
        service["uptime"] = json!({
            "1h": {"ratio": 1.0, "known": 1.0}, "24h": {"ratio": day, "known": 1.0}, "7d": {"ratio": 0.99876, "known": 1.0},
            "30d": {"ratio": 0.99961, "known": 0.9991}, "90d": {"ratio": 0.9992, "known": 0.44},
        });
    }
    document
}

/// 90 days up to the fixture's own: half of them before the monitor was there, two with failures, one stopped. And how fast
/// it answered in the last 24 hours.
fn ninety_days(key: &str) -> Value {
    let today: jiff::civil::Date = "2026-11-23".parse().expect("a date");
    let day = |ago: i32| {
        let from = format!("{}T00:00:00Z", today.saturating_sub(jiff::ToSpan::days(ago)));
        match ago {
            50.. => json!({"from": from, "known": 0.0}),
            49 => json!({"from": from, "ratio": 1.0, "known": 0.2, "worst": "up"}),
            30 => json!({"from": from, "ratio": 0.95, "known": 1.0, "worst": "down", "heals": 2}),
            12 => json!({"from": from, "ratio": 0.9995, "known": 1.0, "worst": "degraded"}),
            5 => json!({"from": from, "known": 0.0, "not_counted": 1.0, "worst": "stopped"}),
            _ => json!({"from": from, "ratio": 1.0, "known": 1.0, "worst": "up"}),
        }
    };
    let days: Vec<Value> = (0..90).rev().map(day).collect();
    let month = json!({"incidents": 3, "mean_time_to_detect_s": 12.5, "mean_time_to_recover_s": 64.0, "heals": 2, "restarts": 1,
        "restarts_an_hour": 0.01});
    // Nobody looked in the first two hours, and nothing answered in one; before that gap one hour stands alone.
    let hours_ms: Vec<Option<u32>> =
        (0..24).map(|hour| (![0, 1, 9, 11].contains(&hour)).then_some(30 + hour * 7 % 19)).collect();
    json!({"key": key, "days": days, "hours": [], "transitions": [], "incidents": [],
        "latency": {"mean_ms": 41, "max_ms": 180, "hours_ms": hours_ms},
        "failures": {"24h": {"incidents": 0, "heals": 0, "restarts": 0}, "7d": {"incidents": 0, "heals": 0, "restarts": 0}, "30d": month}})
}

/// Two incidents of the fixture's services, one of them still open.
fn incidents() -> Value {
    json!({"incidents": [
        {"id": "20261123T085840Z-checkout", "service": "checkout", "began": "2026-11-23T08:58:30Z",
            "detected": "2026-11-23T08:58:40Z", "cause": "answered 503 Service Unavailable", "time_to_detect_s": 10,
            "heals": [{"at": "2026-11-23T08:59:04Z", "step": "restart", "attempt": 1, "result": "failed"}]},
        {"id": "20261122T210950Z-flask_web", "service": "flask_web", "began": "2026-11-22T21:09:30Z",
            "detected": "2026-11-22T21:09:50Z", "ended": "2026-11-22T21:10:22Z", "cause": "http: connection refused by 127.0.0.1:5000",
            "outcome": "well again by heal 1 (restart)", "time_to_detect_s": 20, "time_to_recover_s": 52,
            "heals": [{"at": "2026-11-22T21:10:00Z", "step": "restart", "attempt": 1, "result": "healed"}]},
    ]})
}

/// A site whose viewer knows the past.
fn site_with_past(document: Value) -> Site {
    let keys: Vec<String> = document["services"].as_object().expect("services").keys().cloned().collect();
    let site = Site::showing(with_uptime(document));
    for key in keys {
        site.remember(&key, ninety_days(&key));
    }
    site.remember("", incidents());
    site
}

const PAST_DRAWN: &str = "return document.querySelectorAll('.wk-bars').length > 0 && document.querySelectorAll('.wk-past').length > 0";

const PAST_OF_ALL: &str =
    "return document.querySelectorAll('.wk-bars').length === document.querySelectorAll('.wk-card').length";

fn browser() -> Option<Browser> {
    Browser::start().map_err(|reason| common::skip(&reason)).ok()
}

fn screenshot(browser: &Browser, name: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder under target/");
    // For people to look at, and no claim.
    if let Err(why) = browser.screenshot(&folder.join(format!("{name}.png"))) {
        eprintln!("no picture {name}: {why}");
    }
}

/// Keys, as WebDriver calls them.
const TAB: &str = "\u{e004}";
const LEFT: &str = "\u{e012}";

const LOADED: &str = "return document.querySelectorAll('.wk-card').length > 0";
const GREEN: &str = "return document.querySelectorAll('[data-wk-tone=good]').length";

fn assert_quiet(browser: &Browser) {
    let console = browser.console();
    assert!(console.is_empty(), "the console must stay empty: {console:#?}");
}

/// Our own binary at work in a folder; it ends with this value.
struct Wellkeep(Child);

impl Wellkeep {
    /// Starts `wellkeep ARGUMENTS` on the configuration and the status file in `folder`.
    fn start(folder: &Path, arguments: &[&str]) -> Wellkeep {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellkeep"));
        command.args(arguments).arg("--status-file").arg(folder.join("status.json"));
        command.env("WELLKEEP_MONITOR_CONFIG", folder.join("monitor.yml"));
        command.env_remove("JOURNAL_STREAM").env_remove("WELLKEEP_STATE_DIR").env_remove("WELLKEEP_LISTEN");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Wellkeep(command.spawn().unwrap())
    }

    /// The address of the page: `dev` prints it on stdout, `serve` logs it on stderr.
    fn address(&mut self) -> String {
        let (said, heard) = mpsc::channel();
        read_on(self.0.stdout.take().unwrap(), said.clone());
        read_on(self.0.stderr.take().unwrap(), said);
        loop {
            let line = heard.recv_timeout(PATIENCE).expect("it says the address of its page");
            let address = line.split(' ').find(|word| word.starts_with("http://") && word.ends_with('/'));
            if let Some(address) = address {
                return address.to_owned();
            }
        }
    }

    /// `kill -9`
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Wellkeep {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // A chance to clean up: `dev` has a folder of its own.
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }
}

/// Longer than a busy machine needs to start a program.
const PATIENCE: Duration = Duration::from_secs(20);

/// Passes the lines on, and goes on reading: a program whose pipe is full waits.
fn read_on(from: impl std::io::Read + Send + 'static, said: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = said.send(line);
        }
    });
}

/// A folder with a configuration that looks every second and believes two looks.
fn configured(services: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let timing = "interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2, success_threshold: 1";
    let text = format!(
        "viewer: {{title: 'Shop <Frankfurt>', refresh: 1s}}\n\
         defaults: {{{timing}, start_grace: 0s}}\n\
         services:\n{services}"
    );
    std::fs::write(folder.path().join("monitor.yml"), text).unwrap();
    folder
}

/// A service with three checks of a server on this port.
fn shop(port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/health");
    format!("- {{key: shop, url: '{url}', port: {port}, process_match: [http.server, '{port}']}}\n")
}

#[test]
fn the_page_of_a_real_monitor_follows_a_service_that_stops_and_starts_again() {
    let Some(browser) = browser() else { return };
    let Some(mut server) = servers::python() else { return };
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.port;
    let folder = configured(&format!(
        "{}- {{key: other, port: {}}}\n",
        shop(port),
        other.local_addr().unwrap().port()
    ));
    let mut wellkeep = Wellkeep::start(folder.path(), &["dev", "--listen", "127.0.0.1:0"]);
    let address = wellkeep.address();
    let said = |selector: &str| browser.run(&format!("return kept.querySelector('{selector}')?.textContent"));
    let await_label = |label: &str| {
        browser.wait_until(&format!("return kept.querySelector('.wk-label').textContent === '{label}'"));
    };
    for path in ["", "admin"] {
        browser.open(&format!("{address}{path}"));
        browser.wait_until(LOADED);
        browser.run("window.kept = document.querySelector('[data-wk-key=shop]')");
        await_label("OK");
        if path.is_empty() {
            let facts = browser.run("return kept.querySelector('.wk-facts').innerText.replace(/\\s+/g, ' ')");
            let facts = facts.as_str().unwrap();
            assert!(facts.contains("200 ·") && facts.contains(" ms"), "status and latency: {facts}");
            assert!(facts.contains(&format!("{port} · open")) && facts.contains("1 running"), "{facts}");
        } else {
            let details = browser.run("return kept.innerText");
            let details = details.as_str().unwrap();
            for detail in [&format!("http://127.0.0.1:{port}/health"), "Process ids", "Latest changes"] {
                assert!(details.contains(detail), "{detail} is not among all details: {details}");
            }
        }

        server.stop();
        await_label("ISSUE");
        let refused = format!("connection refused by 127.0.0.1:{port}");
        assert!(said(".wk-reason").as_str().unwrap().contains(&refused), "{}", said(".wk-reason"));
        browser.wait_until("return document.title.startsWith('(1) ISSUE · Shop <Frankfurt>')");
        assert_eq!(
            browser.run("return document.querySelector('[data-wk-key=other] .wk-label').textContent"),
            "OK"
        );

        server.start_again();
        await_label("OK");
        assert_eq!(browser.run("return kept.isConnected"), true, "the same card, on a page never left");
        browser.wait_until(
            "return kept.querySelector('.wk-figures') !== null && kept.querySelector('.wk-bars') !== null",
        );
        browser.wait_until(
            "return document.querySelector('.wk-past')?.innerText.includes('Detected after') === true",
        );
    }
    assert_quiet(&browser);
}

#[test]
fn when_the_monitor_is_killed_the_page_says_that_its_data_is_old_and_nothing_is_green() {
    let Some(browser) = browser() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = configured(&format!("- {{key: shop, port: {}}}\n", listener.local_addr().unwrap().port()));
    let mut monitor = Wellkeep::start(folder.path(), &["monitor"]);
    let mut viewer = Wellkeep::start(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    browser.open(&viewer.address());
    browser.wait_until("return document.querySelector('.wk-headline')?.textContent === 'shop is well'");
    assert_ne!(browser.run(GREEN), 0);
    assert!(
        !browser.run("return document.body.innerText").as_str().unwrap().contains("LIVE CHECKS"),
        "it is the monitor's word"
    );
    monitor.kill();
    browser.wait_until(
        "return document.querySelector('.wk-headline').textContent === 'The monitor has stopped reporting'",
    );
    assert_eq!(browser.run(GREEN), 0);
    assert_eq!(browser.run("return document.querySelector('.wk-label').textContent"), "was OK");
    assert_eq!(browser.run("return document.title"), "OLD DATA · Shop <Frankfurt>");
    assert_quiet(&browser);
}

#[test]
fn the_viewer_fills_in_title_and_refresh_and_helps_those_without_javascript() {
    let Some(browser) = browser() else { return };
    let folder = configured("- {key: shop, port: 1}\n");
    let config = folder.path().join("monitor.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    let announcement = "On Sunday from 22:00 UTC the database moves: <late> orders.";
    std::fs::write(
        &config,
        text.replacen("viewer: {", &format!("viewer: {{announcements: '{announcement}', "), 1),
    )
    .unwrap();
    let mut viewer = Wellkeep::start(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let address = viewer.address();
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    for (path, title) in [("", "Shop <Frankfurt>"), ("admin", "Shop <Frankfurt> · all details")] {
        browser.open(&format!("{address}{path}"));
        assert_eq!(browser.run("return document.title"), title);
        assert_eq!(browser.run("return document.querySelector('h1').textContent"), "Shop <Frankfurt>");
        assert_eq!(
            browser.run("return document.querySelector('.wk-announcement').textContent"),
            announcement
        );
        assert_eq!(
            browser.run("return document.querySelector('[data-wellkeep]').dataset.refresh"),
            "1",
            "seconds"
        );
        let words = browser.run("return document.querySelector('main').innerText");
        let words = words.as_str().unwrap();
        assert!(words.contains("0 of 1 services are well") && words.contains("looked for itself"), "{words}");
        assert!(words.contains("/api/status") && words.contains("wellkeep status"), "{words}");
        screenshot(&browser, &format!("noscript-{}", if path.is_empty() { "page" } else { path }));
    }
}

#[test]
fn the_fixture_is_a_document_of_this_version() {
    let document: wellkeep::status::Document = serde_json::from_value(every_state()).unwrap();
    assert_eq!(document.ok_count + document.fail_count, document.total);
    assert_eq!(document.services.len(), document.total as usize);
}

#[test]
fn the_pages_hold_the_placeholders_nothing_inline_and_words_for_those_without_javascript() {
    for page in [include_str!("../static/index.html"), include_str!("../static/admin.html")] {
        let filled = ["{{title}}", "{{refresh_s}}", "{{announcements}}", "{{plain}}"];
        let rest = filled.iter().fold(page.to_owned(), |page, place| page.replace(place, ""));
        assert!(page.contains("<title>{{title}}") && page.contains("data-refresh=\"{{refresh_s}}\""));
        assert!(!rest.contains("{{"), "another placeholder than the viewer fills");
        for inline in ["<style", " style=", "<script>", " onload=", " onclick=", "http://", "https://"] {
            assert!(!page.contains(inline), "{inline} does not go with the content policy");
        }
        let (_, noscript) = page.split_once("<noscript>").expect("a word for those without JavaScript");
        assert!(noscript.contains("/api/status") && noscript.contains("wellkeep status"));
    }
}

#[test]
fn a_card_turns_from_ok_to_issue_and_back_without_a_reload() {
    let Some(browser) = browser() else { return };
    let site = Site::showing(all_well());
    browser.open(&site.url("/"));
    browser.wait_until(LOADED);
    browser.run(
        "window.kept = document.querySelector('[data-wk-key=redis]');
         getSelection().selectAllChildren(document.querySelector('[data-wk-key=nginx] .wk-name'));
         kept.tabIndex = -1;
         kept.focus();",
    );
    assert_eq!(browser.run("return kept.querySelector('.wk-label').textContent"), "OK");
    assert_eq!(browser.run("return document.title"), "web-1.example.org");

    let mut document = all_well();
    document["services"]["redis"]["state"] = json!("down");
    document["services"]["redis"]["reason"] = json!("connection refused");
    site.show(document);
    browser.wait_until("return kept.querySelector('.wk-label').textContent === 'ISSUE'");
    assert_eq!(browser.run("return kept.querySelector('.wk-reason').textContent"), "connection refused");
    assert_eq!(
        browser.run("return document.querySelector('.wk-headline').textContent"),
        "1 of 4 services has an issue"
    );
    assert_eq!(
        browser.run("return document.querySelector('.wk-card') === kept"),
        true,
        "the worst comes first"
    );
    assert_eq!(browser.run("return document.title"), "(1) ISSUE · web-1.example.org");
    assert_eq!(browser.run("return document.activeElement === kept"), true, "it keeps the focus");

    site.show(all_well());
    browser.wait_until("return kept.querySelector('.wk-label').textContent === 'OK'");
    assert_eq!(browser.run("return kept.isConnected"), true, "the card was updated, not replaced");
    assert_eq!(browser.run("return String(getSelection())"), "nginx", "a selection in another card survives");
    assert_quiet(&browser);
}

#[test]
fn a_service_named_like_html_is_only_text() {
    let Some(browser) = browser() else { return };
    let mut document = every_state();
    let hostile = "<img src=x onerror='window.harmed=1'><script>window.harmed=1</script>";
    for field in ["name", "reason", "group"] {
        document["services"]["checkout"][field] = json!(hostile);
    }
    document["host"]["name"] = json!(hostile);
    document["monitor"]["config"]["error"] = json!(hostile);
    document["services"]["checkout"]["http"]["url"] = json!("javascript:window.harmed=1");
    document["services"]["checkout"]["history"][0]["reason"] = json!(hostile);
    let site = Site::showing(document);
    for path in ["/", "/admin"] {
        browser.open(&site.url(path));
        browser.wait_until(LOADED);
        assert_eq!(
            browser.run("return document.querySelector('[data-wk-key=checkout] .wk-name').textContent"),
            hostile
        );
        assert_eq!(browser.run("return document.querySelectorAll('img, main script, main a').length"), 0);
        assert_eq!(browser.run("return window.harmed"), Value::Null);
    }
    assert_quiet(&browser);
}

#[test]
fn nothing_is_green_when_the_data_cannot_be_believed() {
    let Some(browser) = browser() else { return };
    let site = Site::showing(all_well());
    browser.open(&site.url("/"));
    browser.wait_until(LOADED);
    assert_ne!(browser.run(GREEN), 0);
    for kind in ["stale", "earlier_boot", "stopped", "future"] {
        let mut document = all_well();
        document["stale"] = json!(true);
        document["viewer"] = json!({"data": kind, "reason": format!("this is {kind}"), "version": "0.1.0"});
        site.show_as_it_is(document, 200);
        browser.wait_until(&format!(
            "return document.querySelector('.wk-text')?.textContent.includes('This is {kind}')"
        ));
        assert_eq!(browser.run(GREEN), 0, "{kind}");
        assert_eq!(browser.run("return document.title"), "OLD DATA · web-1.example.org");
    }
    let none = json!({"stale": true, "viewer": {"data": "none", "reason": "/var/lib/wellkeep/status.json does not exist"},
        "services": {}, "ok_count": 0, "fail_count": 0, "total": 0, "overall": "unknown"});
    site.show_as_it_is(none, 0);
    browser.wait_until("return document.querySelector('.wk-headline').textContent === 'There is no data'");
    assert_eq!(browser.run(GREEN), 0);
    assert_quiet(&browser);

    site.show(all_well());
    site.set_broken(true);
    browser.wait_until("return document.title === 'NO CONNECTION · web-1.example.org'");
    assert_eq!(browser.run(GREEN), 0);
    site.set_broken(false);
    browser.wait_until("return document.title === 'web-1.example.org'");
    assert_ne!(browser.run(GREEN), 0);
}

#[test]
fn no_page_scrolls_sideways_on_the_narrowest_phone() {
    let Some(browser) = browser() else { return };
    let mut document = every_state();
    document["services"]["checkout"]["name"] =
        json!("a-very-long-name-without-any-place-to-break-it".repeat(3));
    document["services"]["checkout"]["reason"] = json!("x".repeat(300));
    let site = Site::showing(document);
    for path in ["/", "/admin"] {
        browser.view_as(320, 640, false);
        browser.open(&site.url(path));
        browser.wait_until(LOADED);
        let width = browser.run("return document.documentElement.scrollWidth");
        assert_eq!(width, 320, "{path}");
    }
    assert_quiet(&browser);
}

#[test]
fn every_state_is_drawn_wide_and_narrow_in_light_and_dark() {
    let Some(browser) = browser() else { return };
    let site = Site::showing(every_state());
    for (path, page) in [("/", "page"), ("/admin", "admin")] {
        for (width, shape) in [(1280, "wide"), (360, "narrow")] {
            for (dark, scheme) in [(false, "light"), (true, "dark")] {
                browser.view_as(width, 900, dark);
                browser.open(&site.url(path));
                browser.wait_until(LOADED);
                let labels =
                    browser.run("return [...document.querySelectorAll('.wk-label')].map(e => e.textContent)");
                let expected = [
                    "ISSUE", "UNSTABLE", "DEGRADED", "UNKNOWN", "STARTING", "BLOCKED", "HELD", "STOPPED",
                    "OK", "OK", "OK", "OK",
                ];
                assert_eq!(labels, json!(expected));
                screenshot(&browser, &format!("{page}-{shape}-{scheme}"));
            }
        }
    }
    assert_quiet(&browser);
}

#[test]
fn what_is_done_about_a_service_is_drawn_and_counts_down() {
    let Some(browser) = browser() else { return };
    let mut document = every_state();
    let services = document["services"].as_object_mut().expect("services");
    services.retain(|key, _| ["checkout", "worker", "invoices", "import", "redis"].contains(&key.as_str()));
    let mut acting = services["checkout"].clone();
    acting["name"] = json!("Basket");
    acting["heal"]["phase"] = json!("acting");
    services.insert("basket".to_owned(), acting);
    document["monitor"]["cannot_heal"] =
        json!("user wellkeep may not restart units, as polkitd is not installed: apt install polkitd");
    let site = Site::showing(document);
    let care = |key: &str| {
        let script = format!("return document.querySelector('[data-wk-key={key}] .wk-care dd').textContent");
        browser.run(&script).as_str().unwrap_or_default().to_owned()
    };
    for (path, page) in [("/", "page"), ("/admin", "admin")] {
        for (width, shape) in [(1280, "wide"), (360, "narrow")] {
            for (dark, scheme) in [(false, "light"), (true, "dark")] {
                browser.view_as(width, 900, dark);
                browser.open(&site.url(path));
                browser.wait_until(LOADED);
                assert!(care("checkout").starts_with("restart 2 of 5 in "), "{}", care("checkout"));
                assert_eq!(care("basket"), "restarting now");
                assert!(care("import").ends_with("asked for by ada: moving to the new disk"));
                assert_eq!(browser.run("return document.documentElement.scrollWidth"), width);
                screenshot(&browser, &format!("healing-{page}-{shape}-{scheme}"));
            }
        }
    }
    site.set_age(11);
    browser.wait_until(
        "return /^restart 2 of 5 in 2[1-3] s$/.test(document.querySelector('[data-wk-key=checkout] .wk-care dd').textContent)",
    );
    assert_quiet(&browser);
}

#[test]
fn what_was_is_drawn_and_no_day_that_nobody_watched_is_green() {
    let Some(browser) = browser() else { return };
    let site = site_with_past(every_state());
    for (path, page) in [("/", "page"), ("/admin", "admin")] {
        for (width, shape) in [(1280, "wide"), (360, "narrow")] {
            for (dark, scheme) in [(false, "light"), (true, "dark")] {
                browser.view_as(width, 900, dark);
                browser.open(&site.url(path));
                browser.wait_until(LOADED);
                // On a phone the admin page begins with the host: the past is asked for when a card comes near.
                browser.run("document.querySelector('.wk-card').scrollIntoView()");
                browser.wait_until(PAST_DRAWN);
                browser.wait_until("return document.querySelector('.wk-card .wk-bars') !== null");
                assert_eq!(browser.run("return document.documentElement.scrollWidth"), width);
                screenshot(&browser, &format!("past-{page}-{shape}-{scheme}"));
            }
        }
    }
    let label = browser.run("return document.querySelector('.wk-bars').getAttribute('aria-label')");
    let label = label.as_str().unwrap();
    assert!(
        label.starts_with(
            "The last 90 days: 46 days without a failure, 2 with, 1 on hold or stopped, 41 unknown."
        ),
        "{label}"
    );
    assert!(label.contains("2026-10-24: 95 % up, down, 2 heals"), "{label}");
    let day = "document.querySelector('.wk-day').textContent";
    assert_eq!(browser.run(&format!("return {day}")), "2 days with failures");
    let point = |kind: &str, pointer: &str| {
        browser.run(&format!(
            "const bars = document.querySelector('.wk-bars');
             const clientX = bars.getBoundingClientRect().right - 2;
             bars.dispatchEvent(new PointerEvent('{kind}', {{bubbles: true, clientX, pointerType: '{pointer}'}}));
             return {day};"
        ))
    };
    assert_eq!(point("pointermove", "mouse"), "2026-11-23: no failure");
    assert_eq!(point("pointerout", "mouse"), "2 days with failures");
    assert_eq!(point("pointerdown", "touch"), "2026-11-23: no failure");
    assert_eq!(point("pointerout", "touch"), "2026-11-23: no failure", "it stays when the finger goes");
    // The green path begins with the first day that was watched for most of it: the 42nd.
    let green = browser.run("return document.querySelector('.wk-bar-good').getAttribute('d')");
    assert!(green.as_str().unwrap().starts_with("M164 "), "{green}");
    let latency =
        browser.run("return document.querySelector('.wk-latency').innerText.replace(/\\s+/g, ' ').trim()");
    assert_eq!(
        latency, "Latency, last 24 h: 41 ms, at most 180 ms",
        "before this page has seen a second look"
    );
    let line = browser
        .run("return document.querySelector('.wk-spark path').getAttribute('d').match(/[MLh]/g).join('')");
    assert!(line.as_str().unwrap().starts_with("MLLLLLLMhMLLLLLLLLLLL"), "{line}");
    let words = browser.run("return document.querySelector('.wk-incidents').innerText.replace(/\\s+/g, ' ')");
    let words = words.as_str().unwrap();
    for part in
        ["Recovered after 52 s", "restart: it helped", "not yet", "--evidence 20261122T210950Z-flask_web"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    let figures = browser.run("return document.querySelector('.wk-figures').innerText.replace(/\\s+/g, ' ')");
    assert_eq!(figures, "24 h 99.79 % 7 d 99.87 % 30 d 99.96 % 90 d 99.92 % 44 % known");

    site.show_as_it_is(json!({"stale": true, "viewer": {"data": "stale"}, "services": with_uptime(every_state())["services"]}), 190);
    browser.wait_until("return document.querySelector('.wk-banner').dataset.wkTone === 'old'");
    let fill = "return new Set([...document.querySelectorAll('.wk-bar-good')].map(e => getComputedStyle(e).fill)).has(getComputedStyle(document.querySelector('.wk-past-when')).color)";
    assert_eq!(browser.run(fill), true, "over old data nothing is green");
    assert_quiet(&browser);
}

#[test]
fn the_keyboard_reaches_each_of_the_90_days_and_a_refresh_leaves_it_there() {
    let Some(browser) = browser() else { return };
    let site = site_with_past(every_state());
    for (dark, scheme) in [(false, "light"), (true, "dark")] {
        browser.view_as(1280, 900, dark);
        browser.open(&site.url("/"));
        browser.wait_until("return document.querySelector('.wk-card .wk-bars') !== null");
        let bars = "const bars = document.querySelector('.wk-bars')";
        let said = || {
            browser.run(&format!(
                "{bars}; return [bars.parentNode.querySelector('.wk-day').textContent, bars.getAttribute('aria-valuenow'), \
                 bars.getAttribute('aria-valuetext') === bars.parentNode.querySelector('.wk-day').textContent]"
            ))
        };
        assert_eq!(said(), json!(["2 days with failures", "90", false]));
        // The page's own way to it: by the tab key.
        for _ in 0..40 {
            if browser.run("return document.activeElement.matches('.wk-bars')") == true {
                break;
            }
            browser.press(TAB);
        }
        assert_eq!(said(), json!(["2026-11-23: no failure", "90", true]));
        (0..5).for_each(|_| browser.press(LEFT));
        assert_eq!(said(), json!(["2026-11-18: on hold or stopped", "85", true]));
        browser.run("document.activeElement.scrollIntoView({block: 'center'})");
        screenshot(&browser, &format!("day-by-keyboard-{scheme}"));
        browser.run("document.querySelector('[data-wellkeep]').wellkeep.draw()");
        assert_eq!(said(), json!(["2026-11-18: on hold or stopped", "85", true]), "drawn anew");
        let outline =
            browser.run("return getComputedStyle(document.activeElement.closest('.wk-days')).outlineWidth");
        assert_eq!(outline, "3px", "the focus shows");
        browser.press(TAB);
        assert_eq!(said(), json!(["2 days with failures", "90", false]));
    }
    assert_quiet(&browser);
}

#[test]
fn the_past_is_asked_for_only_of_what_is_on_the_screen() {
    let Some(browser) = browser() else { return };
    let site = site_with_past(with_many(all_well(), 300));
    browser.view_as(1000, 700, false);
    browser.open(&site.url("/"));
    browser.wait_until(PAST_DRAWN);
    browser.run("scrollTo(0, document.documentElement.scrollHeight)");
    browser.wait_until("return document.querySelector('[data-wk-key=service_299] .wk-bars') !== null");
    let asked = site.past_asked();
    assert!(asked.len() < 150, "{} of 304 were asked for", asked.len());
    let mut once = asked.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), asked.len(), "none was asked for twice");
    assert_quiet(&browser);
}

#[test]
fn a_thousand_services_are_found_by_words_and_state_and_the_address_remembers() {
    let Some(browser) = browser() else { return };
    let site = Site::showing(with_many(every_state(), 1000));
    browser.view_as(1000, 700, false);
    browser.open(&site.url("/"));
    browser.wait_until(LOADED);
    let shown = "return [...document.querySelectorAll('.wk-card')].map(e => e.dataset.wkKey)";
    let cards = |count: usize| {
        browser.wait_until(&format!("return document.querySelectorAll('.wk-card').length === {count}"));
    };
    browser.press("/");
    assert_eq!(browser.run("return document.activeElement.type"), "search");
    for key in "unit 777".chars() {
        browser.press(&key.to_string());
    }
    cards(1);
    assert_eq!(browser.run(shown), json!(["service_777"]));
    assert_eq!(browser.run("return location.hash"), "#q=unit+777");
    assert_eq!(browser.run("return document.querySelector('.wk-found').textContent"), "1 of 1012 services");
    assert_eq!(browser.run("return document.activeElement.value"), "unit 777");
    screenshot(&browser, "found");
    browser.press("\u{e00c}");
    cards(1012);
    browser.run(
        "const state = document.querySelector('.wk-filter select');
         state.value = 'attention';
         state.dispatchEvent(new Event('input', {bubbles: true}));",
    );
    cards(6);
    assert_eq!(browser.run("return location.hash"), "#state=attention");
    browser.run("location.reload()");
    cards(6);
    assert_eq!(browser.run("return document.querySelector('.wk-filter select').value"), "attention");
    browser.run("location.hash = '#q=nothing+like+it'");
    cards(0);
    assert_eq!(browser.run("return document.querySelector('.wk-found').textContent"), "No service matches.");
    browser.run("location.hash = '#status'");
    assert_eq!(browser.run("return document.querySelector('.wk-filter input').value"), "nothing like it");
    assert_quiet(&browser);
}

#[test]
fn without_javascript_the_states_are_in_a_table_and_old_ones_are_said_to_be_old() {
    let Some(browser) = browser() else { return };
    let folder = configured("- {key: shop, port: 1}\n");
    let mut document = every_state();
    document["services"]["redis"]["name"] = json!("<img src=x> & Co");
    std::fs::write(folder.path().join("status.json"), document.to_string()).unwrap();
    let mut viewer = Wellkeep::start(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let address = viewer.address();
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.view_as(360, 800, false);
    browser.open(&address);
    let rows =
        browser.run("return [...document.querySelectorAll('.wk-plain tbody tr')].map(e => e.innerText)");
    let rows: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    assert_eq!(rows.len(), 12);
    assert_eq!(rows[0], "Checkout API\twas down\t2026-11-23 08:58:40 UTC", "the worst first");
    assert!(rows.contains(&"<img src=x> & Co\twas up\t2026-11-10 03:12:00 UTC"), "{rows:#?}");
    let words = browser.run("return document.querySelector('main').innerText");
    // The fixture is of another boot than this machine's.
    assert!(words.as_str().unwrap().starts_with("This is old data"), "{words}");
    assert_eq!(browser.run("return document.documentElement.scrollWidth"), 360);
    screenshot(&browser, "noscript-table");
}

/// What a strict page of somebody else allows: its own things, and the viewer's script, style and API.
fn strict_policy(viewer: &Site) -> String {
    let viewer = viewer.url("");
    format!(
        "default-src 'none'; script-src {viewer}; style-src {viewer}; connect-src {viewer}; img-src 'self'; \
         require-trusted-types-for 'script'; base-uri 'none'"
    )
}

#[test]
fn under_a_strict_policy_the_element_shows_itself_and_leaves_nothing_behind_when_it_goes() {
    let Some(browser) = browser() else { return };
    let viewer = Site::showing(every_state());
    let host = Site::showing(json!({}));
    host.host_policy(&strict_policy(&viewer));
    host.host(&format!(
        "<!doctype html><title>Shop</title><link rel=icon href='/favicon.svg'><script src='{}'></script>\
         <wellkeep-status services='checkout' refresh=1 theme=dark></wellkeep-status>\
         <div data-wellkeep data-services='redis' data-refresh=1 data-theme=light></div><p id=rest>Ours</p>",
        viewer.url("/static/status.js")
    ));
    browser.view_as(800, 900, false);
    browser.open(&host.url("/"));
    browser.wait_until("return document.querySelectorAll('.wk-card').length === 2");
    let ground = |selector: &str| {
        browser.run(&format!("return getComputedStyle(document.querySelector('{selector}')).backgroundColor"))
    };
    browser.wait_until("return getComputedStyle(document.querySelector('.wk-card')).display === 'flex'");
    assert_eq!(ground("wellkeep-status .wk-card"), "rgb(23, 27, 34)", "dark, in a page that is light");
    assert_eq!(ground("div .wk-card"), "rgb(255, 255, 255)");
    screenshot(&browser, "widget-themes");

    browser.run("window.kept = document.querySelector('wellkeep-status'); kept.setAttribute('services', 'search,redis');");
    browser.wait_until("return kept.querySelectorAll('.wk-card').length === 2");
    browser.run("window.unset = clearInterval; window.ended = 0; window.clearInterval = (id) => { ended += 1; unset(id); };");
    browser.run("kept.remove(); document.querySelector('[data-wellkeep]').remove();");
    browser.wait_until("return ended === 1");
    let asked = viewer.asked();
    // Three of its pauses: nobody asks for nobody.
    std::thread::sleep(Duration::from_millis(3200));
    assert_eq!(viewer.asked(), asked);
    assert_eq!(browser.run("return kept.wellkeep"), Value::Null);
    browser.run("document.body.append(kept)");
    browser.wait_until("return kept.querySelectorAll('.wk-card').length === 2");
    browser.wait_until("return kept.querySelector('.wk-meta').textContent.includes('ago')");
    assert!(viewer.asked() > asked, "back again, it asks again");
    assert_quiet(&browser);
}

#[test]
fn whatever_the_viewer_answers_the_page_around_the_widget_hears_nothing_of_it() {
    let Some(browser) = browser() else { return };
    let viewer = Site::showing(every_state());
    let host = Site::showing(json!({}));
    host.host(&format!(
        "<!doctype html><title>Shop</title><link rel=icon href='/favicon.svg'>\
         <script>window.faults = []; window.module = {{}}; addEventListener('error', (e) => faults.push(String(e.message)));\
         addEventListener('unhandledrejection', (e) => faults.push(String(e.reason)));</script>\
         <script src='{0}'></script><script src='{0}'></script>\
         <wellkeep-status refresh=1></wellkeep-status><wellkeep-status src='http://[broken'></wellkeep-status>",
        viewer.url("/static/status.js")
    ));
    host.host_policy("default-src * 'unsafe-inline'");
    browser.open(&host.url("/"));
    browser.wait_until("return document.querySelectorAll('.wk-card').length === 12");
    let answers = [
        (500, "text/html", "<h1>Oops</h1>"),
        (200, "text/html", "<!doctype html><h1>Log in</h1>"),
        (200, "application/json", "null"),
        (
            200,
            "application/json",
            "{\"services\": {\"a\": null, \"b\": 7, \"c\": {\"http\": [], \"uptime\": 3, \"incident\": \"x\"}}}",
        ),
        (200, "application/json", "{\"services\": {"),
    ];
    for (status, kind, body) in answers {
        viewer.answer_instead(Some((status, kind, body)));
        let asked = viewer.answers();
        while viewer.answers() < asked + 2 {
            std::thread::sleep(Duration::from_millis(50));
        }
        browser.wait_until("return document.querySelector('.wk-banner').dataset.wkTone === 'old'");
        assert_eq!(browser.run(GREEN), 0, "{body}");
    }
    viewer.answer_instead(None);
    browser.wait_until("return document.querySelectorAll('[data-wk-tone=good]').length > 0");
    assert_eq!(browser.run("return faults"), json!([]));
}

/// Where `tests/run` puts it.
const AXE: &str = "target/axe/node_modules/axe-core/axe.min.js";

/// The accessibility checker, to be run in a page.
fn axe() -> Option<String> {
    let axe = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE));
    axe.map_err(|_| {
        common::skip("axe-core is not there: npm install --prefix target/axe axe-core@4.14.1");
    })
    .ok()
}

#[test]
fn every_situation_has_its_headline_and_keeps_nobody_out_wide_and_narrow_in_light_and_dark() {
    let Some(browser) = browser() else { return };
    let axe = axe();
    let site = site_with_past(every_state());
    let views = [("/", 1440, false), ("/", 320, true), ("/admin", 1440, true), ("/admin", 320, false)];
    for situation in situations::all() {
        for (path, width, dark) in views {
            let name = situation.name;
            site.show_as_it_is(situation.document.clone(), situation.age.unwrap_or(1));
            browser.view_as(width, 900, dark);
            browser.open(&site.url(path));
            site.set_broken(situation.age.is_none());
            let headline =
                format!("document.querySelector('.wk-headline')?.textContent === '{}'", situation.headline);
            browser.wait_until(&format!("return {headline}"));
            if situation.document["services"]["flask_web"]["uptime"].is_object() {
                browser.run("document.querySelector('.wk-card').scrollIntoView()");
                browser.wait_until("return document.querySelector('.wk-card .wk-bars') !== null");
                browser.run("scrollTo(0, 0)");
            }
            let page = format!("{name} at {path}, {width} wide, dark: {dark}");
            assert_eq!(browser.run("return document.documentElement.scrollWidth"), width, "{page}");
            if !situation.is_believed() {
                assert_eq!(browser.run(GREEN), 0, "{page}");
            }
            let (page_name, scheme) =
                (if path == "/" { "page" } else { "admin" }, if dark { "dark" } else { "light" });
            screenshot(&browser, &format!("{name}-{page_name}-{width}-{scheme}"));
            if let Some(axe) = &axe {
                browser.run(axe);
                browser.run(
                    "window.found = null; axe.run().then(({violations}) => { window.found = violations; });",
                );
                browser.wait_until("return window.found !== null");
                let found = browser.run("return found.map(({id, nodes}) => [id, nodes.slice(0, 3).map((one) => [one.html.slice(0, 200), one.failureSummary])])");
                assert_eq!(found, json!([]), "{page}");
            }
            site.set_broken(false);
        }
    }
}

/// Not a claim: it makes the pictures of the README anew.
#[test]
#[ignore = "makes the README's pictures: cargo test --test browser -- --ignored pictures"]
fn pictures_for_the_readme() {
    let browser = browser().expect("chromium and chromedriver");
    let host: Value = serde_json::from_str(include_str!("browser/host.json")).expect("the fixture is JSON");
    let _: wellkeep::status::Document =
        serde_json::from_value(host.clone()).expect("a document as it is written");
    let mut open = host["services"]["checkout"]["incident"].clone();
    open["time_to_detect_s"] = json!(8);
    let mut past = incidents()["incidents"][1].clone();
    past["service"] = json!("mail_worker");
    past["cause"] = json!("systemd: mail-worker.service is failed: its main process was killed by signal 9");
    let site = site_with_past(host);
    site.remember("", json!({"incidents": [open, past]}));
    for (dark, scheme) in [(false, "light"), (true, "dark")] {
        browser.view_as(1280, 720, dark);
        browser.open(&site.url("/"));
        browser.wait_until(LOADED);
        // What is below the screen has its past once somebody went there.
        browser.run("scrollTo(0, document.documentElement.scrollHeight)");
        browser.wait_until(PAST_OF_ALL);
        browser.run("scrollTo(0, 0)");
        browser
            .screenshot(&Path::new("tests/browser").join(format!("screenshot-{scheme}.png")))
            .expect("a picture");
    }
}

#[test]
fn two_widgets_in_somebody_elses_page_share_one_look_at_the_viewer() {
    let Some(browser) = browser() else { return };
    let viewer = Site::showing(every_state());
    let host = Site::showing(json!({}));
    let widget = |attributes: &str| {
        format!(
            "<div data-wellkeep data-refresh=60 {attributes}></div><script src='{}'></script>",
            viewer.url("/static/status.js")
        )
    };
    host.host(&format!(
        "<!doctype html><title>Shop</title><link rel=icon href='/favicon.svg'><h2>Ours</h2>{}{}",
        widget("data-services='checkout,redis'"),
        widget("data-services='nothing_like_it'"),
    ));
    browser.view_as(800, 900, false);
    browser.open(&host.url("/"));
    browser.wait_until("return document.querySelectorAll('.wk-card').length === 3");
    let keys = browser.run("return [...document.querySelectorAll('.wk-card')].map(e => e.dataset.wkKey)");
    assert_eq!(keys, json!(["checkout", "redis", "nothing_like_it"]));
    assert_eq!(
        browser.run("return [...document.querySelectorAll('.wk-label')].pop().textContent"),
        "UNKNOWN"
    );
    // With something wrong it asks again after 5 s; what each asked for itself would come at once.
    let apart = browser.run(
        "const looks = performance.getEntriesByType('resource').filter((one) => one.name.includes('api/status'));
         return Math.min(...looks.slice(1).map((one, n) => one.startTime - looks[n].startTime), 9999) > 2000;",
    );
    assert_eq!(apart, true, "{} questions, two of them at once", viewer.asked());
    assert_eq!(browser.run("return document.title"), "Shop", "the host's title is not ours to change");
    assert_eq!(browser.run("return document.querySelectorAll('link[rel=stylesheet]').length"), 1);
    browser.wait_until("return getComputedStyle(document.querySelector('.wk-card')).display === 'flex'");
    assert_eq!(
        browser.run("return getComputedStyle(document.querySelector('body > h2')).fontWeight"),
        "700",
        "the host's own elements look as before"
    );
    screenshot(&browser, "widget");
    assert_quiet(&browser);
}

#[test]
fn a_page_of_another_origin_is_answered_by_a_real_viewer_only_if_that_allows_it() {
    let Some(browser) = browser() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let [friend, stranger] = [Site::showing(json!({})), Site::showing(json!({}))];
    let folder = configured(&format!("- {{key: shop, port: {}}}\n", listener.local_addr().unwrap().port()));
    let config = folder.path().join("monitor.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    let allowing = format!("viewer: {{cors: ['{}'], ", friend.url(""));
    std::fs::write(&config, text.replacen("viewer: {", &allowing, 1)).unwrap();
    let mut wellkeep = Wellkeep::start(folder.path(), &["dev", "--listen", "127.0.0.1:0"]);
    let address = wellkeep.address();
    for host in [&friend, &stranger] {
        host.host(&format!(
            "<!doctype html><title>Shop</title><link rel=icon href='/favicon.svg'>\
             <script src='{address}static/status.js'></script><wellkeep-status refresh=1></wellkeep-status>"
        ));
    }
    browser.open(&friend.url("/"));
    browser.wait_until("return document.querySelector('.wk-label')?.textContent === 'OK'");
    // Its past, too, and its age by the viewer's clock.
    browser.wait_until("return document.querySelector('.wk-bars') !== null");
    browser.wait_until("return document.querySelector('.wk-meta').textContent.includes('ago')");
    assert_quiet(&browser);
    browser.open(&stranger.url("/"));
    browser.wait_until("return document.querySelector('.wk-text')?.textContent.includes('(CORS)') === true");
    assert_eq!(browser.run(GREEN), 0);
}

#[test]
fn a_thousand_services_are_drawn_and_refreshed() {
    let Some(browser) = browser() else { return };
    let document = with_many(all_well(), 1000);
    let site = Site::showing(document.clone());
    for path in ["/", "/admin"] {
        site.show(document.clone());
        browser.open(&site.url(path));
        browser.wait_until("return document.querySelectorAll('.wk-card').length === 1004");
        browser.run("window.kept = document.querySelector('[data-wk-key=service_777]')");
        let mut changed = document.clone();
        changed["services"]["service_777"]["state"] = json!("down");
        site.show(changed);
        browser.wait_until("return document.querySelector('.wk-card') === kept");
        eprintln!("{path} with 1004 services, in ms: {}", browser.run(COSTS));
    }
    assert_quiet(&browser);
}

/// What it takes to draw the page, to draw it anew with other figures, and to move the ages on: with layout, the median
/// of five times each, in ms.
const COSTS: &str = "
    const { wellkeep: widget } = document.querySelector('[data-wellkeep]');
    const { services } = widget.source.document;
    const median = (work) => [1, 2, 3, 4, 5].map(() => {
        const start = performance.now();
        work();
        document.body.offsetHeight;
        return Math.round(performance.now() - start);
    }).sort((a, b) => a - b)[2];
    const first = median(() => { widget.seen = null; widget.draw(); });
    let count = 0;
    const refresh = median(() => {
        count += 1;
        for (const service of Object.values(services)) {
            service.http = {...service.http, latency_ms: 40 + count};
            service.last_checked = `2026-11-23T09:00:0${count}Z`;
        }
        widget.draw();
    });
    return {first, refresh, ages: median(() => widget.tick())};";

#[test]
fn the_age_is_the_servers_also_when_the_browser_answers_from_its_cache() {
    let Some(browser) = browser() else { return };
    let site = Site::showing(all_well());
    browser.open(&site.url("/"));
    browser.wait_until(LOADED);
    site.set_age(11);
    browser.wait_until("return /^Updated 1[1-3] s/.test(document.querySelector('.wk-meta').textContent)");
    assert!(site.not_modified() > 0, "the viewer was spared the document");
    // Older than its own limit, though the viewer still calls it fresh: a viewer whose clock or cache is wrong.
    site.set_age(16);
    browser.wait_until("return document.querySelector('.wk-banner').dataset.wkTone === 'old'");
    assert_eq!(browser.run(GREEN), 0);
    assert_quiet(&browser);
}

#[test]
fn a_page_that_nobody_sees_asks_nothing_and_asks_at_once_when_it_is_seen_again() {
    let Some(browser) = browser() else { return };
    let site = Site::showing(all_well());
    browser.open(&site.url("/"));
    browser.wait_until(LOADED);
    let seen = |hidden: bool| {
        browser.run(&format!(
            "Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});
             document.dispatchEvent(new Event('visibilitychange'));"
        ));
    };
    seen(true);
    let before = site.asked();
    // Three of its usual pauses.
    std::thread::sleep(Duration::from_millis(3200));
    assert!(site.asked() <= before + 1, "at most the question under way already");
    let mut document = all_well();
    document["services"]["redis"]["state"] = json!("degraded");
    site.show(document);
    seen(false);
    browser.wait_until("return document.querySelector('.wk-label').textContent === 'DEGRADED'");
    assert_quiet(&browser);
}
