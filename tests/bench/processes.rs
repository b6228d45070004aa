//! Matching processes by their command lines: one scan for all checks, beside a raw read of `/proc/*/cmdline` in the
//! same run, for 1 to 1,000 checks.

use std::fs;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use wellkeep::host::processes::Matcher;

/// So many processes are started beside those that are there.
const PROCESSES: usize = 2000;
/// So many scans of each kind, in turn; the median counts.
const ROUNDS: usize = 21;

fn main() {
    let children: Vec<Child> = (0..PROCESSES).filter_map(start).collect();
    println!("{} processes more than usual, median of {ROUNDS} scans in turn\n", children.len());
    println!("| checks | scan, ms | raw read, ms | ratio |");
    println!("|---:|---:|---:|---:|");
    for checks in [1, 10, 100, 1000] {
        // Each looks for one process that is there, by two words.
        let words: Vec<Vec<String>> =
            (0..checks).map(|n| vec!["sh".to_owned(), format!("worker-{n}-of")]).collect();
        let matcher = Matcher::new(words.iter().map(Vec::as_slice)).expect("few words");
        let (mut scans, mut reads) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            black_box(matcher.scan(Path::new("/proc"), &[]).expect("/proc is there"));
            scans.push(start.elapsed().as_secs_f64() * 1000.0);
            let start = Instant::now();
            black_box(raw_read());
            reads.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        let (scan, read) = (median(scans), median(reads));
        println!("| {checks} | {scan:.1} | {read:.1} | {:.2} |", scan / read);
    }
    for mut child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A process that sleeps, with a command line as long as those of real services.
fn start(n: usize) -> Option<Child> {
    let script = "read -r line";
    Command::new("sh")
        .args([
            "-c",
            script,
            &format!("worker-{n}-of"),
            "--bind",
            "127.0.0.1:8000",
            "--log-level",
            "info",
            "main:app",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .ok()
}

/// The least that any matcher must do: list the processes, open and read each command line.
fn raw_read() -> usize {
    let mut bytes = 0;
    let mut buffer = Vec::with_capacity(4096);
    for entry in fs::read_dir("/proc").expect("/proc is there").flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with(|letter: char| letter.is_ascii_digit()) {
            continue;
        }
        buffer.clear();
        if let Ok(mut file) = fs::File::open(entry.path().join("cmdline")) {
            bytes += file.read_to_end(&mut buffer).unwrap_or(0);
        }
    }
    bytes
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
