//! What the monitor costs: CPU a probe, resident memory and the real interval, beside its peers in one run.
//!
//! All of them probe the same nginx over loopback, each for the same time, one after the other. The peers: the bare
//! reqwest loop below, which starts all probes of a cycle at once and remembers nothing; and Debian's Monit.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Every service is probed so often.
const INTERVAL: Duration = Duration::from_secs(5);
/// What start-up costs is not measured.
const WARM_UP: Duration = Duration::from_secs(8);
/// Whole intervals.
const MEASURED: Duration = Duration::from_secs(40);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode, count, port] = &arguments[..]
        && mode == "bare-loop"
    {
        bare_loop(count.parse().expect("a number"), port.parse().expect("a port"));
    }
    let mut counts: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if counts.is_empty() {
        counts = vec![10, 100, 1000];
    }
    let Some(nginx) = Nginx::start() else {
        println!("skipped, because nginx is not installed");
        return;
    };
    println!(
        "{} s each, every service every {} s, over loopback to nginx\n",
        MEASURED.as_secs(),
        INTERVAL.as_secs()
    );
    println!("| services | prober | CPU a probe, µs | of the bare loop | resident, MiB | real interval, s |");
    println!("|---:|---|---:|---:|---:|---:|");
    for count in counts {
        let mut bare = None;
        // One at a time: they would be counted as each other's requests.
        for start in [Prober::bare_loop, Prober::wellkeep, Prober::wellkeep_that_heals, Prober::monit] {
            let Some(prober) = start(count, &nginx) else { continue };
            let figures = prober.measure(count, &nginx);
            let bare = *bare.get_or_insert(figures.micros);
            println!(
                "| {count} | {} | {:.1} | {:.2} | {:.1} | {:.2} |",
                prober.name,
                figures.micros,
                figures.micros / bare,
                figures.resident_mib,
                figures.interval_s
            );
        }
    }
}

/// One prober at work.
struct Prober {
    name: &'static str,
    process: Child,
    _folder: tempfile::TempDir,
}

struct Figures {
    micros: f64,
    resident_mib: f64,
    interval_s: f64,
}

