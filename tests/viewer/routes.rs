//! What is answered where.

use crate::stage::{Stage, document};

const ROUTES: [(&str, u16, &str); 14] = [
    ("/", 200, "text/html; charset=utf-8"),
    ("/admin", 200, "text/html; charset=utf-8"),
    ("/static/status.js", 200, "text/javascript; charset=utf-8"),
    ("/static/status.css", 200, "text/css; charset=utf-8"),
    ("/favicon.svg", 200, "image/svg+xml"),
    ("/api/status", 200, "application/json"),
    ("/api/status/flask_web", 200, "application/json"),
    ("/api/openapi.json", 200, "application/json"),
    ("/api/schema/status.json", 200, "application/schema+json"),
    ("/api/schema/monitor.json", 200, "application/schema+json"),
    ("/health/detailed", 200, "application/json"),
    ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
    ("/health", 200, "application/json"),
    ("/livez", 200, "application/json"),
];

#[test]
fn every_route_answers_with_its_type_and_the_security_headers() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    for (path, status, content_type) in ROUTES {
        let reply = viewer.get(path);
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("Content-Type"), Some(content_type), "{path}");
        assert_eq!(reply.header("Cache-Control"), Some("no-cache"), "{path}");
        assert_eq!(reply.header("X-Content-Type-Options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("Referrer-Policy"), Some("no-referrer"), "{path}");
        assert_eq!(reply.header("Server"), Some("wellkeep"), "{path}");
        let policy = reply.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(reply.header("Date").is_some(), "{path}");
    }
}

#[test]
fn a_head_has_the_headers_of_a_get_and_no_body() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    for (path, status, _) in ROUTES {
        let get = viewer.get(path);
        let head =
            viewer.ask(&format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{path}");
        assert_eq!(head.header("Content-Length"), Some(get.body.len().to_string().as_str()), "{path}");
        assert_eq!(head.header("ETag"), get.header("ETag"), "{path}");
    }
}

#[test]
fn every_other_method_is_refused_everywhere_and_told_what_is_allowed() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        for path in ["/", "/api/status", "/nowhere"] {
            let reply = viewer
                .ask(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(reply.header("Allow"), Some("GET, HEAD"));
            assert!(reply.json()["hint"].is_string());
        }
    }
}

#[test]
fn what_is_not_there_is_told_in_json_and_to_a_browser_as_a_page() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    for path in
        ["/nowhere", "/static/../../etc/passwd", "/static/%2e%2e/status.js", "//", "/api", "/api/status/"]
    {
        let reply = viewer.get(path);
        assert_eq!((reply.status, reply.header("Content-Type")), (404, Some("application/json")), "{path}");
        assert!(reply.json()["error"].is_string() && reply.json()["hint"].is_string());
    }
    let page = viewer.get_with("/nowhere", "Accept: text/html,*/*");
    assert_eq!((page.status, page.header("Content-Type")), (404, Some("text/html; charset=utf-8")));
    let api = viewer.get_with("/api/nowhere", "Accept: text/html,*/*");
    assert_eq!(api.header("Content-Type"), Some("application/json"));
}

#[test]
fn a_query_is_ignored_and_the_old_icon_address_leads_to_the_new() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    assert_eq!(viewer.get("/api/status?t=1").status, 200);
    let icon = viewer.get("/favicon.ico");
    assert_eq!((icon.status, icon.header("Location")), (301, Some("favicon.svg")));
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let stage = Stage::with(&document(&["flask_web"]));
    let viewer = stage.run();
    for path in ["/", "/static/status.js", "/api/status", "/api/status/flask_web"] {
        let first = viewer.get(path);
        let known = format!("If-None-Match: {}", first.header("ETag").unwrap());
        let second = viewer.get_with(path, &known);
        assert_eq!((second.status, second.body.as_str()), (304, ""), "{path}");
        assert_eq!(second.header("ETag"), first.header("ETag"));
        assert_eq!(second.header("Cache-Control"), Some("no-cache"));
        assert_eq!(viewer.get_with(path, "If-None-Match: \"other\"").status, 200, "{path}");
    }
    let known = format!("If-None-Match: {}", viewer.get("/api/status").header("ETag").unwrap());
    stage.pass(5);
    let reply = viewer.get_with("/api/status", &known);
    assert_eq!((reply.status, reply.header("Age")), (304, Some("5")), "the age is told even so");
    stage.pass(60);
    assert_eq!(viewer.get_with("/api/status", &known).status, 200, "silence made it another answer");
}

