//! What programs ask of the viewer: health, badges, descriptions, packed answers, dates, other origins, other addresses.

use std::io::Read;

use boon::{Compiler, Schemas};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use wellkeep::viewer::Viewer;

use crate::stage::{Reply, Running, Stage, document, run};

fn configured(stage: &Stage, settings: &str) -> Running {
    run(Viewer::bind(stage.configured(settings)).unwrap())
}

fn unpacked(reply: &Reply) -> String {
    let mut text = String::new();
    GzDecoder::new(&*reply.bytes).read_to_string(&mut text).unwrap();
    text
}

// ----- health

#[test]
fn health_in_detail_says_of_each_service_whether_it_is_well() {
    let stage = Stage::with(&document(&["web", "db!"]));
    let viewer = stage.run();
    let reply = viewer.get("/health/detailed");
    assert_eq!(reply.status, 503);
    let health = reply.json();
    assert_eq!(
        (&health["status"], &health["data"], &health["overall"]),
        (&json!("fail"), &json!("fresh"), &json!("down"))
    );
    assert_eq!(health["services"]["web"]["state"], "up");
    assert_eq!(health["services"]["db"]["ok"], false);
    stage.pass(60);
    let stale = viewer.get("/health/detailed").json();
    assert_eq!(
        (&stale["data"], &stale["overall"], &stale["age_s"]),
        (&json!("stale"), &json!("unknown"), &json!(60))
    );
}

#[test]
fn a_load_balancer_chooses_which_services_count_and_one_that_is_not_there_never_passes() {
    let stage = Stage::with(&document(&["web", "api", "db!"]));
    let viewer = stage.run();
    for path in ["/health", "/health/detailed"] {
        for (services, status) in
            [("web", 200), ("web,api", 200), ("web%2Capi", 200), ("web,db", 503), ("webb", 404), ("", 404)]
        {
            let reply = viewer.get(&format!("{path}?services={services}"));
            assert_eq!(reply.status, status, "{path} {services}: {}", reply.body);
        }
    }
    assert_eq!(viewer.get("/health?services=web,api").json()["reason"], "2 of 2 services are ok");
    stage.pass(60);
    assert_eq!(viewer.get("/health?services=web").status, 503, "of the well ones nobody knows any more");
}

#[test]
fn without_data_nothing_is_well_whatever_is_chosen() {
    let viewer = Stage::new().run();
    for path in ["/health", "/health?services=web", "/health/detailed", "/health/detailed?services=web"] {
        assert_eq!(viewer.get(path).status, 503, "{path}");
    }
}

// ----- badges

#[test]
fn a_badge_has_name_and_state_and_is_grey_and_stale_when_the_monitor_is_dead() {
    let stage = Stage::with(&document(&["web", "db!"]));
    let viewer = stage.run();
    let green = "#136b38";
    let web = viewer.get("/badge/web.svg");
    assert_eq!((web.status, web.header("Content-Type")), (200, Some("image/svg+xml")));
    assert_eq!(web.header("Cache-Control"), Some("max-age=10, must-revalidate"));
    assert!(
        web.body.contains(r#"role="img" aria-label="WEB: up""#) && web.body.contains(green),
        "{}",
        web.body
    );
    assert!(viewer.get("/badge/db.svg").body.contains("DB: down"));
    assert!(viewer.get("/badge.svg").body.contains("web1: down"));
    assert_eq!(viewer.get("/badge/nobody.svg").status, 404);
    stage.pass(12);
    let left = viewer.get("/badge/web.svg");
    assert_eq!(left.header("Cache-Control"), Some("max-age=3, must-revalidate"), "then it is stale");
    stage.pass(4);
    for path in ["/badge/web.svg", "/badge.svg"] {
        let badge = viewer.get(path).body;
        assert!(badge.contains(": stale") && !badge.contains(green), "{badge}");
    }
    let none = Stage::new().run();
    assert!(none.get("/badge/web.svg").body.contains("web: no data"));
    assert!(none.get("/badge.svg").body.contains("web1: no data"));
}

#[test]
fn a_badge_is_no_way_to_put_markup_into_a_page() {
    let mut odd = document(&["web"]);
    odd.services["web"].name = "<script>alert(1)</script>\u{0}\"".to_owned();
    let viewer = Stage::with(&odd).run();
    assert!(!viewer.get("/badge/web.svg").body.contains("<script"));
    let none = Stage::new().run();
    let asked = none.get("/badge/%3Cscript%3E\"<script>.svg");
    assert!(!asked.body.contains("<script"), "{}", asked.body);
}

// ----- descriptions

/// What the schema that OpenAPI has for an answer says against it.
fn complaint(openapi: &Value, path: &str, status: u16, body: &Value) -> Option<String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("openapi.json", openapi.clone()).unwrap();
    let path = path.replace('~', "~0").replace('/', "~1");
    let place = format!("openapi.json#/paths/{path}/get/responses/{status}/content/application~1json/schema");
    let place = place.replace('{', "%7B").replace('}', "%7D");
    let index = compiler.compile(&place, &mut schemas).unwrap_or_else(|error| panic!("{place}: {error:#}"));
    schemas.validate(body, index).err().map(|error| format!("{error:#}"))
}

