//! `monitor.yml` as people write it: what loads, and what exactly is said about what does not.

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute, not their helpers")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use wellkeep::config::{self, Access, Config, Details, Login, Problems, SecretSource};
use wellkeep::probe::{self, Check, Severity};

/// The environment of every file here.
fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("5000".into()),
        "NAME" => Some("flask_web".into()),
        "SECRET" => Some("hunter2 hunter2".into()),
        _ => None,
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn load(file: &Path) -> Result<Config, Problems> {
    config::load(file, &env)
}

/// The names without their extension of the files in a folder that have this one.
fn stems(folder: &Path, extension: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_wrong_file_is_answered_with_exactly_its_message() {
    let folder = folder("invalid");
    let files = stems(&folder, "yml");
    assert_eq!(files, stems(&folder, "err"), "every NAME.yml needs its NAME.err, and the reverse");
    assert!(files.len() >= 40, "only {} wrong files", files.len());
    let bless = std::env::var_os("WELLKEEP_BLESS").is_some();
    let mut differences = String::new();
    for name in &files {
        let said = match load(&folder.join(format!("{name}.yml"))) {
            Ok(_) => "it loads\n".to_owned(),
            Err(problems) => format!("{problems}\n").replace(&format!("{}/", folder.display()), ""),
        };
        // Also when the .err files are written anew.
        assert!(!said.contains("s3cret"), "a secret is shown:\n{said}");
        let err = folder.join(format!("{name}.err"));
        let expected = std::fs::read_to_string(&err).unwrap();
        if said != expected && bless {
            std::fs::write(&err, &said).unwrap();
        } else if said != expected {
            differences.push_str(&format!("--- {name}.yml ---\n{}\n", difference(&expected, &said)));
        }
    }
    assert!(
        differences.is_empty(),
        "\n{differences}\nWELLKEEP_BLESS=1 writes what is said now into the .err files; read them then."
    );
}

/// The lines that were expected and not said (`-`), and the other way round (`+`).
fn difference(expected: &str, said: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), said.lines().collect());
    let missing = old.iter().filter(|line| !new.contains(line)).map(|line| format!("-{line}\n"));
    let added = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+{line}\n"));
    missing.chain(added).collect()
}

fn valid(name: &str) -> Config {
    load(&folder("valid").join(name)).unwrap_or_else(|problems| panic!("{problems:#}"))
}

#[test]
fn every_valid_file_loads() {
    for name in stems(&folder("valid"), "yml") {
        assert!(!valid(&format!("{name}.yml")).services.is_empty(), "{name}");
    }
}

#[test]
fn the_file_that_users_have_today_means_what_it_says() {
    let config = valid("design.yml");
    let [service] = &config.services[..] else {
        panic!("{config:?}");
    };
    assert_eq!((service.key.as_str(), service.name.as_str()), ("chatstack_web", "ChatStack Web (Flask)"));
    assert_eq!(service.timing, config::Timing::default());
    assert_eq!(config.viewer, config::Viewer::default());
    assert_eq!(config.monitor, config::Monitor::default());
    let [http, port, systemd, process] = &service.checks[..] else {
        panic!("{service:?}");
    };
    let Check::Http(http) = &*http.check else {
        panic!("{http:?}");
    };
    assert_eq!(**http, probe::http::Settings::get("http://127.0.0.1:5000/health".parse().unwrap()));
    let tcp = probe::port::Settings::Tcp { host: "127.0.0.1".into(), port: 5000 };
    assert_eq!(*port.check, Check::Port(tcp));
    let unit = "chatstack-web.service".to_owned();
    assert_eq!(*systemd.check, Check::Systemd(probe::systemd::Settings { unit }));
    let words =
        probe::process::Settings { words: vec!["gunicorn".into(), "main:app".into()], min: 1, max: None };
    assert_eq!(*process.check, Check::Process(words));
}

#[test]
fn a_short_form_means_the_same_as_its_long_form() {
    assert_eq!(valid("short.yml").services, valid("long.yml").services);
}

#[test]
fn included_files_are_read_once_by_name_and_get_the_defaults() {
    let config = valid("include.yml");
    let seen: Vec<(&str, u64)> = config
        .services
        .iter()
        .map(|service| (service.key.as_str(), service.timing.interval.as_secs()))
        .collect();
    assert_eq!(seen, [("main", 60), ("first", 60), ("second", 5)]);
}

