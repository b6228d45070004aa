use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;
use crate::engine::HealId;

fn order() -> HealOrder {
    HealOrder {
        id: HealId(1),
        key: "web".to_owned(),
        incident: "20270115T000001Z-web".to_owned(),
        attempt: 3,
        action: Action::TryRestart("web.service".to_owned()),
        checks: Box::default(),
        unit: None,
        reason: "no answer within 3 s".to_owned(),
        seen: Some(UnitFacts {
            load: "loaded".to_owned(),
            active: "active".to_owned(),
            sub: "running".to_owned(),
            start_limit: Some((5, Duration::from_secs(10))),
            ..UnitFacts::default()
        }),
        observe: false,
    }
}

/// A program of ours that waits, and the folder with what stands for `journalctl`.
struct Stage {
    folder: tempfile::TempDir,
    child: Child,
}

impl Stage {
    fn new() -> Stage {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "echo; read line; true", "sh", "--password=hunter2"])
            .env("SECRET_OF_THE_ENVIRONMENT", "hunter3")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It is the shell, and no longer a copy of us, once it has spoken.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Stage { folder: tempfile::tempdir().unwrap(), child }
    }

    fn journalctl(&self, script: &str) -> Sources {
        let path = self.folder.path().join("journalctl");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Sources { journalctl: path, ..Sources::default() }
    }

    async fn collect(&self, sources: &Sources) -> String {
        let subject = Subject {
            unit: Some("web.service".to_owned()),
            main_pid: None,
            pids: vec![self.child.id()],
            answers: "http: HTTP 500, 3 times in a row".to_owned(),
        };
        let path = collect(&order(), subject, sources, self.folder.path()).await.unwrap();
        assert!(path.ends_with("incidents/20270115T000001Z-web/evidence-3.txt"));
        std::fs::read_to_string(path).unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_evidence_shows_the_process_and_copies_no_secret() {
    let stage = Stage::new();
    let sources = stage.journalctl("echo \"asked for: $*\"");
    let text = stage.collect(&sources).await;
    let pid = stage.child.id();
    for words in [
        "to be done: restart web.service\nbecause: no answer within 3 s\n",
        "== what the checks said last ==\nhttp: HTTP 500, 3 times in a row\n",
        "ActiveState: active (running)\n",
        "start limit: 5 within 10s\n",
        &format!("process {pid} (sh), state "),
        &format!(", parent {}, user ", std::process::id()),
        "  threads: 1 ",
        "    0 -> pipe:[",
        &format!("process {pid}, arguments: /bin/sh -c echo; read line; true sh --password=***\n"),
        "(Pss): ",
        "MemAvailable:",
        "load: ",
        "asked for: --unit=web.service --lines=50 --no-pager --output=short-iso-precise\n",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    assert!(!text.contains("hunter"), "{text}");
}

#[tokio::test]
async fn a_journal_that_hangs_or_is_missing_costs_little_and_is_told() {
    let stage = Stage::new();
    let begun = Instant::now();
    let hanging = stage.journalctl("trap '' TERM; echo one line; sleep 60");
    let text = stage.collect(&hanging).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(text.contains("== processes ==\nprocess "), "{text}");
    assert!(text.contains("==\none line\nnot all: ") && text.contains("took longer than 1.5s"), "{text}");
    let missing = Sources { journalctl: "/no/journalctl".into(), ..Sources::default() };
    let text = stage.collect(&missing).await;
    assert!(text.contains("not had: there is no /no/journalctl on this machine"), "{text}");
    let refused =
        stage.journalctl("echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1");
    let text = stage.collect(&refused).await;
    assert!(
        text.contains("insufficient permissions.\n") && text.contains("ended with exit status: 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_of_proc_that_hangs_does_not_hold_the_heal_up() {
    let stage = Stage::new();
    let root = stage.folder.path().join("proc");
    let folder = root.join(stage.child.id().to_string());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("status"), "Name:\tweb\nState:\tD (disk sleep)\n").unwrap();
    // Nobody writes into it: to open it waits for ever, like the arguments of a process that holds its own memory's lock.
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("cmdline"), rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
    let sources = Sources { proc_root: root, ..stage.journalctl("true") };
    let begun = Instant::now();
    let text = stage.collect(&sources).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(text.contains("(web), state D (disk sleep)"), "{text}");
    assert!(text.contains("(not had: what comes after this took longer than 2s)"), "{text}");
    // Lets the thread go, which the runtime waits for.
    std::fs::write(folder.join("cmdline"), "").unwrap();
}

#[tokio::test]
async fn the_evidence_stays_within_its_bounds() {
    let stage = Stage::new();
    let sources = stage.journalctl("head -c 1000000 /dev/zero | tr '\\0' x");
    let subject =
        Subject { answers: "é".repeat(500_000), pids: (1..100_000).collect(), ..Subject::default() };
    let subject = Subject { unit: Some("web.service".to_owned()), ..subject };
    let path = collect(&order(), subject, &sources, stage.folder.path()).await.unwrap();
    assert!(std::fs::metadata(path).unwrap().len() < 256 * 1024);
}

#[tokio::test]
async fn a_disk_that_refuses_is_told_and_no_reason_to_wait() {
    let sources = Stage::new().journalctl("true");
    let error =
        collect(&order(), Subject::default(), &sources, Path::new("/proc/no-folder")).await.unwrap_err();
    assert!(error.starts_with("the evidence is not saved: "), "{error}");
}
