//! The page: whether it answers where it should, and from the right file.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::finding::Finding;
use super::units::VIEWER;
use crate::cli::serve::{ADDRESS_FILE, owner_of, shown};
use crate::config::{self, Details, Listen};
use crate::status::{Document, Mode, Timestamp};

/// For each step of an answer, and for all of it.
const STEP: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(3);
/// As large as a document may be.
const SIZE_LIMIT: usize = 64 * 1024 * 1024;

/// What was read.
#[derive(Debug)]
pub(super) struct Page {
    configured: Listen,
    /// Whether it is to keep the details from some.
    has_secrets: bool,
    /// Where it wrote that it really listens.
    written: Option<Listen>,
    /// Who answers there.
    answer: Answer,
    /// Which process has the port, if another one may be in the way.
    owner: Option<String>,
    /// Which document it shows.
    shows: Option<Shown>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Viewer {
        version: String,
    },
    /// Something answers that is no viewer.
    Stranger,
    Nobody(ErrorKind),
}

/// The parts of a document by which it is told from another.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Shown {
    mode: Mode,
    /// Absent where the details are not for everybody: then it cannot be told whose document it is.
    monitor: Option<ShownMonitor>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ShownMonitor {
    pid: u32,
    started_at: Timestamp,
}

impl Page {
    /// Asks it, for 6 s at most.
    pub(super) fn read(root: &Path, viewer: config::Viewer) -> Page {
        let (configured, has_secrets) = (viewer.listen, viewer.details != Details::Everybody);
        let file = root.join(ADDRESS_FILE.trim_start_matches('/'));
        let written = std::fs::read_to_string(file).ok();
        let written = written.and_then(|text| config::parse_listen(text.trim()).ok());
        let address = written.clone().unwrap_or_else(|| configured.clone());
        let answer = ask(&address);
        let shows = match &answer {
            Answer::Viewer { .. } => {
                get(&address, "/api/status").ok().and_then(|body| serde_json::from_slice(&body).ok())
            }
            _ => None,
        };
        let owner = match (&answer, &address) {
            (Answer::Viewer { .. }, _) | (_, Listen::Unix(_)) => None,
            (_, Listen::Tcp(address)) => owner_of(*address),
        };
        Page { configured, has_secrets, written, answer, owner, shows }
    }

    /// `is_up`: whether systemd says that the viewer runs; none where it was not asked.
    pub(super) fn judge(&self, is_up: Option<bool>, document: Option<&Document>) -> Vec<Finding> {
        let address = self.written.as_ref().unwrap_or(&self.configured);
        let what = shown(address);
        let mut findings = match &self.answer {
            Answer::Viewer { version } => vec![Finding::ok(&what, format!("answers (version {version})"))],
            Answer::Stranger => vec![self.taken(&what)],
            Answer::Nobody(ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                vec![self.silent(&what, is_up)]
            }
            Answer::Nobody(_) if self.owner.is_some() && is_up != Some(true) => vec![self.taken(&what)],
            Answer::Nobody(kind) => vec![
                Finding::problem(&what, format!("takes the connection and gives no answer ({kind})"))
                    .advise("The viewer hangs, or something stands in between:")
                    .run(format!("sudo systemctl restart {VIEWER}")),
            ],
        };
        if self.written.as_ref().is_some_and(|written| *written != self.configured) {
            let found = format!("listens here and not on {}, as configured", shown(&self.configured));
            findings.push(
                Finding::note(&what, found)
                    .advise("That port was taken (`port_fallback`), or the configuration changed since. To try again:")
                    .run(format!("sudo systemctl restart {VIEWER}")),
            );
        }
        if let Listen::Tcp(tcp) = address
            && !tcp.ip().is_loopback()
        {
            let found = match self.has_secrets {
                true => {
                    "other machines can reach it, in plain text: whoever listens on the way learns the credentials"
                }
                false => "other machines can reach it, in plain text and without a password",
            };
            findings.push(
                Finding::warning(&what, found)
                    .advise(format!(
                        "Let it listen on this machine alone (`viewer: {{listen: 127.0.0.1:{}}}` in the configuration), \
                         put a reverse proxy with TLS in front, and restart it:",
                        tcp.port()
                    ))
                    .run(format!("sudo systemctl restart {VIEWER}")),
            );
        }
        findings.extend(self.judge_document(&what, document));
        findings
    }

