//! Servers that behave badly, and a monitor in trouble of its own.

use super::*;

#[test]
fn a_port_on_which_nobody_listens_is_refused() {
    let port = free_port();
    let report = run(&get(&format!("http://127.0.0.1:{port}/health")));
    assert_eq!(reason(&report), format!("connection refused by 127.0.0.1:{port}"));
    assert_eq!((detail(&report).status_code, detail(&report).latency_ms), (None, None));
    let reason = failure(&get(&format!("http://localhost:{port}/health")));
    assert!(reason.starts_with(&format!("connection refused by localhost:{port} (")), "{reason}");
}

#[test]
fn a_server_that_accepts_and_never_answers_times_out_waiting_for_the_first_byte() {
    let report = run_for(&at(silent()), SHORT);
    let reason = reason(&report);
    assert!(
        reason.starts_with("timed out after 300 ms waiting for the first byte (connected in "),
        "{reason}"
    );
}

#[test]
fn a_server_whose_queue_is_full_times_out_in_connect() {
    let (address, _full) = full_queue();
    for scheme in ["http", "https"] {
        let mut settings = get(&format!("{scheme}://{address}/"));
        settings.insecure = true;
        let expected = format!("timed out after 300 ms in connect to {address}");
        assert_eq!(reason(&run_for(&settings, SHORT)), expected);
    }
}

#[test]
fn probes_side_by_side_on_one_client_keep_their_reasons_apart() {
    let fine = at(answering(b"HTTP/1.1 200 OK\r\n\r\n"));
    let drip = at(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x", Duration::from_secs(1)));
    let (silent, refused) = (at(silent()), get(&format!("http://127.0.0.1:{}/", free_port())));
    let client = std::sync::Arc::new(Client::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let kinds = [fine, drip, silent, refused];
        let start = |number: usize| {
            let (client, settings) = (client.clone(), kinds[number % 4].clone());
            tokio::spawn(async move { probe(&client, &settings, SHORT, NOW).await })
        };
        let all: Vec<_> = (0..32).map(start).collect();
        for (number, report) in all.into_iter().enumerate() {
            let report = report.await.unwrap();
            match number % 4 {
                0 => assert_eq!(report.outcome, Outcome::PASS),
                1 => assert!(reason(&report).contains("reading the body (got 1 byte)"), "{report:?}"),
                2 => assert!(reason(&report).contains("waiting for the first byte"), "{report:?}"),
                _ => assert!(reason(&report).starts_with("connection refused by"), "{report:?}"),
            }
        }
    });
}

#[test]
fn a_server_that_drips_its_body_times_out_reading_it() {
    let drip = dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", b"x", Duration::from_secs(1));
    let report = run_for(&at(drip), SHORT);
    assert_eq!(reason(&report), "timed out after 300 ms reading the body (got 1 byte)");
    assert_eq!(detail(&report).status_code, Some(200));
}

#[test]
fn a_wrong_status_says_more_than_a_body_that_does_not_end() {
    let drip = dripping(b"HTTP/1.1 503 x\r\n\r\n", b"wait ", Duration::from_secs(1));
    let reason = reason(&run_for(&at(drip), SHORT)).to_owned();
    assert_eq!(reason, "status 503 Service Unavailable, expected 200-299; body: \"wait\"");
}

#[test]
fn an_endless_body_is_judged_by_its_beginning() {
    let endless = dripping(b"HTTP/1.1 200 OK\r\n\r\nok ", b"more and more ", Duration::ZERO);
    let mut settings = at(endless);
    assert_eq!(run(&settings).outcome, Outcome::PASS);
    settings.body = Some(regex::Regex::new("^ok").unwrap());
    assert_eq!(run(&settings).outcome, Outcome::PASS);
    settings.body = Some(regex::Regex::new("end$").unwrap());
    assert!(failure(&settings).starts_with("body does not match /end$/; body: \"ok more and more "));
}