#[test]
fn the_document_is_passed_on_as_it_was_written_with_the_viewers_word_on_top() {
    let stage = Stage::new();
    let mut written = serde_json::to_value(document(&["flask_web"])).unwrap();
    written["from_a_newer_monitor"] = serde_json::json!({ "kept": [1, 2] });
    written["services"]["flask_web"]["also_new"] = serde_json::json!(true);
    let text = serde_json::to_string_pretty(&written).unwrap();
    stage.write(text.as_bytes());
    let viewer = stage.run();

    let reply = viewer.get("/api/status");
    assert!(
        reply.body.starts_with(r#"{"stale":false,"viewer":{"data":"fresh","version":""#),
        "{}",
        reply.body
    );
    assert!(reply.body.ends_with(&text[1..]), "not a byte of the document is changed");
    let served = reply.json();
    for (field, value) in written.as_object().unwrap() {
        assert_eq!(&served[field], value, "{field}");
    }

    let service = viewer.get("/api/status/flask_web").json();
    assert_eq!(service["stale"], false);
    assert_eq!(service["viewer"]["data"], "fresh");
    for (field, value) in written["services"]["flask_web"].as_object().unwrap() {
        assert_eq!(&service[field], value, "{field}");
    }
}

#[test]
fn a_document_of_a_thousand_services_arrives_whole_with_its_length() {
    let keys: Vec<String> = (0..1000).map(|number| format!("service_{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let viewer = Stage::with(&document(&keys)).run();
    let reply = viewer.get("/api/status");
    assert_eq!(reply.header("Content-Length"), Some(reply.body.len().to_string().as_str()));
    assert_eq!(reply.json()["services"].as_object().unwrap().len(), 1000);
    assert_eq!(viewer.get("/api/status/service_999").json()["key"], "service_999");
}

#[test]
fn an_unknown_service_is_answered_with_the_nearest_key() {
    let viewer = Stage::with(&document(&["flask_web", "postgres"])).run();
    let reply = viewer.get("/api/status/flask-web");
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["error"], r#"no service has the key "flask-web""#);
    assert_eq!(reply.json()["hint"], r#"did you mean "flask_web"? /api/status lists all services"#);
}

#[test]
fn health_is_200_only_when_every_service_is_ok() {
    let stage = Stage::with(&document(&["flask_web", "postgres"]));
    let viewer = stage.run();
    let well = viewer.get("/health");
    assert_eq!((well.status, well.json()["status"].as_str()), (200, Some("ok")));

    stage.write(&serde_json::to_vec(&document(&["flask_web", "postgres!"])).unwrap());
    let ill = viewer.get("/health");
    assert_eq!((ill.status, ill.json()["status"].as_str()), (503, Some("fail")));
    assert_eq!(ill.json()["reason"], "1 of 2 services are not ok");

    stage.write(&serde_json::to_vec(&document(&[])).unwrap());
    let empty = viewer.get("/health");
    assert_eq!((empty.status, empty.json()["reason"].as_str()), (503, Some("no services are configured")));
}

#[test]
fn a_name_that_is_not_this_machines_is_turned_away_also_for_the_page() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    for path in ["/", "/api/status", "/livez"] {
        let reply =
            viewer.ask(&format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"));
        assert_eq!(reply.status, 421, "{path}");
        let hint = reply.json()["hint"].as_str().unwrap().to_owned();
        assert!(
            hint.contains("localhost") && hint.contains("proxy_set_header") && !hint.contains("web1"),
            "{hint}"
        );
    }
    let two = "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(viewer.ask(two).status, 400, "and two names are no name");
    for host in ["web1", "WEB1.local:80", "127.0.0.1", "[::1]:9355"] {
        let reply = viewer.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        assert_eq!(reply.status, 200, "{host}");
    }
}

#[test]
fn a_client_of_old_without_a_host_is_answered() {
    let viewer = Stage::with(&document(&["flask_web"])).run();
    assert_eq!(viewer.ask("GET /api/status HTTP/1.0\r\n\r\n").status, 200);
}
