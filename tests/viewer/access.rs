//! Who sees what, where the details are not for everybody.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use wellkeep::status::{Document, MonitorState, State};
use wellkeep::viewer::{Options, Viewer};

use crate::stage::{NOON, Reply, Running, Stage, document, run};

const TOKEN: &str = "correct-horse-battery";
const PASSWORD: &str = "hunter2hunter2";

/// A word that stands wherever a document has details, and nowhere else.
const DETAIL: &str = "xyzzy";

/// A document with a detail in every place that has room for one.
fn detailed() -> serde_json::Value {
    let mut document = serde_json::to_value(document(&["web", "db!"])).unwrap();
    let db = json!({
        "reason": DETAIL,
        "depends_on": [DETAIL],
        "http": { "outcome": "fail", "ok": false, "reason": DETAIL, "url": DETAIL },
        "history": [{ "at": NOON, "from": State::Up, "to": State::Down, "reason": DETAIL }],
        "hold": { "since": NOON, "until": NOON, "by": DETAIL },
        "of_a_later_version": DETAIL,
    });
    let service = document["services"]["db"].as_object_mut().unwrap();
    service.extend(db.as_object().unwrap().clone());
    document["host"]["name"] = DETAIL.into();
    document["monitor"]["config"]["path"] = DETAIL.into();
    document["of_a_later_version"] = DETAIL.into();
    document
}

