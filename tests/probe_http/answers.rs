//! Answers: what passes, and what is said of what does not.

use super::*;

#[test]
fn nginx_passes_with_status_latency_and_steps() {
    let Some(nginx) = nginx("", "location / { return 200 'fine'; }", &[]) else {
        return;
    };
    let settings = get(&format!("http://127.0.0.1:{}/health?token=secret", nginx.port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(probe_with_steps(&Client::new(), &settings, Duration::from_secs(10), NOW));
    assert_eq!(report.outcome, Outcome::PASS);
    assert_eq!(detail(&report).status_code, Some(200));
    assert!(detail(&report).latency_ms.is_some());
    assert_eq!(detail(&report).url, format!("http://127.0.0.1:{}/health", nginx.port));
    let steps: Vec<_> = report.steps.iter().map(|step| (step.name, step.note.as_str())).collect();
    let server = format!("127.0.0.1:{}", nginx.port);
    assert_eq!(steps, [("connect", &*server), ("first byte", "status 200 OK"), ("body", "4 bytes")]);
}

#[test]
fn a_python_server_passes_by_name_and_its_404_is_shown() {
    let Some(python) = python() else { return };
    let mut settings = get(&format!("http://localhost:{}/health", python.port));
    settings.json =
        vec![JsonCondition { pointer: "/status".into(), expect: JsonExpect::Equals("ok".into()) }];
    assert_eq!(run(&settings).outcome, Outcome::PASS);
    let missing = failure(&get(&format!("http://localhost:{}/missing", python.port)));
    assert!(
        missing.starts_with("status 404 Not Found, expected 200-299; body: \"<!DOCTYPE HTML>"),
        "{missing}"
    );
}

#[test]
fn http_over_a_unix_socket_passes() {
    let Some((server, path)) = python_on_a_unix_socket() else {
        return;
    };
    let mut settings = get("http://localhost/health");
    settings.unix_socket = Some(path.clone());
    settings.body = Some(regex::Regex::new("^host localhost$").unwrap());
    let report = run(&settings);
    assert_eq!(report.outcome, Outcome::PASS);
    assert_eq!(detail(&report).url, format!("http://unix:{}:/health", path.display()));
    drop(server);
    assert_eq!(failure(&settings), format!("there is no socket {}", path.display()));
}

#[test]
fn ipv6_passes() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return common::skip("this host has no IPv6 loopback");
    }
    let address = bad_server_on("[::1]:0", |mut connection| {
        read_request(&connection);
        let _ = connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });
    assert_eq!(run(&at(address)).outcome, Outcome::PASS);
}