    fn taken(&self, what: &str) -> Finding {
        let owner = self.owner.as_deref().unwrap_or("another program");
        let port = match &self.configured {
            Listen::Tcp(address) => address.port(),
            Listen::Unix(_) => 0,
        };
        Finding::problem(what, format!("{owner} has this port, so the page cannot be there"))
            .advise(format!(
                "End that, or give the page another port (`viewer: {{listen: 127.0.0.1:{}}}` in the configuration):",
                port.wrapping_add(1)
            ))
            .run(format!("sudo ss --listening --tcp --numeric --processes 'sport = :{port}'"))
            .run(format!("sudo systemctl restart {VIEWER}"))
    }

    fn silent(&self, what: &str, is_up: Option<bool>) -> Finding {
        match is_up {
            Some(true) => Finding::problem(what, "nobody listens there, though the viewer's unit runs")
                .advise("Its log says where it listens, or why not:")
                .run(format!("sudo journalctl -u {VIEWER} -n 20 --no-pager")),
            Some(false) => Finding::note(what, "nobody listens there, as the viewer does not run")
                .advise("If the page is wanted, see to its unit (above)."),
            None => {
                Finding::note(what, "nobody listens there").advise("To have the page:").run("wellkeep serve")
            }
        }
    }

    fn judge_document(&self, what: &str, document: Option<&Document>) -> Option<Finding> {
        let Answer::Viewer { .. } = &self.answer else { return None };
        let shown = self.shows.as_ref();
        let restart = |finding: Finding| {
            finding
                .advise("Both read `monitor: {status_file: ...}` of the configuration, unless their units say otherwise:")
                .run("systemctl show -P Environment -P ExecStart wellkeep-monitor wellkeep-viewer")
                .run(format!("sudo systemctl restart {VIEWER}"))
        };
        match (shown, document) {
            (Some(shown), Some(_)) if shown.mode == Mode::LiveChecks => Some(restart(Finding::problem(
                what,
                "shows its own look at the services, and not the monitor's document",
            ))),
            (Some(shown), Some(document)) => {
                let theirs = shown.monitor.as_ref().map(|theirs| (theirs.pid, theirs.started_at));
                let is_same =
                    theirs.is_none_or(|theirs| theirs == (document.monitor.pid, document.monitor.started_at));
                (!is_same).then(|| restart(Finding::problem(what, "shows the document of another monitor")))
            }
            (None, Some(_)) => {
                Some(restart(Finding::problem(what, "shows no document, though there is one")))
            }
            (_, None) => None,
        }
    }
}

/// Who answers on an address.
fn ask(address: &Listen) -> Answer {
    #[derive(Deserialize)]
    struct Alive {
        status: String,
        version: String,
    }
    match get(address, "/livez") {
        Ok(body) => match serde_json::from_slice(&body) {
            Ok(Alive { status, version }) if status == "ok" => Answer::Viewer { version },
            _ => Answer::Stranger,
        },
        // It speaks, and not HTTP.
        Err(error) if error.kind() == ErrorKind::InvalidData => Answer::Stranger,
        Err(error) => Answer::Nobody(error.kind()),
    }
}

/// The body of what is answered with 200; by hand, because a probe's client would need a runtime and an authority.
fn get(address: &Listen, path: &str) -> io::Result<Vec<u8>> {
    match address {
        Listen::Tcp(address) => {
            let mut address = *address;
            // Who listens on all addresses is asked on this machine's own.
            if address.ip().is_unspecified() {
                address.set_ip(if address.is_ipv4() {
                    [127, 0, 0, 1].into()
                } else {
                    std::net::Ipv6Addr::LOCALHOST.into()
                });
            }
            let stream = TcpStream::connect_timeout(&address, STEP)?;
            stream.set_read_timeout(Some(STEP))?;
            stream.set_write_timeout(Some(STEP))?;
            exchange(stream, path)
        }
        Listen::Unix(socket) => {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(STEP))?;
            stream.set_write_timeout(Some(STEP))?;
            exchange(stream, path)
        }
    }
}