fn stage() -> Stage {
    let stage = Stage::new();
    stage.write(detailed().to_string().as_bytes());
    write_past(&stage);
    std::fs::write(stage.folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    std::fs::write(stage.folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    stage
}

/// The past of `db`, with a detail in every place that has room for one: it was down for the first half hour of the day, of
/// which the monitor saw the first hour.
fn write_past(stage: &Stage) {
    let folder = stage.folder.path().join("history");
    std::fs::create_dir(&folder).unwrap();
    // The key comes first: by that a reader tells whose line it is.
    let day =
        r#"{"service":"db","worst":"down","hours":[[0,1,1800,1800,0,7,9]],"latency":[[489312,60,45,46]]}"#;
    std::fs::write(folder.join("2025-10-27.jsonl"), format!("{day}\n")).unwrap();
    let change = r#"{"service":"db","at":"2025-10-27T00:00:20Z","from":"up","to":"down""#;
    std::fs::write(folder.join("transitions.jsonl"), format!("{change},\"reason\":\"{DETAIL}\"}}\n"))
        .unwrap();
    let incidents = json!([{
        "id": DETAIL, "service": "db", "began": "2025-10-27T00:00:00Z", "detected": "2025-10-27T00:00:20Z",
        "ended": "2025-10-27T00:30:00Z", "cause": DETAIL, "outcome": DETAIL,
        "heals": [{ "at": NOON, "step": DETAIL, "attempt": 1, "result": "healed" }],
    }]);
    std::fs::write(folder.join("incidents.json"), incidents.to_string()).unwrap();
}

fn options(stage: &Stage) -> Options {
    let folder = stage.folder.path().display();
    stage.configured(&format!(
        "access: {{token: '${{file:{folder}/token}}', user: ada, password: '${{file:{folder}/password}}'}}"
    ))
}

fn protected(stage: &Stage) -> Running {
    run(Viewer::bind(options(stage)).unwrap())
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}", BASE64.encode(format!("{user}:{password}")))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// Every address that is answered without credentials.
const PUBLIC: [&str; 17] = [
    "/",
    "/static/status.js",
    "/static/status.css",
    "/favicon.svg",
    "/api/status",
    "/api/status/db",
    "/api/history/db",
    "/api/incidents",
    "/api/openapi.json",
    "/api/schema/status.json",
    "/api/schema/history.json",
    "/api/schema/incidents.json",
    "/badge.svg",
    "/badge/db.svg",
    "/health",
    "/health?services=web",
    "/livez",
];

const DETAILS: [&str; 8] = [
    "/admin",
    "/metrics",
    "/health/detailed",
    "/api/status?details",
    "/api/status/db?details",
    "/api/status?x=1&details=",
    "/api/history/db?details",
    "/api/incidents?details",
];

#[test]
fn without_credentials_there_is_no_detail_anywhere() {
    let stage = stage();
    let viewer = protected(&stage);
    for path in PUBLIC {
        let reply = viewer.get(path);
        assert_ne!(reply.status, 401, "{path}");
        assert!(!reply.whole.contains(DETAIL), "{path}: {}", reply.whole);
    }
    for path in DETAILS {
        let reply = viewer.get(path);
        assert_eq!(reply.status, 401, "{path}");
        let asked = r#"Basic realm="Wellkeep", charset="UTF-8", Bearer realm="Wellkeep""#;
        assert_eq!(reply.header("WWW-Authenticate"), Some(asked), "{path}");
        assert!(!reply.whole.contains(DETAIL), "{path}: {}", reply.whole);
    }
}

#[test]
fn what_everybody_sees_has_the_names_the_states_and_the_same_counts() {
    let stage = stage();
    let viewer = protected(&stage);
    let status = viewer.get("/api/status").json();
    assert_eq!(
        (&status["ok_count"], &status["fail_count"], &status["total"]),
        (&json!(1), &json!(1), &json!(2))
    );
    assert_eq!(status["overall"], "down");
    assert_eq!(status["viewer"]["data"], "fresh");
    let db = json!({
        "key": "db", "name": "DB", "ok": false, "state": "down", "since": NOON, "last_checked": NOON
    });
    assert_eq!(status["services"]["db"], db);
    assert!(viewer.get("/badge/db.svg").body.contains("DB: down"));
    let health = viewer.get("/health");
    assert_eq!((health.status, health.json()["reason"].as_str()), (503, Some("1 of 2 services are not ok")));
}

#[test]
fn without_javascript_everybody_sees_names_and_states_and_only_who_may_see_it_the_reason() {
    let stage = stage();
    let viewer = protected(&stage);
    let admin = || viewer.get_with("/admin", &bearer(TOKEN));
    for (page, name) in [(viewer.get("/"), "/"), (admin(), "/admin")] {
        assert!(page.body.contains("<strong>1 of 2 services are well</strong>"), "{name}: {}", page.body);
        let row = "<tr><th scope=\"row\">DB</th><td>down</td><td>2025-10-27 12:00:00 UTC</td></tr>";
        assert!(page.body.contains(row), "{name}: {}", page.body);
        let worst_first = page.body.find(">DB<") < page.body.find(">WEB<");
        assert!(worst_first, "{name}: {}", page.body);
    }
    // Where the file cannot be read, its path is among the details.
    let folder = stage.folder.path().display().to_string();
    stage.write(b"{");
    let (page, admin) = (viewer.get("/").body, admin().body);
    assert!(page.contains("This is old data") && !page.contains(&folder), "{page}");
    assert!(page.contains("<td>was down</td>"), "{page}");
    assert!(admin.contains("This is old data") && admin.contains(&folder), "{admin}");
}

#[test]
fn announcements_are_for_everybody_also_where_the_details_are_not() {
    let stage = stage();
    let settings = "public_details: false, announcements: ['On Sunday the <database> moves.', Sorry]";
    let viewer = run(Viewer::bind(stage.configured(settings)).unwrap());
    let page = viewer.get("/").body;
    assert!(
        page.contains(">On Sunday the &lt;database&gt; moves.</p>") && page.contains(">Sorry</p>"),
        "{page}"
    );
}

#[test]
fn the_page_follows_the_document_and_is_not_sent_again_while_nothing_changes() {
    let stage = stage();
    let viewer = protected(&stage);
    let known = |page: &Reply| format!("If-None-Match: {}", page.header("ETag").unwrap());
    let before = viewer.get("/");
    assert_eq!(viewer.get_with("/", &known(&before)).status, 304);
    let packed = viewer.get_with("/", "Accept-Encoding: gzip");
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    stage.write(detailed().to_string().replace("\"down\"", "\"held\"").as_bytes());
    let after = viewer.get_with("/", &known(&before));
    assert_eq!(after.status, 200);
    assert!(after.body.contains("<td>held</td>"), "{}", after.body);
    // Silence alone makes it old.
    stage.pass(3600);
    let old = viewer.get_with("/", &known(&after));
    assert!(old.status == 200 && old.body.contains("<td>was held</td>"), "{}", old.body);
}

#[test]
fn of_the_past_everybody_sees_uptime_states_and_how_long_it_took_and_no_word_of_why() {
    let stage = stage();
    let mut document = detailed();
    let windows = ["1h", "24h", "7d", "30d", "90d"];
    let uptime: serde_json::Map<_, _> =
        windows.iter().map(|window| ((*window).to_owned(), json!({ "ratio": 0.5, "known": 0.25 }))).collect();
    document["services"]["db"]["uptime"] = uptime.clone().into();
    stage.write(document.to_string().as_bytes());
    let viewer = protected(&stage);
    assert_eq!(viewer.get("/api/status").json()["services"]["db"]["uptime"], json!(uptime));

    let past = viewer.get("/api/history/db").json();
    let incident = json!({ "service": "db", "began": "2025-10-27T00:00:00Z", "ended": "2025-10-27T00:30:00Z",
        "time_to_recover_s": 1800 });
    let today = json!({ "from": "2025-10-27T00:00:00Z", "ratio": 0.5, "known": 0.08333, "worst": "down" });
    assert_eq!(past["days"][89], today);
    assert_eq!(past["hours"][11], json!({ "from": "2025-10-27T00:00:00Z", "ratio": 0.5, "known": 1.0 }));
    let change = json!({ "at": "2025-10-27T00:00:20Z", "from": "up", "to": "down" });
    assert_eq!(past["transitions"], json!([change]));
    assert_eq!(past["incidents"], json!([incident]));
    let mut fields: Vec<_> = past.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["days", "hours", "incidents", "key", "stale", "transitions", "viewer"]);
    assert_eq!(viewer.get("/api/incidents").json()["incidents"], json!([incident]));

    // Who is let in sees the rest of it.
    let whole = viewer.get_with("/api/history/db", &bearer(TOKEN)).json();
    assert_eq!((&whole["days"][89]["restarts"], &whole["failures"]["24h"]["heals"]), (&json!(7), &json!(9)));
    assert_eq!(whole["latency"]["mean_ms"], 45);
    assert_eq!(
        (&whole["transitions"][0]["reason"], &whole["incidents"][0]["cause"]),
        (&json!(DETAIL), &json!(DETAIL))
    );
    let incidents = viewer.get_with("/api/incidents", &bearer(TOKEN)).json();
    assert_eq!(incidents["incidents"][0]["heals"][0]["step"], DETAIL);
}

#[test]
fn with_the_token_or_the_password_everything_is_as_it_was_written() {
    let stage = stage();
    let viewer = protected(&stage);
    for header in [bearer(TOKEN), basic("ada", PASSWORD)] {
        let status = viewer.get_with("/api/status", &header).json();
        for (field, value) in detailed().as_object().unwrap() {
            assert_eq!(&status[field], value, "{field}");
        }
        for path in DETAILS {
            let reply = viewer.get_with(path, &header);
            // Not everything is well, and that one says so.
            let expected = if path == "/health/detailed" { 503 } else { 200 };
            assert_eq!(reply.status, expected, "{path}");
            assert_eq!(reply.header("Cache-Control"), Some("private, no-cache"), "{path}");
        }
        for path in ["/api/status", "/api/status/db", "/api/history/db", "/api/incidents"] {
            let vary = viewer.get_with(path, &header).header("Vary").unwrap_or_default().to_owned();
            assert!(vary.contains("Authorization"), "{path}: {vary}");
        }
    }
}

#[test]
fn one_who_knows_the_public_answer_is_not_told_that_nothing_is_new() {
    let stage = stage();
    let viewer = protected(&stage);
    let public = viewer.get("/api/status").header("ETag").unwrap().to_owned();
    let known = format!("If-None-Match: {public}");
    assert_eq!(viewer.get_with("/api/status", &known).status, 304);
    assert_eq!(viewer.get_with("/api/status", &format!("{known}\r\n{}", bearer(TOKEN))).status, 200);
}

#[test]
fn wrong_credentials_are_refused_where_they_would_matter_and_the_public_page_stays() {
    let stage = stage();
    let viewer = protected(&stage);
    for header in [bearer("wrong"), basic("ada", "wrong"), "Authorization: Digest x".to_owned()] {
        assert_eq!(viewer.get_with("/api/status", &header).status, 401, "{header}");
        assert_eq!(viewer.get_with("/", &header).status, 200, "{header}");
        assert_eq!(viewer.get_with("/health", &header).status, 503, "{header}");
    }
    // A person gets a page that says so.
    let page = viewer.get_with("/admin", "Accept: text/html");
    assert_eq!((page.status, page.header("Content-Type")), (401, Some("text/html; charset=utf-8")));
}

#[test]
fn who_guesses_is_slowed_down_and_nobody_waits() {
    let stage = stage();
    let viewer = protected(&stage);
    // Some are forgotten while a busy machine makes them.
    let refused =
        (0..1000).map(|_| viewer.get_with("/admin", &bearer("guess"))).find(|reply| reply.status != 401);
    let refused = refused.unwrap();
    assert_eq!(refused.status, 429);
    assert!(refused.header("Retry-After").unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(viewer.get("/").status, 200);
    assert_eq!(viewer.get("/api/status").status, 200);
}

#[test]
fn no_answer_and_no_debug_output_holds_a_secret() {
    let stage = stage();
    let shown = format!("{:?}", options(&stage).guard);
    assert!(!shown.contains(TOKEN) && !shown.contains(PASSWORD), "{shown}");
    let viewer = protected(&stage);
    for path in PUBLIC.iter().chain(&DETAILS) {
        for header in [bearer(TOKEN), basic("ada", PASSWORD), bearer("wrong-but-secret-too")] {
            let whole = viewer.get_with(path, &header).whole;
            for secret in [TOKEN, PASSWORD, "wrong-but-secret-too"] {
                assert!(!whole.contains(secret), "{path}: {whole}");
            }
        }
    }
}

#[test]
fn where_nobody_may_see_the_details_nobody_is_asked_for_a_password() {
    let stage = stage();
    let viewer = run(Viewer::bind(stage.configured("public_details: false")).unwrap());
    for path in DETAILS {
        let reply = viewer.get(path);
        assert_eq!((reply.status, reply.header("WWW-Authenticate")), (403, None), "{path}");
        assert!(reply.json()["hint"].as_str().unwrap().contains("wellkeep status"));
    }
    for header in ["X: y".to_owned(), bearer(TOKEN)] {
        let reply = viewer.get_with("/api/status", &header);
        assert_eq!(reply.status, 200);
        assert!(!reply.body.contains(DETAIL), "{}", reply.body);
    }
}

#[test]
fn trouble_with_the_file_is_told_to_strangers_without_its_path() {
    let stage = stage();
    let viewer = protected(&stage);
    viewer.get("/api/status");
    let folder = stage.folder.path().display().to_string();
    let no_path = |path: &str| {
        let reply = viewer.get(path);
        assert!(!reply.whole.contains(&folder) && !reply.whole.contains(DETAIL), "{path}: {}", reply.whole);
        reply
    };
    stage.write(b"{");
    assert_eq!(no_path("/api/status").data(), "stale");
    assert_eq!(no_path("/health").status, 503);
    assert!(no_path("/badge/db.svg").body.contains("stale"));
    assert!(viewer.get_with("/api/status", &bearer(TOKEN)).reason().contains(&folder));

    let incidents = stage.folder.path().join("history/incidents.json");
    std::fs::remove_file(&incidents).unwrap();
    std::fs::create_dir(&incidents).unwrap();
    for path in ["/api/history/db", "/api/incidents"] {
        assert_eq!(no_path(path).status, 503, "{path}");
        assert!(viewer.get_with(path, &bearer(TOKEN)).whole.contains(&folder), "{path}");
    }

    let fresh = Stage::new();
    let viewer = run(Viewer::bind(fresh.configured("public_details: false")).unwrap());
    let reply = viewer.get("/api/status");
    assert_eq!((reply.status, reply.reason().as_str()), (503, "there is no status at the moment"));
}

#[test]
fn a_document_that_cannot_be_filtered_is_shown_to_nobody() {
    let stage = stage();
    let mut odd = detailed();
    odd["services"]["db"]["state"] = "of a later version".into();
    stage.write(odd.to_string().as_bytes());
    let viewer = protected(&stage);
    let reply = viewer.get("/api/status");
    assert_eq!((reply.status, reply.data().as_str()), (503, "none"));
    assert!(!reply.body.contains(DETAIL));
    assert_eq!(viewer.get("/health").status, 503);
    assert_eq!(viewer.get_with("/api/status", &bearer(TOKEN)).status, 200);
}

/// `wellkeep serve` with this configuration.
fn serve(stage: &Stage, config: &str) -> Command {
    let path = stage.folder.path().join("monitor.yml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellkeep"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(path);
    command.arg("--status-file").arg(stage.status_file());
    for variable in ["CREDENTIALS_DIRECTORY", "LISTEN_FDS", "JOURNAL_STREAM", "NOTIFY_SOCKET"] {
        command.env_remove(variable);
    }
    command
}

#[test]
fn without_its_secret_the_viewer_does_not_start() {
    let stage = stage();
    let config = "viewer: {access: {token: '${credential:viewer_token}'}}\nservices: [{key: a, port: 1}]\n";
    let ended = serve(&stage, config).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("`viewer: access: token` needs the credential viewer_token"), "{said}");
    assert!(said.contains("LoadCredential=viewer_token:/path` to the unit of the viewer"), "{said}");
}

#[test]
fn with_a_configuration_that_cannot_be_read_nobody_sees_the_details() {
    let stage = stage();
    stage.write(detailed().to_string().replace("2025-10-27T12:00:00Z", "2000-01-01T00:00:00Z").as_bytes());
    let config = "viewer: {acess: {token: '${credential:viewer_token}'}}\nservices: []\n";
    let mut child = serve(&stage, config).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let serving =
        lines.into_iter().find_map(|line| Some(line.split_once("serving on http://")?.1.to_owned()));
    let address = serving.unwrap();
    let ask = |path: &str| {
        let mut connection = TcpStream::connect(address.trim_end_matches('/')).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = Vec::new();
        connection.read_to_end(&mut reply).unwrap();
        Reply::parse(&reply)
    };
    let (status, admin) = (ask("/api/status"), ask("/admin"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((status.status, admin.status), (200, 403));
    assert!(status.body.contains("\"db\"") && !status.whole.contains(DETAIL), "{}", status.whole);
}

#[test]
fn a_stopped_monitor_is_called_that_to_everybody() {
    let stage = stage();
    let mut last: Document = document(&["web"]);
    last.monitor.state = MonitorState::Stopped;
    stage.write(&serde_json::to_vec(&last).unwrap());
    assert_eq!(protected(&stage).get("/api/status").data(), "stopped");
}