#[test]
fn a_variable_may_stand_for_any_value_and_a_dollar_at_the_end_is_a_dollar() {
    let service = &valid("variables.yml").services[0];
    assert_eq!((service.key.as_str(), service.name.as_str()), ("flask_web", "no title: $5"));
    assert_eq!((service.timing.failure_threshold, service.primary), (4, true));
    let Check::Http(http) = &*service.checks[0].check else {
        panic!("{service:?}");
    };
    assert_eq!(http.url.as_str(), "http://127.0.0.1:5000/");
    assert_eq!(http.body.as_ref().unwrap().as_str(), "^ok$");
    assert!(matches!(&*service.checks[1].check, Check::Port(probe::port::Settings::Tcp { port: 5000, .. })));
}

#[test]
fn a_value_from_a_variable_never_changes_the_structure() {
    let text = "services:\n  - key: a\n    name: ${NAME}\n    port: 1\n";
    let env = |_: &str| Some("x\n    port: 2\n  - key: b".to_owned());
    let problems = Config::parse(text, Path::new("monitor.yml"), &env).unwrap_err();
    let said = problems.to_string();
    assert!(said.contains("services[0].name: found \"${NAME}\", whose value is not a name"), "{said}");
    let env = |_: &str| Some("x: {y} # z".to_owned());
    let config = Config::parse(text, Path::new("monitor.yml"), &env).unwrap();
    assert_eq!(config.services[0].name, "x: {y} # z");
}

#[test]
fn every_setting_of_an_http_check_arrives() {
    use probe::http::{JsonCondition, JsonExpect};
    let service = &valid("http.yml").services[0];
    let Check::Http(http) = &*service.checks[0].check else {
        panic!("{service:?}");
    };
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(http.headers, [header("Accept", "application/json"), header("X-Number", "5")]);
    assert_eq!(http.status, [200..=200, 204..=204, 300..=308]);
    assert_eq!((http.redirects, http.insecure, http.certificate_days), (3, false, 30));
    assert_eq!(http.ca_file.as_deref(), Some(Path::new("/etc/ssl/ca.pem")));
    assert_eq!(http.slow, Some(Duration::from_millis(800)));
    assert_eq!(http.shown_url(), "https://example.com:8443/health");
    let condition = |pointer: &str, expect| JsonCondition { pointer: pointer.to_owned(), expect };
    let list = serde_json::json!({"list": [1, "1", true, null, 0.5]});
    assert_eq!(
        http.json,
        [
            condition("/status", JsonExpect::Equals("ok".into())),
            condition("/n", JsonExpect::Min(1.0)),
            condition("/n", JsonExpect::Max(2.5)),
            condition("", JsonExpect::Exists),
            condition("/v", JsonExpect::Equals(list)),
        ]
    );
    let severities: Vec<Severity> = service.checks.iter().map(|check| check.severity).collect();
    assert_eq!(severities, [Severity::Critical, Severity::Warning, Severity::Critical]);
}

#[test]
fn a_secret_may_stand_in_a_header_and_in_the_hidden_parts_of_a_url() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3/cr@t?\n").unwrap();
    let token = format!("${{file:{}}}", token.display());
    let check =
        format!("http: {{url: 'https://me:{token}@h:8443/x?t={token}', headers: {{A: 'Bearer {token}'}}}}");
    let Ok(Check::Http(http)) = one_check(&check) else {
        panic!("{:?}", one_check(&check));
    };
    assert_eq!(http.headers, [("A".to_owned(), "Bearer s3/cr@t?".to_owned())]);
    assert_eq!(http.shown_url(), "https://h:8443/x");
    assert_eq!((http.url.username(), http.url.password()), ("me", Some("s3%2Fcr%40t%3F")));
    assert_eq!(http.url.query(), Some("t=s3%2Fcr%40t%3F"));
}

#[test]
fn who_may_see_the_details_is_known_without_the_secrets_which_only_the_viewer_reads() {
    // Neither the credential nor the file is there: the monitor, which reads all of this, has no use for them.
    let viewer = valid("viewer.yml").viewer;
    assert_eq!(viewer.hosts, ["status.example.org", "::1"]);
    assert_eq!(
        (viewer.base_path.as_str(), &*viewer.cors),
        ("/tools/wellkeep", &["https://example.org".to_owned()][..])
    );
    let password = SecretSource::File("/etc/wellkeep/password".into());
    let access = Access {
        token: Some(SecretSource::Credential("viewer_token".into())),
        login: Some(Login { user: "ada".into(), password }),
    };
    assert_eq!(viewer.details, Details::With(access));
}

