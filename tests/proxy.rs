//! The shipped examples for reverse proxies, with the real nginx, the real Caddy and our own binary behind them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::servers::{self, Server};
use common::webdriver::Browser;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const NGINX: &str = include_str!("../packaging/examples/nginx.conf");
const CADDYFILE: &str = include_str!("../packaging/examples/Caddyfile");

/// Of the password `lovelace`. bcrypt at its cheapest: what `caddy hash-password` makes takes a second at each login.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K";

/// A text with words changed that must be there as often as it says.
fn changed(text: &str, changes: &[(&str, usize, &str)]) -> String {
    let change = |text: String, (from, times, to): &(&str, usize, &str)| {
        assert_eq!(text.matches(from).count(), *times, "{from:?} in the example");
        text.replace(from, to)
    };
    changes.iter().fold(text.to_owned(), change)
}

/// `wellkeep serve` with a fresh document.
struct Viewer {
    child: Child,
    folder: TempDir,
    /// As it is written behind `server` and `reverse_proxy`: `127.0.0.1:PORT`, or the socket's path.
    address: String,
}

impl Viewer {
    /// It listens on a free port, or on a unix socket in its folder.
    fn start(unix: bool) -> Viewer {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("viewer.sock");
        let listen = if unix { format!("unix:{}", socket.display()) } else { "127.0.0.1:0".to_owned() };
        let mut document: Value = serde_json::from_str(include_str!("widget/every-state.json")).unwrap();
        // Fresh for as long as the test may take.
        let now = jiff::Timestamp::now();
        document["generated_at"] = json!(format!("{now:.0}"));
        document["stale_after_s"] = json!(3600);
        document["boot_id"] = json!("");
        std::fs::write(folder.path().join("status.json"), document.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wellkeep"))
            .args(["serve", "--listen", &listen, "--status-file"])
            .arg(folder.path().join("status.json"))
            .arg("--config")
            .arg(folder.path().join("none.yml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines().map(Result::unwrap);
        let serving = lines.find_map(|line| Some(line.split_once("serving on ")?.1.to_owned())).unwrap();
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let address = match serving.strip_prefix("unix:") {
            Some(path) => path.to_owned(),
            None => serving.trim_start_matches("http://").trim_end_matches('/').to_owned(),
        };
        Viewer { child, folder, address }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of the proxy.
struct Visitor {
    runtime: Runtime,
    client: Client,
}

struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Visitor {
    /// For whom the names of the examples lead to `proxy`, and who trusts this certificate alone.
    fn of(proxy: SocketAddr, certificate: &str) -> Visitor {
        // A second test in this process finds it installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_only([trusted])
            .resolve("status.example.com", proxy)
            .resolve("www.example.com", proxy)
            .resolve("localhost", proxy)
            .timeout(Duration::from_secs(60));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Visitor { runtime, client: client.build().unwrap() }
    }

    fn ask(&self, method: Method, url: &str, more: impl Fn(RequestBuilder) -> RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let reply = more(self.client.request(method, url)).send().await.unwrap();
            let (status, headers) = (reply.status(), reply.headers().clone());
            Answer { status, headers, body: reply.text().await.unwrap() }
        })
    }

    fn get(&self, url: &str) -> Answer {
        self.ask(Method::GET, url, |request| request)
    }
}

/// Everything that must work below `base`, which ends in a slash.
fn works_below(visitor: &Visitor, base: &str, metrics: StatusCode) {
    let url = |path: &str| format!("{base}{path}");
    let page = visitor.get(base);
    assert_eq!(
        (page.status, page.header("content-type")),
        (StatusCode::OK, "text/html; charset=utf-8"),
        "{base}"
    );
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{base}");
    assert!(page.body.contains("src=\"static/status.js\""), "a path of its own would lead out of {base}");
    let script = visitor.get(&url("static/status.js"));
    assert_eq!(script.body, include_str!("../static/status.js"), "{base}");

    let status = visitor.get(&url("api/status"));
    let document: Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!((document["viewer"]["data"].as_str(), document["total"].as_u64()), (Some("fresh"), Some(12)));
    for path in ["api/status", "static/status.js"] {
        let tag = visitor.get(&url(path)).header("etag").to_owned();
        let again = visitor.ask(Method::GET, &url(path), |request| request.header("If-None-Match", &tag));
        assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{base}{path}");
    }
    let head = visitor.ask(Method::HEAD, &url("api/status"), |request| request);
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{base}");
    assert_eq!(head.header("content-length"), status.body.len().to_string(), "{base}");
    assert_eq!(head.header("etag"), status.header("etag"), "{base}");
    assert_eq!(visitor.ask(Method::POST, base, |request| request).status, StatusCode::METHOD_NOT_ALLOWED);

    let lost = visitor.ask(Method::GET, &url("api-x/y"), |request| request.header("Accept", "text/html"));
    assert_eq!(lost.status, StatusCode::NOT_FOUND);
    assert!(lost.body.contains("href=\"../static/status.css\""), "{}", lost.body);

    let admin = visitor.get(&url("admin"));
    assert_eq!(admin.status, StatusCode::UNAUTHORIZED, "{base}");
    assert!(admin.header("www-authenticate").starts_with("Basic "), "{base}");
    for (password, status) in [("wrong", StatusCode::UNAUTHORIZED), ("lovelace", StatusCode::OK)] {
        let asked =
            visitor.ask(Method::GET, &url("admin"), |request| request.basic_auth("ada", Some(password)));
        assert_eq!(asked.status, status, "{base} {password}");
    }
    for detour in ["%61dmin", "/admin", "admin?x", "admin/", "./admin", "ADMIN", "x/%2e%2e/admin"] {
        let asked = visitor.get(&url(detour)).status;
        assert_ne!(asked, StatusCode::OK, "{base}{detour} goes around the password");
    }

    let scrape = visitor.get(&url("metrics"));
    assert_eq!(scrape.status, metrics, "{base}");
    assert_eq!(scrape.body.contains("wellkeep_monitor_up 1"), metrics == StatusCode::OK, "{base}");
    for detour in ["%6detrics", "/metrics", "metrics?x"] {
        let asked = visitor.get(&url(detour));
        assert!(
            metrics == StatusCode::OK || !asked.body.contains("wellkeep_"),
            "{base}{detour} goes around the list of addresses"
        );
    }
}

/// Whom the examples let at /metrics: the address they name, or the one that tests come from.
#[derive(Clone, Copy)]
enum Prometheus {
    Elsewhere,
    Here,
}

impl Prometheus {
    fn address(self) -> &'static str {
        match self {
            Prometheus::Elsewhere => "192.0.2.10",
            Prometheus::Here => "127.0.0.1",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Prometheus::Elsewhere => StatusCode::FORBIDDEN,
            Prometheus::Here => StatusCode::OK,
        }
    }
}

/// nginx with the example, moved to a free port and to files of the test.
fn nginx(viewer: &Viewer, prometheus: Prometheus) -> Option<(Server, Visitor)> {
    let names = ["status.example.com", "www.example.com"].map(str::to_owned);
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = cert.pem();
    let files = [
        ("certificate.pem", certificate.as_str()),
        ("key.pem", &signing_key.serialize_pem()),
        ("passwords", "ada:{PLAIN}lovelace\n"),
    ];
    let upstream = match viewer.address.strip_prefix('/') {
        Some(path) => format!("server unix:/{path};"),
        None => format!("server {};", viewer.address),
    };
    let site = |folder: &Path, port: u16| {
        let at = |name: &str| folder.join(name).display().to_string();
        let letsencrypt = |name, file| format!("/etc/letsencrypt/live/{name}.example.com/{file}.pem");
        changed(
            NGINX,
            &[
                ("    server 127.0.0.1:9355;", 1, &upstream),
                // A free port more could be taken meanwhile.
                ("listen 80;", 1, &format!("listen unix:{};", at("plain"))),
                ("listen [::]:80;", 1, ""),
                ("listen 443 ssl;", 2, &format!("listen 127.0.0.1:{port} ssl;")),
                ("listen [::]:443 ssl;", 2, ""),
                (&letsencrypt("status", "fullchain"), 1, &at("certificate.pem")),
                (&letsencrypt("status", "privkey"), 1, &at("key.pem")),
                (&letsencrypt("www", "fullchain"), 1, &at("certificate.pem")),
                (&letsencrypt("www", "privkey"), 1, &at("key.pem")),
                (
                    "auth_basic_user_file /etc/nginx/wellkeep.htpasswd",
                    2,
                    &format!("auth_basic_user_file {}", at("passwords")),
                ),
                ("192.0.2.10", 2, prometheus.address()),
            ],
        )
    };
    let server = servers::nginx_with(site, &files)?;
    let visitor = Visitor::of(([127, 0, 0, 1], server.port).into(), &certificate);
    Some((server, visitor))
}

#[test]
fn the_nginx_example_shows_the_viewer_on_a_host_of_its_own_and_below_a_path() {
    let viewer = Viewer::start(false);
    let Some((server, visitor)) = nginx(&viewer, Prometheus::Elsewhere) else { return };
    let (own, path) = ("https://status.example.com", "https://www.example.com");
    works_below(&visitor, &format!("{own}:{}/", server.port), StatusCode::FORBIDDEN);
    works_below(&visitor, &format!("{path}:{}/wellkeep/", server.port), StatusCode::FORBIDDEN);
    let bare = visitor.get(&format!("{path}:{}/wellkeep", server.port));
    assert_eq!(bare.status, StatusCode::MOVED_PERMANENTLY);
    assert!(bare.header("location").ends_with("/wellkeep/"), "{}", bare.header("location"));

    let document = format!("{own}:{}/api/status", server.port);
    let packed = visitor.ask(Method::GET, &document, |request| request.header("Accept-Encoding", "gzip"));
    assert_eq!(packed.header("content-encoding"), "gzip");
    let tag = packed.header("etag").to_owned();
    let again = visitor.ask(Method::GET, &document, |request| {
        request.header("Accept-Encoding", "gzip").header("If-None-Match", &tag)
    });
    assert_eq!(
        again.status,
        StatusCode::NOT_MODIFIED,
        "packing makes the tag {tag} weak, and it is known all the same"
    );

    let mut plain = UnixStream::connect(server.folder().join("plain")).unwrap();
    plain.write_all(b"GET /admin HTTP/1.0\r\nHost: status.example.com\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains(" 301 ") && answer.contains("Location: https://status.example.com/admin\r\n"),
        "{answer}"
    );
}

#[test]
fn the_nginx_example_reaches_a_viewer_on_a_unix_socket_and_lets_prometheus_in() {
    let viewer = Viewer::start(true);
    let Some((server, visitor)) = nginx(&viewer, Prometheus::Here) else { return };
    let (own, path) = ("https://status.example.com", "https://www.example.com");
    works_below(&visitor, &format!("{own}:{}/", server.port), StatusCode::OK);
    works_below(&visitor, &format!("{path}:{}/wellkeep/", server.port), StatusCode::OK);
}

/// Caddy with the example, moved to a free port, without its certificates from the net.
fn caddy(viewer: &Viewer, prometheus: Prometheus) -> Option<(Server, Visitor)> {
    let upstream = match viewer.address.strip_prefix('/') {
        Some(path) => format!("reverse_proxy unix//{path} {{"),
        None => format!("reverse_proxy {} {{", viewer.address),
    };
    let caddyfile = |port: u16| {
        let site = changed(
            CADDYFILE,
            &[
                ("reverse_proxy 127.0.0.1:9355 {", 1, &upstream),
                ("\nstatus.example.com {", 1, &format!("\nhttp://status.example.com:{port} {{")),
                // A browser finds this one.
                ("\nwww.example.com {", 1, &format!("\nhttp://localhost:{port} {{")),
                ("PUT_THE_HASH_HERE", 1, HASH),
                ("192.0.2.10", 1, prometheus.address()),
            ],
        );
        format!("{{\nadmin off\nauto_https off\ndefault_bind 127.0.0.1\n}}\n{site}")
    };
    let server = servers::caddy(caddyfile)?;
    let any = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let visitor = Visitor::of(([127, 0, 0, 1], server.port).into(), &any);
    Some((server, visitor))
}

#[test]
fn the_caddy_example_shows_the_viewer_on_a_host_of_its_own_and_below_a_path() {
    for (unix, prometheus) in [(false, Prometheus::Elsewhere), (true, Prometheus::Here)] {
        let viewer = Viewer::start(unix);
        let Some((server, visitor)) = caddy(&viewer, prometheus) else { return };
        let (own, path) = ("http://status.example.com", "http://localhost");
        works_below(&visitor, &format!("{own}:{}/", server.port), prometheus.status());
        works_below(&visitor, &format!("{path}:{}/wellkeep/", server.port), prometheus.status());
        let bare = visitor.get(&format!("{path}:{}/wellkeep", server.port));
        assert!(bare.status.is_redirection() && bare.header("location") == "/wellkeep/", "{}", bare.status);
    }
}

#[test]
fn the_caddy_example_as_it_stands_lets_nobody_in_by_the_password_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Caddyfile"), CADDYFILE).unwrap();
    let validate = |what: &str| {
        let mut command = Command::new("caddy");
        command.args([what, "--adapter", "caddyfile", "--config", "Caddyfile"]).current_dir(folder.path());
        command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path()).output()
    };
    let Ok(adapted) = validate("adapt") else {
        return common::skip("caddy is missing (apt-get install caddy)");
    };
    assert!(adapted.status.success(), "{}", String::from_utf8_lossy(&adapted.stderr));
    let refused = validate("validate").unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("password"));
}

#[test]
fn a_browser_draws_the_page_below_a_path() {
    let viewer = Viewer::start(false);
    let Some((server, _)) = caddy(&viewer, Prometheus::Elsewhere) else { return };
    let Some(browser) = Browser::start().map_err(|reason| common::skip(&reason)).ok() else { return };
    browser.open(&format!("http://localhost:{}/wellkeep", server.port));
    browser.wait_until("return document.querySelectorAll('.wk-card').length === 12");
    assert_eq!(browser.run("return location.pathname"), "/wellkeep/");
    assert_eq!(
        browser.run("return [...document.querySelectorAll('a')].filter(a => !a.pathname.startsWith('/wellkeep/')).length"),
        0,
        "no link leads out of the path"
    );
    browser.open(&format!("http://localhost:{}/wellkeep/x/y", server.port));
    browser.wait_until(
        "return document.styleSheets.length === 1 && document.styleSheets[0].cssRules.length > 10",
    );
    assert!(viewer.folder.path().exists());
}