/// HTTP/1.0, so that the answer ends with the connection.
fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<Vec<u8>> {
    let end = Instant::now() + LIMIT;
    // In one piece: who answers and hangs up after the first would break the writing of the second.
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut chunk)? {
            0 => break,
            count => answer.extend_from_slice(&chunk[..count]),
        }
        if Instant::now() > end {
            return Err(ErrorKind::TimedOut.into());
        }
        if answer.len() > SIZE_LIMIT {
            return Err(ErrorKind::InvalidData.into());
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(&answer) {
        Ok(httparse::Status::Complete(head)) => head,
        _ => return Err(ErrorKind::InvalidData.into()),
    };
    match response.code {
        Some(200) => Ok(answer.split_off(head)),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::cli::testing::{at, document};

    fn listen(text: &str) -> Listen {
        config::parse_listen(text).unwrap()
    }

    fn page() -> Page {
        Page {
            configured: listen("127.0.0.1:9355"),
            has_secrets: false,
            written: Some(listen("127.0.0.1:9355")),
            answer: Answer::Viewer { version: "1".into() },
            owner: None,
            shows: Some(Shown {
                mode: Mode::ProductionMonitoring,
                monitor: Some(ShownMonitor { pid: 1, started_at: at("03:00:00") }),
            }),
        }
    }

    fn worst(page: &Page, is_up: Option<bool>) -> (Level, String) {
        let document = document("12:00:00", json!({}));
        let findings = page.judge(is_up, Some(&document));
        let worst = findings.into_iter().max_by_key(|finding| finding.level).unwrap();
        (worst.level, worst.found)
    }

    #[test]
    fn a_page_that_answers_from_the_right_file_is_right() {
        assert_eq!(worst(&page(), Some(true)).0, Level::Ok);
    }

    #[test]
    fn a_page_of_another_document_or_of_none_is_a_problem() {
        let mut other = page();
        other.shows.as_mut().unwrap().monitor.as_mut().unwrap().pid = 2;
        assert!(worst(&other, Some(true)).1.contains("another monitor"));
        let none = Page { shows: None, ..page() };
        assert!(worst(&none, Some(true)).1.contains("no document"));
        let mut live = page();
        live.shows.as_mut().unwrap().mode = Mode::LiveChecks;
        assert!(worst(&live, Some(true)).1.contains("its own look"));
    }

    #[test]
    fn a_page_that_keeps_the_details_to_itself_is_right() {
        let mut public = Page { has_secrets: true, ..page() };
        public.shows.as_mut().unwrap().monitor = None;
        assert_eq!(worst(&public, Some(true)).0, Level::Ok);
        let open = Page { written: Some(listen("0.0.0.0:9355")), ..public };
        assert!(worst(&open, Some(true)).1.contains("learns the credentials"));
    }

    #[test]
    fn a_page_for_everybody_is_warned_of_and_a_port_that_is_another_is_noted() {
        let open = Page { configured: listen("0.0.0.0:9355"), written: None, ..page() };
        assert_eq!(worst(&open, Some(true)).0, Level::Warning);
        let fallback = Page { written: Some(listen("127.0.0.1:9356")), ..page() };
        assert_eq!(worst(&fallback, Some(true)).0, Level::Note);
    }

    #[test]
    fn who_has_the_port_is_named() {
        let taken = Page { answer: Answer::Stranger, owner: Some("nginx (pid 812)".into()), ..page() };
        assert!(worst(&taken, Some(false)).1.starts_with("nginx (pid 812) has this port"));
    }

    #[test]
    fn nobody_there_is_a_problem_only_when_the_viewer_runs() {
        let silent = Page { answer: Answer::Nobody(ErrorKind::ConnectionRefused), ..page() };
        assert_eq!(worst(&silent, Some(true)).0, Level::Problem);
        assert_eq!(worst(&silent, Some(false)).0, Level::Note);
        assert_eq!(worst(&silent, None).0, Level::Note);
    }

    /// Answers one connection with this text.
    fn answering(text: &'static str) -> Listen {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Listen::Tcp(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let _ = stream.read(&mut request);
            stream.write_all(text.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn a_viewer_is_told_from_a_stranger_and_from_nobody() {
        let viewer = "HTTP/1.0 200 OK\r\n\r\n{\"status\": \"ok\", \"version\": \"1\"}";
        assert_eq!(ask(&answering(viewer)), Answer::Viewer { version: "1".into() });
        assert_eq!(ask(&answering("HTTP/1.0 200 OK\r\n\r\nhello")), Answer::Stranger);
        assert_eq!(ask(&answering("HTTP/1.0 404 Not Found\r\n\r\n")), Answer::Stranger);
        assert_eq!(ask(&answering("SSH-2.0-OpenSSH_9.2\r\n")), Answer::Stranger);
        // Bound and not listening: nobody else can get that port meanwhile.
        let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        closed.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        let address = closed.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(ask(&Listen::Tcp(address)), Answer::Nobody(ErrorKind::ConnectionRefused));
    }
}