#[test]
fn the_settings_of_monitor_and_viewer_are_read_whatever_is_wrong_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("monitor.yml");
    let settings = |text: &str| {
        std::fs::write(&path, text).unwrap();
        config::load_settings(&path, &env)
    };
    let found = settings(
        "monitor: {status_file: /run/status.json}\nviewer: {title: 'Shop on $${NAME} ${NAME}'}\nsrevices: 5\n\
         services:\n  - {key: a, http: {url: 'http://h', headers: {A: '${credential:absent}', B: '${UNSET}'}}}\n\
         include: /nonexistent.yml\n",
    )
    .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(found.monitor.status_file.as_deref(), Some(Path::new("/run/status.json")));
    assert_eq!(found.viewer.title.as_deref(), Some("Shop on ${NAME} flask_web"));
    assert_eq!(settings("services: []\n").unwrap(), config::Settings::default());
    let said =
        settings("services: []\nviewer: {refresh: 5, refresh: 6s, titel: x}\n").unwrap_err().to_string();
    let lines: Vec<&str> = said.lines().map(|line| line.rsplit_once("monitor.yml:").unwrap().1).collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("2:19: viewer.refresh: found 5, which has no unit"), "{said}");
    assert!(lines[1].contains("found this key a second time (the first is on line 2)"), "{said}");
    assert!(lines[2].ends_with("viewer.titel: unknown key; did you mean `title`?"), "{said}");
    assert!(settings("viewer: {").is_err());
}

#[test]
fn a_credential_is_no_mistake_where_only_the_unit_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("monitor.yml");
    let service = |secret: &str| format!("services: [{{key: a, url: 'http://me:{secret}@h/'}}]");
    std::fs::write(&path, service("${credential:shop}")).unwrap();
    let checked = config::check(&path, &env).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((checked.services, checked.checks), (1, 1));
    assert_eq!(checked.unread_credentials, ["shop"]);
    assert!(load(&path).is_err(), "whoever probes needs it");
    // In the unit it must be there, and what is wrong anywhere is wrong.
    let in_unit = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| folder.path().display().to_string());
    assert!(config::check(&path, &in_unit).is_err());
    std::fs::write(&path, service("${credential:../shop}")).unwrap();
    assert!(config::check(&path, &env).is_err());
    std::fs::write(&path, service("${file:/nonexistent/token}")).unwrap();
    assert!(config::check(&path, &env).is_err());
}

#[test]
fn a_service_that_is_not_on_this_machine_is_left_out_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("monitor.yml");
    let (here, elsewhere) = (folder.path().join("here"), folder.path().join("elsewhere"));
    std::fs::write(&here, "").unwrap();
    let text = format!(
        "services:\n  - {{key: a, systemd: a, if_exists: {}}}\n  - {{key: b, systemd: b, if_exists: {}}}\n  \
         - {{key: c, systemd: c, depends_on: [a, b]}}\n",
        here.display(),
        elsewhere.display()
    );
    std::fs::write(&path, text).unwrap();
    let config = load(&path).unwrap_or_else(|problems| panic!("{problems:#}"));
    let keys: Vec<&str> = config.services.iter().map(|service| service.key.as_str()).collect();
    assert_eq!(keys, ["a", "c"]);
    assert_eq!(config.services[1].depends_on, ["a"]);
    let checked = config::check(&path, &env).unwrap();
    assert_eq!((checked.services, checked.left_out), (2, vec![("b".to_owned(), elsewhere)]));
}

#[test]
fn only_regular_files_are_read_and_none_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let main = folder.path().join("monitor.yml");
    let said = move |text: &str| {
        std::fs::write(&main, text).unwrap();
        load(&main).unwrap_err().to_string()
    };
    let fifo_secret = format!(
        "services: [{{key: a, http: {{url: 'http://h', headers: {{A: '${{file:{}}}'}}}}}}]",
        fifo.display()
    );
    // A thread of its own, which the test does not wait for: a reader of a FIFO without a writer stays for ever.
    let (answer, answered) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let itself = load(&fifo).unwrap_err().to_string();
        answer.send([itself, said("include: fifo"), said(&fifo_secret)]).unwrap();
    });
    let waited = answered.recv_timeout(Duration::from_secs(10));
    let [itself, included, secret] = waited.expect("a FIFO is not waited for");
    assert!(itself.contains("cannot be read: not a regular file but a pipe"), "{itself}");
    assert!(included.contains("found \"fifo\", which is no file"), "{included}");
    assert!(secret.contains("which cannot be read: not a regular file but a pipe"), "{secret}");
}

