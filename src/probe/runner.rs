//! Runs the probes that the engine asks for: on the loop's own thread, all units of a tick by one D-Bus call, all
//! process checks of a tick by one scan.

use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;

use super::{Check, Report, http, port, process, systemd};
use crate::config::Config;
use crate::engine::{ProbeId, Request};
use crate::monitor::wall_clock;
use crate::systemd::{Bus, BusAddress};

/// At most so many probes are started together. More at once and our own burst looks like the services' latency
/// (measured: 500 probes of one server with a backlog of 128 have a p99 of 1.03 s, 32 have 2 ms).
const BURST: usize = 32;

/// A probe that takes longer than this no longer counts against the burst: it waits, and keeps nobody else waiting.
const YOUNG: Duration = Duration::from_millis(100);

/// At most so many probes are in flight, each with a file descriptor, as far as the limit on those allows.
const IN_FLIGHT: usize = 4096;

/// What ended: the probes of one future with their reports.
type Ended = Vec<(ProbeId, Report)>;

/// A future of the loop's thread, with the burst that it counts against, if it does.
type Running = Pin<Box<dyn Future<Output = (Option<Instant>, Ended)>>>;

/// The probes in flight and those that wait for their turn.
pub struct Runner {
    http: Arc<http::Client>,
    bus: Arc<Bus>,
    proc_root: PathBuf,
    excluded: Vec<u32>,
    processes: Arc<process::Prober>,
    explain: bool,
    in_flight_limit: usize,
    waiting: VecDeque<Request>,
    running: FuturesUnordered<Running>,
    ended: VecDeque<(ProbeId, Report)>,
    /// When the current burst began, and how many of it are still in flight.
    burst: Instant,
    young: usize,
}

impl Runner {
    /// A runner without probes. `proc_root` is `/proc`, or what stands for it; the processes `excluded` match
    /// no process check.
    pub fn new(proc_root: &Path, bus: BusAddress, excluded: Vec<u32>) -> Runner {
        Runner {
            http: Arc::new(http::Client::new()),
            bus: Arc::new(Bus::new(bus)),
            proc_root: proc_root.to_owned(),
            processes: Arc::new(process::Prober::new(Vec::new(), proc_root, &excluded)),
            excluded,
            explain: false,
            in_flight_limit: in_flight_limit(),
            waiting: VecDeque::new(),
            running: FuturesUnordered::new(),
            ended: VecDeque::new(),
            burst: Instant::now(),
            young: 0,
        }
    }

    /// From now on reports say which step took how long, at the cost of formatting that.
    pub fn explain(&mut self) {
        self.explain = true;
    }

    /// Prepares for a configuration: the words of all process checks are looked for in one pass, and certificate
    /// authorities are read anew.
    pub fn configure(&mut self, config: &Config) {
        self.http = Arc::new(http::Client::new());
        let checks = config.services.iter().flat_map(|service| &service.checks);
        let processes = checks.filter_map(|check| match &*check.check {
            Check::Process(settings) => Some(settings.clone()),
            _ => None,
        });
        self.processes = Arc::new(process::Prober::new(processes.collect(), &self.proc_root, &self.excluded));
    }

    /// Takes on the probes of a tick.
    pub fn start(&mut self, requests: Vec<Request>) {
        let mut units = Vec::new();
        let mut processes = Vec::new();
        for request in requests {
            match *request.check {
                Check::Http(_) | Check::Port(_) => self.waiting.push_back(request),
                Check::Systemd(_) => units.push(request),
                Check::Process(_) => processes.push(request),
            }
        }
        if !units.is_empty() {
            self.run(None, probe_units(self.bus.clone(), units));
        }
        if !processes.is_empty() {
            self.run(None, probe_processes(self.processes.clone(), processes));
        }
        self.start_waiting();
    }

    /// The next report; for ever pending while nothing is under way. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> (ProbeId, Report) {
        loop {
            self.start_waiting();
            if let Some(ended) = self.ended.pop_front() {
                return ended;
            }
            tokio::select! {
                Some((burst, ended)) = self.running.next() => {
                    if burst == Some(self.burst) {
                        self.young = self.young.saturating_sub(1);
                    }
                    self.ended.extend(ended);
                }
                () = tokio::time::sleep_until(self.burst + YOUNG), if !self.waiting.is_empty() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Starts as many of the waiting probes as the burst allows.
    fn start_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        if now.duration_since(self.burst) >= YOUNG {
            self.burst = now;
            self.young = 0;
        }
        // Who is behind must catch up: with many waiting the bursts grow.
        let burst = BURST.max(self.waiting.len() / 16);
        while self.young < burst && self.running.len() < self.in_flight_limit {
            let Some(request) = self.waiting.pop_front() else {
                return;
            };
            self.young += 1;
            self.run(Some(self.burst), probe_one(self.http.clone(), request, self.explain));
        }
    }

    fn run(&self, burst: Option<Instant>, probes: impl Future<Output = Ended> + 'static) {
        self.running.push(Box::pin(async move { (burst, probes.await) }));
    }
}

async fn probe_one(client: Arc<http::Client>, request: Request, explain: bool) -> Ended {
    let Request { id, check, timeout } = request;
    let report = match &*check {
        Check::Http(settings) if explain => {
            http::probe_with_steps(&client, settings, timeout, wall_clock()).await
        }
        Check::Http(settings) => http::probe(&client, settings, timeout, wall_clock()).await,
        Check::Port(settings) => port::probe(settings, timeout).await,
        // Those of a tick are probed together, not here.
        Check::Systemd(_) | Check::Process(_) => return Vec::new(),
    };
    vec![(id, report)]
}

async fn probe_units(bus: Arc<Bus>, requests: Vec<Request>) -> Ended {
    let (ids, timeout) = together(&requests);
    let settings: Vec<&systemd::Settings> = requests
        .iter()
        .filter_map(|request| match &*request.check {
            Check::Systemd(settings) => Some(settings),
            _ => None,
        })
        .collect();
    ids.into_iter().zip(systemd::probe_all(&bus, &settings, timeout).await).collect()
}

async fn probe_processes(prober: Arc<process::Prober>, requests: Vec<Request>) -> Ended {
    let (ids, timeout) = together(&requests);
    let settings: Vec<&process::Settings> = requests
        .iter()
        .filter_map(|request| match &*request.check {
            Check::Process(settings) => Some(settings),
            _ => None,
        })
        .collect();
    ids.into_iter().zip(prober.probe(&settings, timeout).await).collect()
}

/// What a call for all of them has: their ids, and the time of the one that has the most. A late answer harms nobody; a
/// service with little patience would make the others blind.
fn together(requests: &[Request]) -> (Vec<ProbeId>, Duration) {
    let timeout = requests.iter().map(|request| request.timeout).max().unwrap_or_default();
    (requests.iter().map(|request| request.id).collect(), timeout)
}

/// A quarter of the file descriptors stays for everything else. The soft limit, 1024 by custom for the sake of
/// `select(2)`, which nothing here uses, is raised to what the system allows.
fn in_flight_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    // None is without limit.
    let descriptors = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize);
    (descriptors / 4 * 3).clamp(1, IN_FLIGHT)
}