#[test]
fn headers_are_sent_and_an_invalid_one_is_named_without_its_value() {
    let (address, heard) = listening(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut settings = at(address);
    settings.headers = vec![("X-Token".into(), "secret".into()), ("host".into(), "web.example".into())];
    assert_eq!(run(&settings).outcome, Outcome::PASS);
    let request = heard.recv().unwrap();
    assert!(request.starts_with("get /health http/1.1"), "{request}");
    assert!(request.contains("\nx-token: secret") && request.contains("\nhost: web.example"), "{request}");
    assert_eq!(request.matches("\nhost:").count(), 1, "{request}");
    assert!(request.contains("\nuser-agent: wellkeep/"), "{request}");

    settings.url.set_username("user").unwrap();
    settings.url.set_password(Some("password")).unwrap();
    assert_eq!(run(&settings).outcome, Outcome::PASS);
    let request = heard.recv().unwrap();
    assert!(request.contains("\nauthorization: basic "), "{request}");

    settings.headers = vec![("X-Token".into(), "sec\nret".into())];
    let report = run(&settings);
    assert_eq!(unknown(&report), "header \"X-Token\" cannot be sent: its value is not valid in HTTP");
}

#[test]
fn a_wrong_status_shows_the_body_cut_and_escaped() {
    let text: &'static [u8] =
        "HTTP/1.1 500 Internal Server Error\r\n\r\n\u{1b}[31mKaputt: \"größer\"\n".as_bytes();
    let expected =
        "status 500 Internal Server Error, expected 200-299; body: \"\\u{1b}[31mKaputt: \"größer\"\"";
    assert_eq!(failure(&at(answering(text))), expected);

    let binary = failure(&at(answering(b"HTTP/1.1 502 Bad Gateway\r\n\r\n\x00\xff\xfe")));
    assert_eq!(binary, "status 502 Bad Gateway, expected 200-299; body: \"\\0\u{fffd}\u{fffd}\"");

    let long = dripping("HTTP/1.1 599 x\r\n\r\nä".as_bytes(), "€".as_bytes(), Duration::ZERO);
    let long = failure(&at(long));
    assert_eq!(long, format!("status 599, expected 200-299; body: \"ä{}…\"", "€".repeat(199)));

    let mut settings = at(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    settings.status = vec![301..=301, 400..=499];
    assert_eq!(failure(&settings), "status 200 OK, expected 301, 400-499; the body is empty");
}

#[test]
fn a_body_that_does_not_match_is_a_failure() {
    let mut settings = at(answering(b"HTTP/1.1 200 OK\r\n\r\nall is lost"));
    settings.body = Some(regex::Regex::new("is (well|fine)").unwrap());
    assert_eq!(failure(&settings), "body does not match /is (well|fine)/; body: \"all is lost\"");
    settings.body = Some(regex::Regex::new("lost$").unwrap());
    assert_eq!(run(&settings).outcome, Outcome::PASS);
}

#[test]
fn json_conditions_say_what_stands_there_instead() {
    let answer = b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"degraded\",\"queue\":120,\"checks\":[{\"ok\":null}]}";
    let mut settings = at(answering(answer));
    let mut judge = |pointer: &str, expect: JsonExpect| {
        let pointer = pointer.to_owned();
        settings.json = vec![JsonCondition { pointer, expect }];
        match run(&settings).outcome {
            Outcome::Pass { .. } => String::new(),
            Outcome::Fail { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        judge("/status", JsonExpect::Equals("ok".into())),
        "JSON /status is \"degraded\", expected \"ok\""
    );
    assert_eq!(judge("/queue", JsonExpect::Max(100.0)), "JSON /queue is 120, expected at most 100");
    assert_eq!(judge("/queue", JsonExpect::Min(120.5)), "JSON /queue is 120, expected at least 120.5");
    assert_eq!(judge("/gone", JsonExpect::Exists), "JSON /gone is missing, expected anything");
    assert_eq!(judge("/checks/0/ok", JsonExpect::Exists), "");
    assert_eq!(judge("/queue", JsonExpect::Equals(120.0.into())), "");
    assert_eq!(judge("/queue", JsonExpect::Max(120.0)), "");
}

#[test]
fn a_body_that_is_no_json_or_too_long_for_it_is_a_failure() {
    let mut settings = at(answering(b"HTTP/1.1 200 OK\r\n\r\n<html>"));
    settings.json = vec![JsonCondition { pointer: "/status".into(), expect: JsonExpect::Exists }];
    let reason = failure(&settings);
    assert_eq!(reason, "body is not JSON (expected value at line 1 column 1); body: \"<html>\"");
    settings.url = at(dripping(b"HTTP/1.1 200 OK\r\n\r\n[0", b",0", Duration::ZERO)).url;
    assert_eq!(failure(&settings), "body is larger than 64 KiB, and is not read as JSON further than that");
}

#[test]
fn an_answer_slower_than_asked_for_passes_with_a_warning() {
    let mut settings = at(answering(b"HTTP/1.1 200 OK\r\n\r\n"));
    settings.slow = Some(Duration::from_nanos(1));
    let Outcome::Pass { warning: Some(warning) } = run(&settings).outcome else { panic!() };
    assert!(warning.starts_with("slow: answered in "), "{warning}");
    settings.slow = Some(Duration::from_secs(5));
    assert_eq!(run(&settings).outcome, Outcome::PASS);
}