impl Prober {
    fn bare_loop(count: usize, nginx: &Nginx) -> Option<Prober> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.args(["bare-loop", &count.to_string(), &nginx.port.to_string()]);
        Some(Prober::start("bare reqwest loop", command, tempfile::tempdir().ok()?))
    }

    fn wellkeep(count: usize, nginx: &Nginx) -> Option<Prober> {
        Prober::monitor("wellkeep", "", count, nginx)
    }

    /// Nothing fails, so nothing is healed: what healing costs while it waits.
    fn wellkeep_that_heals(count: usize, nginx: &Nginx) -> Option<Prober> {
        Prober::monitor("wellkeep with heal", ", heal: {run: [/bin/true]}", count, nginx)
    }

    fn monitor(name: &'static str, heal: &str, count: usize, nginx: &Nginx) -> Option<Prober> {
        let folder = tempfile::tempdir().ok()?;
        let mut config = format!("defaults:\n  interval: {}s\nservices:\n", INTERVAL.as_secs());
        for n in 0..count {
            let _ =
                writeln!(config, "  - {{key: s{n}, url: 'http://127.0.0.1:{}/health'{heal}}}", nginx.port);
        }
        fs::write(folder.path().join("monitor.yml"), config).ok()?;
        // An older one, to see what a change costs.
        let binary = std::env::var_os("WELLKEEP_BENCH_BINARY");
        let mut command = Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_wellkeep").into()));
        command.arg("monitor").arg("--config").arg(folder.path().join("monitor.yml"));
        command.arg("--status-file").arg(folder.path().join("status.json"));
        Some(Prober::start(name, command, folder))
    }

    fn monit(count: usize, nginx: &Nginx) -> Option<Prober> {
        let version = Command::new("monit").arg("--version").output();
        if version.is_err() {
            println!("| {count} | Monit: skipped, because it is not installed | | | | |");
            return None;
        }
        let folder = tempfile::tempdir().ok()?;
        let path = folder.path().join("monitrc");
        let state = folder.path().join("state").display().to_string();
        let mut config = format!(
            "set daemon {}\nset statefile {state}\nset idfile {state}.id\nset pidfile {state}.pid\n",
            INTERVAL.as_secs()
        );
        for n in 0..count {
            let _ = writeln!(
                config,
                "check host s{n} with address 127.0.0.1\n  if failed port {} protocol http request \"/health\" then alert",
                nginx.port
            );
        }
        fs::write(&path, config).ok()?;
        // It refuses a file that others can read.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).ok()?;
        let mut command = Command::new("monit");
        command.arg("-I").arg("-c").arg(path);
        Some(Prober::start("Monit", command, folder))
    }

    fn start(name: &'static str, mut command: Command, folder: tempfile::TempDir) -> Prober {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the prober starts");
        Prober { name, process, _folder: folder }
    }

    /// Requests are counted by the server, so whoever probes less often than it should is not called cheap.
    fn measure(&self, count: usize, nginx: &Nginx) -> Figures {
        std::thread::sleep(WARM_UP);
        let (cpu, requests, start) = (cpu_ticks(self.process.id()), nginx.requests(), Instant::now());
        std::thread::sleep(MEASURED);
        let (cpu, took) = (cpu_ticks(self.process.id()) - cpu, start.elapsed());
        let requests = (nginx.requests() - requests).max(1) as f64;
        Figures {
            // The kernel tells it in hundredths of a second.
            micros: cpu as f64 * 10_000.0 / requests,
            resident_mib: resident_kib(self.process.id()) as f64 / 1024.0,
            interval_s: took.as_secs_f64() * count as f64 / requests,
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server that counts what it is asked.
struct Nginx {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Option<Nginx> {
        let folder = tempfile::tempdir().ok()?;
        let port = free_port();
        let status = folder.path().join("status.sock");
        let config = format!(
            "daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;\n\
             uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 'ok'; }} }}\n\
             server {{ listen unix:{status}; location / {{ stub_status; }} }} }}\n",
            dir = folder.path().display(),
            status = status.display()
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, config).ok()?;
        let process = Command::new("nginx").arg("-c").arg(&path).stderr(Stdio::null()).spawn().ok()?;
        while !status.exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Nginx { process, port, folder })
    }

    /// How many requests it has had, this one not counted.
    fn requests(&self) -> u64 {
        use std::io::{Read, Write};
        let path: PathBuf = self.folder.path().join("status.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(path).expect("nginx answers");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("nginx reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("nginx answers");
        let counts = text.lines().find(|line| line.starts_with(' ')).expect("the line of the counts");
        counts.split_whitespace().nth(2).and_then(|count| count.parse().ok()).expect("the count of requests")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// The peer: GETs all URLs at the start of each cycle and looks at the status. No state, no document, no history.
fn bare_loop(count: usize, port: u16) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    rustls::crypto::ring::default_provider().install_default().expect("none is installed yet");
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(3))
            .tls_certs_only([])
            .build()
            .expect("a client");
        let mut cycle = tokio::time::interval(INTERVAL);
        let url = format!("http://127.0.0.1:{port}/health");
        loop {
            cycle.tick().await;
            // As many in flight as the product has: more measures the kernel's queue of connections.
            let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(32));
            let mut probes = tokio::task::JoinSet::new();
            for _ in 0..count {
                let (client, url, gate) = (client.clone(), url.clone(), gate.clone());
                probes.spawn(async move {
                    let _turn = gate.acquire_owned().await;
                    let mut response = client.get(url).send().await.ok()?;
                    let ok = response.status().is_success();
                    while response.chunk().await.ok()?.is_some() {}
                    Some(ok)
                });
            }
            while probes.join_next().await.is_some() {}
        }
    })
}

/// User and system time of a process, in hundredths of a second, its ended threads included.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the prober runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
}

fn resident_kib(pid: u32) -> u64 {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).expect("the prober runs");
    let line =
        status.lines().find(|line| line.starts_with("VmRSS")).expect("the line of the resident memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