#[test]
fn a_scalar_is_the_text_as_written_where_text_is_wanted() {
    let config = valid("oddities.yml");
    let [first, second] = &config.services[..] else {
        panic!("{config:?}");
    };
    assert_eq!(
        (first.key.as_str(), first.name.as_str(), first.group.as_deref()),
        ("123", "0x1F", Some("true"))
    );
    let Check::Process(process) = &*first.checks[0].check else {
        panic!("{first:?}");
    };
    assert_eq!(process.words, ["python", "8080", "1.10"]);
    assert_eq!((second.group.as_deref(), second.timing.failure_threshold), (Some("true"), 5));
    assert_eq!(second.depends_on, ["123"]);
}

#[test]
fn an_inherited_timeout_is_cut_to_a_shorter_interval() {
    let config = valid("timing.yml");
    let [inherits, hurries] = &config.services[..] else {
        panic!("{config:?}");
    };
    let seconds = |timing: &config::Timing| {
        [timing.interval, timing.timeout, timing.retry_interval, timing.start_grace].map(|d| d.as_secs())
    };
    assert_eq!(seconds(&inherits.timing), [20, 8, 4, 0]);
    assert_eq!(seconds(&hurries.timing), [1, 1, 1, 0]);
    assert_eq!((inherits.timing.failure_threshold, inherits.timing.success_threshold), (5, 1));
    assert_eq!((inherits.group.as_deref(), hurries.group.as_deref()), (Some("Web"), Some("DB")));
    assert_eq!(inherits.checks[0].severity, Severity::Warning);
    assert_eq!(hurries.checks[0].severity, Severity::Critical);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine_and_places_stay_right() {
    let text = "\u{feff}services:\r\n  - key: a\r\n    port: 1\r\n    interval: 1x\r\n";
    let path = Path::new("monitor.yml");
    let problems = Config::parse(text, path, &env).unwrap_err();
    assert!(problems.to_string().starts_with("monitor.yml:4:15: "), "{problems}");
    assert!(Config::parse(&text.replace("1x", "1s"), path, &env).is_ok());
}

#[test]
fn for_a_terminal_the_line_stands_below_its_problem_with_a_caret() {
    let text = "services:\n  - key: a\n    port: 1\n    name: é\n    interval: 10 parsecs\n";
    let problems = Config::parse(text, Path::new("monitor.yml"), &env).unwrap_err();
    assert_eq!(
        format!("{problems:#}"),
        "monitor.yml:5:15: services[0].interval: found \"10 parsecs\", which is not a duration; \
         write for example 10s, 5m or 1h30m\n  5 |     interval: 10 parsecs\n    |               ^"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str| load(&folder.path().join(name)).unwrap_err().to_string();
    assert!(said("monitor.yml").ends_with(
        "/monitor.yml: cannot be read: No such file or directory; write it, or name another file with --config"
    ));
    assert!(said("").contains(": cannot be read: Is a directory; "));
    std::fs::write(folder.path().join("large.yml"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(said("large.yml").contains(": is larger than 1 MiB; "));
}

/// What a service with this one check comes to, or what is said.
fn one_check(check: &str) -> Result<Check, String> {
    let text = format!("services: [{{key: a, {check}}}]");
    match Config::parse(&text, Path::new("monitor.yml"), &env) {
        Ok(config) => Ok((*config.services[0].checks[0].check).clone()),
        Err(problems) => Err(problems.to_string()),
    }
}

#[test]
fn a_unit_has_its_name_by_the_rules_of_systemd() {
    let longest = "a".repeat(247);
    for (written, expected) in [
        ("nginx", Some("nginx.service")),
        ("nginx.socket", Some("nginx.socket")),
        ("python3.11", Some("python3.11.service")),
        ("app@", None),
        ("app@.timer", None),
        ("app@1", Some("app@1.service")),
        ("app@a@b.service", Some("app@a@b.service")),
        ("dev-disk-by\\x2dlabel-x.device", Some("dev-disk-by\\x2dlabel-x.device")),
        ("a:b_c-d", Some("a:b_c-d.service")),
        ("ünit", None),
        ("a b", None),
        ("*", None),
        (&longest, Some(&format!("{longest}.service"))),
        (&"a".repeat(248), None),
    ] {
        let found = one_check(&format!("systemd: '{written}'"));
        let expected =
            expected.map(|unit| Check::Systemd(probe::systemd::Settings { unit: unit.to_owned() }));
        assert_eq!(found.clone().ok(), expected, "{written}: {found:?}");
    }
}

#[test]
fn a_url_may_name_a_unix_socket() {
    for (written, socket, url, shown) in [
        (
            "http://unix:/run/a.sock:/health?x=1",
            "/run/a.sock",
            "http://localhost/health?x=1",
            "http://unix:/run/a.sock:/health",
        ),
        ("http://unix:/run/a.sock", "/run/a.sock", "http://localhost/", "http://unix:/run/a.sock:/"),
        ("http://unix:/run/a:b.sock:/", "/run/a:b.sock", "http://localhost/", "http://unix:/run/a:b.sock:/"),
    ] {
        let Ok(Check::Http(http)) = one_check(&format!("url: '{written}'")) else {
            panic!("{written}");
        };
        assert_eq!(http.unix_socket.as_deref(), Some(Path::new(socket)), "{written}");
        assert_eq!((http.url.as_str(), http.shown_url().as_str()), (url, shown));
    }
}

#[test]
fn the_viewer_listens_on_an_address_with_a_port_or_on_a_unix_socket() {
    use config::{Listen, parse_listen};
    assert_eq!(parse_listen("[::1]:0"), Ok(Listen::Tcp("[::1]:0".parse().unwrap())));
    assert_eq!(parse_listen("unix:/run/v.sock"), Ok(Listen::Unix("/run/v.sock".into())));
    let said = |text| parse_listen(text).unwrap_err();
    assert_eq!(said("localhost:80"), "it is a name and not an address; write 127.0.0.1:80");
    assert!(said(":9355").contains("write 127.0.0.1:9355 for this machine alone"));
    for wrong in ["", "9355", "example.com", "unix:", "unix:v.sock", "127.0.0.1", "[::1]", "1.2.3.4:70000"] {
        assert!(parse_listen(wrong).is_err(), "{wrong}");
    }
}

/// The shipped example, as it is and with all that is switched off in it switched on.
#[test]
fn the_shipped_example_loads_and_so_does_all_that_is_commented_out_in_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/monitor.yml");
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("shop_token"), "s3cret\n").unwrap();
    let any = |_: &str| Some(credentials.path().display().to_string());
    let shipped = config::load(&path, &any).unwrap_or_else(|problems| panic!("{problems:#}"));
    assert_eq!(shipped.viewer, config::Viewer::default());
    let text = std::fs::read_to_string(&path).unwrap();
    let switched_on: Vec<&str> = text
        .lines()
        .map(|line| if line.starts_with("##") { "" } else { line.strip_prefix('#').unwrap_or(line) })
        .collect();
    let all =
        Config::parse(&switched_on.join("\n"), &path, &any).unwrap_or_else(|problems| panic!("{problems:#}"));
    assert_eq!(all.services.len(), shipped.services.len() + 3);
    let shop = all.services.iter().find(|service| service.key == "shop").unwrap();
    assert_eq!(shop.timing, config::Timing::default(), "the example calls these the defaults");
}

/// Texts that nobody would write: pieces of valid files put together, with bytes changed.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let whole: Vec<String> = ["valid", "invalid"]
        .iter()
        .flat_map(|name| {
            stems(&folder(name), "yml").into_iter().map(move |stem| folder(name).join(stem + ".yml"))
        })
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        .collect();
    let cut = (proptest::sample::select(whole), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let piece = cut.prop_map(|(text, from, to)| {
        let bytes = text.as_bytes();
        let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
        bytes[from.min(to)..from.max(to)].to_vec()
    });
    let odd = proptest::sample::select(b"\0\t\n\r !\"#$%&'*,-.:<>?@[]{}|~\\`/0a\xff\xc3".to_vec());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), odd), 0..4);
    (prop::collection::vec(piece, 1..3), changes).prop_map(|(pieces, changes)| {
        let mut text = pieces.concat();
        for (at, byte) in changes {
            text.insert(at.index(text.len() + 1), byte);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_whatever_makes_it_panic_and_every_problem_has_its_place(
        bytes in prop_oneof![4 => broken(), 1 => prop::collection::vec(any::<u8>(), 0..200)]
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.yml");
        std::fs::write(&path, &bytes).unwrap();
        if let Err(problems) = load(&path) {
            prop_assert!(problems.count() > 0);
            let said = format!("{problems:#}");
            prop_assert!(!said.is_empty());
            // YAML knows more line breaks than `lines`.
            let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
            let lines = String::from_utf8_lossy(&bytes).split(breaks).count();
            for problem in problems.iter() {
                let line = problem.place.map_or(1, |place| place.line);
                prop_assert!(problem.path.is_empty() || problem.place.is_some(), "{}", problem);
                prop_assert!((1..=lines + 1).contains(&line), "{}", problem);
            }
        }
    }
}