#[test]
fn answers_look_as_openapi_says() {
    let stage = Stage::with(&document(&["web", "db!"]));
    let (open, closed) = (stage.run(), configured(&stage, "public_details: false"));
    let past_stage = super::history::stage();
    let (past, public_past) = (past_stage.run(), configured(&past_stage, "public_details: false"));
    let empty_stage = Stage::new();
    let empty = empty_stage.run();
    let openapi = open.get("/api/openapi.json").json();
    assert_eq!(openapi["openapi"], "3.1.0");
    for (viewer, path, route, status) in [
        (&open, "/api/status", "/api/status", 200),
        (&open, "/api/status/web", "/api/status/{key}", 200),
        (&open, "/api/status/nobody", "/api/status/{key}", 404),
        (&open, "/health", "/health", 503),
        (&open, "/health?services=web", "/health", 200),
        (&open, "/health?services=x", "/health", 404),
        (&open, "/health/detailed", "/health/detailed", 503),
        (&open, "/health/detailed?services=web", "/health/detailed", 200),
        (&open, "/livez", "/livez", 200),
        (&closed, "/api/status", "/api/status", 200),
        (&closed, "/api/status/web", "/api/status/{key}", 200),
        (&past, "/api/history/web", "/api/history/{key}", 200),
        (&past, "/api/history/nobody", "/api/history/{key}", 404),
        (&past, "/api/incidents", "/api/incidents", 200),
        (&public_past, "/api/history/web", "/api/history/{key}", 200),
        (&public_past, "/api/incidents", "/api/incidents", 200),
        (&empty, "/api/status", "/api/status", 503),
        (&empty, "/api/history/web", "/api/history/{key}", 503),
        (&empty, "/api/status/web", "/api/status/{key}", 503),
        (&empty, "/health/detailed", "/health/detailed", 503),
    ] {
        let reply = viewer.get(path);
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(complaint(&openapi, route, status, &reply.json()), None, "{path}");
    }
    assert!(complaint(&openapi, "/livez", 200, &json!({ "status": "dead" })).is_some(), "it does judge");
}

#[test]
fn the_schemas_are_those_that_the_command_line_prints() {
    let viewer = Stage::with(&document(&["web"])).run();
    for (path, name) in [
        ("/api/schema/status.json", "status.json"),
        ("/api/schema/history.json", "history"),
        ("/api/schema/incidents.json", "incidents"),
        ("/api/schema/monitor.json", "monitor.yml"),
    ] {
        let printed = std::process::Command::new(env!("CARGO_BIN_EXE_wellkeep"))
            .args(["schema", name])
            .output()
            .unwrap();
        assert_eq!(viewer.get(path).bytes, printed.stdout, "{path}");
    }
}

// ----- packed answers, tags and dates