#[test]
fn endless_headers_end_the_probe_before_its_time() {
    let endless = dripping(b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n", Duration::ZERO);
    assert_eq!(failure(&at(endless)), "headers too large or endless");
    let one = dripping(b"HTTP/1.1 200 OK\r\nx-long: ", b"and more and more ", Duration::ZERO);
    assert_eq!(failure(&at(one)), "headers too large or endless");
}

#[test]
fn a_server_that_hangs_up_is_told_from_one_that_resets() {
    let hangs_up = bad_server(|connection| {
        read_request(&connection);
    });
    assert_eq!(failure(&at(hangs_up)), format!("{hangs_up} closed the connection without an answer"));

    let resets = bad_server(|connection| {
        read_request(&connection);
        reset(connection);
    });
    assert_eq!(failure(&at(resets)), format!("connection reset by {resets} before an answer"));
}

#[test]
fn a_body_that_breaks_off_is_a_failure() {
    let short = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf of it");
    assert_eq!(failure(&at(short)), "the body broke off after 10 bytes");

    let resets = bad_server(|mut connection| {
        read_request(&connection);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf of it");
        // The client must have read it, or the reset takes it away.
        std::thread::sleep(Duration::from_secs(1));
        reset(connection);
    });
    assert_eq!(failure(&at(resets)), "connection reset while reading the body (got 10 bytes)");
}

fn reset(connection: std::net::TcpStream) {
    let connection = socket2::Socket::from(connection);
    connection.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn what_does_not_speak_http_is_told_apart() {
    let ssh = answering(b"SSH-2.0-OpenSSH_9.2p1\r\n");
    let reason = failure(&at(ssh));
    assert!(reason.starts_with(&format!("{ssh} does not answer in HTTP: ")), "{reason}");
}

#[test]
fn a_name_that_nobody_has_is_named() {
    // A label of 70 letters: no name server is asked, so this holds on a machine without one.
    let nobody = format!("{}.invalid", "nobody-".repeat(10));
    let reason = failure(&get(&format!("http://user:password@{nobody}/?token=secret")));
    assert!(reason.starts_with(&format!("name {nobody} does not resolve: ")), "{reason}");
}

#[test]
fn the_proxies_of_the_environment_are_ignored() {
    const MARK: &str = "WELLKEEP_TEST_BEHIND_A_PROXY";
    if let Ok(url) = std::env::var(MARK) {
        assert_eq!(run(&get(&url)).outcome, Outcome::PASS);
        return;
    }
    let address = answering(b"HTTP/1.1 200 OK\r\n\r\n");
    let test = "bad_servers::the_proxies_of_the_environment_are_ignored";
    in_a_process_of_its_own(test, (MARK, &format!("http://{address}/")), |process| {
        for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"] {
            process.env(variable, "http://127.0.0.1:1");
        }
        process.env_remove("no_proxy").env_remove("NO_PROXY");
    });
}

#[test]
fn a_process_without_file_descriptors_cannot_tell() {
    const MARK: &str = "WELLKEEP_TEST_WITHOUT_DESCRIPTORS";
    let Ok(port) = std::env::var(MARK) else {
        let address = answering(b"HTTP/1.1 200 OK\r\n\r\n");
        let test = "bad_servers::a_process_without_file_descriptors_cannot_tell";
        in_a_process_of_its_own(test, (MARK, &address.port().to_string()), |process| {
            process.env("DESCRIPTORS", "20");
        });
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    let timeout = Duration::from_secs(10);
    for host in ["127.0.0.1", "localhost"] {
        let settings = get(&format!("http://{host}:{port}/"));
        let http = runtime.block_on(probe(&client, &settings, timeout, NOW));
        assert!(unknown(&http).contains("file descriptor"), "{http:?}");
        let settings = probe::port::Settings::Tcp { host: host.into(), port: port.parse().unwrap() };
        let port = runtime.block_on(probe::port::probe(&settings, timeout));
        assert!(unknown(&port).contains("file descriptor"), "{port:?}");
    }
    drop(hoard);
    let well = runtime.block_on(probe(&client, &get(&format!("http://127.0.0.1:{port}/")), timeout, NOW));
    assert_eq!(well.outcome, Outcome::PASS);
}
