//! Servers to be probed: real ones (nginx, Python, `openssl s_server`) and ones that behave badly, of a few lines each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server on a free port of 127.0.0.1 that does `serve` with each connection, on a thread of its own.
pub(crate) fn bad_server(serve: impl Fn(TcpStream) + Send + Clone + 'static) -> SocketAddr {
    bad_server_on("127.0.0.1:0", serve)
}

/// The same, elsewhere.
pub(crate) fn bad_server_on(address: &str, serve: impl Fn(TcpStream) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(connection) = connection else { return };
            let serve = serve.clone();
            std::thread::spawn(move || serve(connection));
        }
    });
    address
}

/// A server that reads a request and answers with these bytes.
pub(crate) fn answering(bytes: &'static [u8]) -> SocketAddr {
    bad_server(move |mut connection| {
        read_request(&connection);
        let _ = connection.write_all(bytes);
    })
}

/// A server that reads a request, begins with `head`, and then writes `piece` again and again, so long apart.
pub(crate) fn dripping(head: &'static [u8], piece: &'static [u8], apart: Duration) -> SocketAddr {
    bad_server(move |mut connection| {
        read_request(&connection);
        let mut sent = connection.write_all(head);
        while sent.is_ok() {
            sent = connection.write_all(piece);
            if !apart.is_zero() {
                std::thread::sleep(apart);
            }
        }
    })
}

/// A server that accepts, and says nothing for as long as the client stays.
pub(crate) fn silent() -> SocketAddr {
    bad_server(|mut connection| {
        let _ = connection.read_to_end(&mut Vec::new());
    })
}

/// A listener that never accepts and whose queue is full, so that the kernel lets further handshakes wait, and what keeps
/// it so.
pub(crate) fn full_queue() -> (SocketAddr, (socket2::Socket, Vec<TcpStream>)) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
    let waiting: Vec<_> = (0..4).map_while(connect).collect();
    assert!(waiting.len() < 4, "the queue took everything");
    (address, (socket, waiting))
}

/// A port of 127.0.0.1 on which nobody listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Reads a request's headers, and returns them in lower case.
pub(crate) fn read_request(connection: &TcpStream) -> String {
    let lines = BufReader::new(connection).lines().map_while(Result::ok);
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    head.join("\n").to_lowercase()
}

/// A server that passes on what it is asked.
pub(crate) fn listening(answer: &'static [u8]) -> (SocketAddr, mpsc::Receiver<String>) {
    let (asked, heard) = mpsc::channel();
    let address = bad_server(move |mut connection| {
        let _ = asked.send(read_request(&connection));
        let _ = connection.write_all(answer);
    });
    (address, heard)
}

/// A program that serves for a test, and ends with it.
pub(crate) struct Server {
    command: Command,
    child: Child,
    folder: TempDir,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Server {
    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it; nobody listens on its port any more.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, on the same port.
    pub(crate) fn start_again(&mut self) {
        self.child = self.command.spawn().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a program and waits until `ready`; none when it is not installed. Folder and port are handed to both.
fn start(command: impl Fn(&Path, u16) -> Command, ready: impl Fn(&Path, u16) -> bool) -> Option<Server> {
    // A port that is free may be taken by another test before the program comes to it: then again with another.
    for _ in 0..5 {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = command(folder.path(), port);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) => {
                super::skip(&format!("{program} cannot be started: {error}"));
                return None;
            }
        };
        let mut server = Server { command, child, folder, port };
        let begun = Instant::now();
        while server.child.try_wait().unwrap().is_none() {
            if ready(server.folder.path(), port) {
                return Some(server);
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{program} is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    panic!("a server ended before it was ready, five times");
}

fn accepts(_: &Path, port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// nginx with these lines in its `server` block, beside `listen`. `@` in them stands for its folder.
pub(crate) fn nginx(listen_options: &str, lines: &str, files: &[(&str, &str)]) -> Option<Server> {
    let site = |folder: &Path, port: u16| {
        let lines = lines.replace('@', &folder.display().to_string());
        format!("server {{\nlisten 127.0.0.1:{port} {listen_options};\n{lines}\n}}\n")
    };
    nginx_with(site, files)
}

/// nginx with what `site` says in its `http` block, for this folder and port.
pub(crate) fn nginx_with(site: impl Fn(&Path, u16) -> String, files: &[(&str, &str)]) -> Option<Server> {
    let command = |folder: &Path, port: u16| {
        for (name, content) in files {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let shown = folder.display();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {shown}/{kind};\n"))
            .collect();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {shown}/pid;\nerror_log {shown}/error.log;\nevents {{}}\n\
             http {{\n{temp}access_log off;\n{}}}\n",
            site(folder, port)
        );
        std::fs::write(folder.join("nginx.conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command.arg("-e").arg(folder.join("error.log"));
        command
    };
    start(command, accepts)
}

/// Caddy with this Caddyfile for a port. It keeps nothing outside its folder.
pub(crate) fn caddy(caddyfile: impl Fn(u16) -> String) -> Option<Server> {
    let command = |folder: &Path, port: u16| {
        std::fs::write(folder.join("Caddyfile"), caddyfile(port)).unwrap();
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.join("Caddyfile"));
        for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, folder);
        }
        command
    };
    start(command, accepts)
}

/// Python's own HTTP server, on a free port.
pub(crate) fn python() -> Option<Server> {
    let command = |folder: &Path, port: u16| {
        std::fs::write(folder.join("health"), "{\"status\": \"ok\"}").unwrap();
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        command.arg(folder).arg(port.to_string());
        command
    };
    start(command, accepts)
}

/// A Python HTTP server on the unix socket `socket` in its folder.
pub(crate) fn python_on_a_unix_socket() -> Option<(Server, PathBuf)> {
    const PROGRAM: &str = "
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == '/health' else 404)
        self.end_headers()
        self.wfile.write(('host ' + self.headers['Host']).encode())
    def address_string(self):
        return 'unix'
socketserver.UnixStreamServer(sys.argv[1], Handler).serve_forever()
";
    let command = |folder: &Path, _| {
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM]).arg(folder.join("socket"));
        command
    };
    let ready = |folder: &Path, _| std::os::unix::net::UnixStream::connect(folder.join("socket")).is_ok();
    let server = start(command, ready)?;
    let socket = server.folder().join("socket");
    Some((server, socket))
}

/// `openssl s_server` with a certificate and a key in PEM; it answers every GET.
pub(crate) fn openssl(certificate: &str, key: &str) -> Option<Server> {
    let command = |folder: &Path, port: u16| {
        std::fs::write(folder.join("certificate.pem"), certificate).unwrap();
        std::fs::write(folder.join("key.pem"), key).unwrap();
        let mut command = Command::new("openssl");
        command.args([
            "s_server",
            "-quiet",
            "-www",
            "-cert",
            "certificate.pem",
            "-key",
            "key.pem",
            "-accept",
        ]);
        command.arg(format!("127.0.0.1:{port}")).current_dir(folder).stdin(Stdio::null());
        command
    };
    start(command, accepts)
}