const PACKED: [&str; 7] = [
    "/",
    "/admin",
    "/static/status.js",
    "/static/status.css",
    "/api/openapi.json",
    "/api/schema/status.json",
    "/api/status",
];

/// Long enough to be worth packing.
fn many() -> Stage {
    let keys: Vec<String> = (0..50).map(|number| format!("service_{number}")).collect();
    Stage::with(&document(&keys.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[test]
fn who_takes_gzip_gets_the_same_packed_under_the_same_weak_tag() {
    let stage = many();
    let viewer = stage.run();
    for path in PACKED {
        let plain = viewer.get(path);
        let packed = viewer.get_with(path, "Accept-Encoding: gzip, br");
        assert_eq!(packed.header("Content-Encoding"), Some("gzip"), "{path}");
        assert_eq!(plain.header("Content-Encoding"), None, "{path}");
        assert_eq!(unpacked(&packed), plain.body, "{path}");
        assert!(packed.bytes.len() < plain.bytes.len(), "{path}");
        for reply in [&plain, &packed] {
            assert_eq!(reply.header("Vary"), Some("Accept-Encoding"), "{path}");
            assert_eq!(
                reply.header("Content-Length"),
                Some(reply.bytes.len().to_string().as_str()),
                "{path}"
            );
        }
        let tag = plain.header("ETag").unwrap();
        assert_eq!(packed.header("ETag"), Some(tag), "{path}");
        assert!(tag.starts_with("W/"), "{path}: it stands for two forms");
        for form in ["Accept-Encoding: gzip", "X: y"] {
            assert_eq!(
                viewer.get_with(path, &format!("{form}\r\nIf-None-Match: {tag}")).status,
                304,
                "{path}"
            );
        }
        let head = viewer.send("HEAD", path, "Accept-Encoding: gzip\r\n");
        assert_eq!((head.bytes.len(), head.header("ETag")), (0, Some(tag)), "{path}");
        assert_eq!(head.header("Content-Length"), packed.header("Content-Length"), "{path}");
    }
}

#[test]
fn a_packed_document_is_never_that_of_another_moment() {
    let stage = many();
    let viewer = stage.run();
    let ask = || -> Value {
        serde_json::from_str(&unpacked(&viewer.get_with("/api/status", "Accept-Encoding: gzip"))).unwrap()
    };
    assert_eq!(ask()["stale"], false);
    stage.pass(16);
    assert_eq!(ask()["stale"], true, "silence alone changed it");
    let keys: Vec<String> = (0..60).map(|number| format!("other_{number}")).collect();
    stage
        .write(&serde_json::to_vec(&document(&keys.iter().map(String::as_str).collect::<Vec<_>>())).unwrap());
    assert_eq!(ask()["total"], 60);
}

#[test]
fn a_date_tells_that_nothing_changed_only_while_that_is_certain() {
    let stage = many();
    let viewer = stage.run();
    assert_eq!(
        viewer.get("/api/status").header("Last-Modified"),
        None,
        "another may follow in the same second"
    );
    stage.pass(2);
    let noon = "Mon, 27 Oct 2025 12:00:00 GMT";
    for path in ["/api/status", "/api/status/service_1"] {
        assert_eq!(viewer.get(path).header("Last-Modified"), Some(noon), "{path}");
        for (since, status) in [
            (noon, 304),
            ("Monday, 27-Oct-25 12:00:00 GMT", 304),
            ("Mon, 27 Oct 2025 12:00:01 GMT", 304),
            ("Mon, 27 Oct 2025 11:59:59 GMT", 200),
            ("yesterday", 200),
        ] {
            assert_eq!(
                viewer.get_with(path, &format!("If-Modified-Since: {since}")).status,
                status,
                "{path} {since}"
            );
        }
        let both = format!("If-Modified-Since: {noon}\r\nIf-None-Match: \"other\"");
        assert_eq!(viewer.get_with(path, &both).status, 200, "the tag goes before the date");
    }
    stage.pass(20);
    let stale = viewer.get_with("/api/status", &format!("If-Modified-Since: {noon}"));
    assert_eq!((stale.status, stale.header("Last-Modified")), (200, None), "silence made it another answer");
}

#[test]
fn what_the_front_refuses_by_itself_has_a_date_too() {
    let viewer = Stage::new().run();
    let refused = viewer.ask("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(refused.status, 400);
    assert!(httpdate::parse_http_date(refused.header("Date").unwrap()).is_ok());
}

// ----- other origins

#[test]
fn a_page_of_another_origin_reads_only_where_the_configuration_names_it() {
    let stage = many();
    let viewer = configured(&stage, "cors: ['https://example.org']");
    for path in ["/api/status", "/api/status/service_1", "/health", "/nowhere"] {
        let named = viewer.get_with(path, "Origin: https://example.org");
        assert_eq!(named.header("Access-Control-Allow-Origin"), Some("https://example.org"), "{path}");
        assert!(named.header("Access-Control-Expose-Headers").unwrap().contains("Age"));
        assert_eq!(named.header("Access-Control-Allow-Credentials"), None, "{path}");
        for other in [
            "Origin: https://evil.example",
            "Origin: null",
            "Origin: https://example.org.evil.example",
            "X: y",
        ] {
            let reply = viewer.get_with(path, other);
            assert_eq!(reply.header("Access-Control-Allow-Origin"), None, "{path} {other}");
            assert!(reply.header("Vary").unwrap().contains("Origin"), "{path}: a cache must not mix them up");
        }
    }
    let silent = stage.run().get_with("/api/status", "Origin: https://example.org");
    assert_eq!(silent.header("Access-Control-Allow-Origin"), None);
}

#[test]
fn a_browser_that_asks_beforehand_is_told_what_a_page_may_send() {
    let stage = many();
    let viewer = configured(&stage, "cors: ['https://example.org']");
    let asking = "Origin: https://example.org\r\nAccess-Control-Request-Method: GET\r\n";
    let allowed = viewer.send("OPTIONS", "/api/status", asking);
    assert_eq!((allowed.status, allowed.body.as_str()), (204, ""));
    assert_eq!(allowed.header("Access-Control-Allow-Origin"), Some("https://example.org"));
    assert_eq!(allowed.header("Access-Control-Allow-Methods"), Some("GET, HEAD"));
    let headers = allowed.header("Access-Control-Allow-Headers").unwrap();
    assert!(headers.contains("Content-Type") && !headers.contains("Authorization"), "{headers}");
    for refused in [
        "",
        "Origin: https://example.org\r\n",
        "Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n",
    ] {
        assert_eq!(viewer.send("OPTIONS", "/api/status", refused).status, 405, "{refused}");
    }
    assert_eq!(stage.run().send("OPTIONS", "/api/status", asking).status, 405);
    // It keeps the connection, and the next answer is the right one.
    let two = format!(
        "OPTIONS /api/status HTTP/1.1\r\nHost: localhost\r\n{asking}\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    assert!(viewer.ask(&two).body.contains("HTTP/1.1 200"));
}

// ----- other addresses

#[test]
fn a_proxy_may_pass_on_its_own_name_and_its_path() {
    let stage = many();
    let viewer = configured(&stage, "hosts: [status.example.org], base_path: /tools/wellkeep");
    let ask = |target: &str| {
        viewer.ask(&format!("GET {target} HTTP/1.1\r\nHost: status.example.org\r\nConnection: close\r\n\r\n"))
    };
    for path in ["/", "/admin", "/static/status.js", "/api/status", "/api/status/service_1?x=/", "/livez"] {
        let (below, above) = (ask(&format!("/tools/wellkeep{path}")), ask(path));
        assert_eq!((below.status, below.body), (200, above.body), "{path}");
    }
    let moved = ask("/tools/wellkeep");
    assert_eq!((moved.status, moved.header("Location")), (301, Some("wellkeep/")));
    for nowhere in ["/tools", "/tools/", "/tools/wellkeeper", "/tools/wellkeep/nowhere"] {
        assert_eq!(ask(nowhere).status, 404, "{nowhere}");
    }
    let evil = viewer.ask("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(evil.status, 421);
}
