//! A hook: a program that heals. No shell, no environment of ours, a limit of time, and its last words are kept.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tracing::warn;

use super::mask::masked;
use super::{PATH, printable, program};
use crate::config::Hook;
use crate::engine::{HealEnd, HealOrder};
use crate::log::Kind;
use crate::store::incidents;

/// After SIGTERM a hook has so long to end before SIGKILL.
const MERCY: Duration = Duration::from_secs(1);

/// So much of the output is kept: its end.
const OUTPUT: usize = 4096;

/// The end is told with the last line of the output, and that is no longer than this.
const LAST_LINE: usize = 200;

/// The reason is handed on in at most so many characters.
const REASON: usize = 4096;

/// Keeping the output may take so long.
const WRITE_LIMIT: Duration = Duration::from_millis(500);

/// The accounts of this machine.
const ACCOUNTS: &str = "/etc/passwd";

/// Runs a hook for a heal. It has a process group of its own, `/` as its folder, nothing on stdin, and this environment:
/// `PATH`, `LANG`, `WELLKEEP_SERVICE`, `WELLKEEP_INCIDENT`, `WELLKEEP_ATTEMPT`, `WELLKEEP_REASON`. At its timeout it is told
/// to end, with all it started, and killed 1 s later. As another user it has that user's own group and no other. What it
/// wrote is kept in the incident's folder as `hook-ATTEMPT.txt`. Exit status 0 is [`HealEnd::Done`].
pub async fn run(hook: &Hook, order: &HealOrder, state_dir: &Path) -> HealEnd {
    let account = match &hook.user {
        None => None,
        Some(user) => match look_up(user, Path::new(ACCOUNTS)).and_then(|account| account.allowed(user)) {
            Ok(account) => Some(account),
            Err(words) => return HealEnd::Forbidden(words),
        },
    };
    let Some((name, arguments)) = hook.command.split_first() else {
        return HealEnd::Failed("the hook names no program".to_owned());
    };
    let mut command = Command::new(name);
    command.args(arguments).current_dir("/").env_clear().envs(environment(order));
    if let Some(account) = account.filter(|account| !account.is_ours()) {
        command.uid(account.uid).gid(account.gid);
    }
    let begun = Instant::now();
    let ended = match program::run(command, hook.timeout, MERCY, OUTPUT).await {
        Ok(ended) => ended,
        Err(error) => return not_started(name, &error),
    };
    let output = printable(&ended.output);
    let (end, words) = judge(ended.status, &output, hook.timeout);
    let took = humantime::format_duration(Duration::from_millis(begun.elapsed().as_millis() as u64));
    let left_out = match ended.left_out {
        0 => String::new(),
        bytes => format!(" (its last 4 KiB; {bytes} bytes before are left out)"),
    };
    let text = format!(
        "hook: {}\nservice: {}\nattempt: {}\nreason: {}\nend: it {words}, after {took}\n\n== output{left_out} ==\n{output}",
        masked(hook.command.iter().map(String::as_str)).join(" "),
        order.key,
        order.attempt,
        order.reason,
    );
    keep(order, state_dir, text).await;
    end
}

fn environment(order: &HealOrder) -> [(&'static str, String); 6] {
    // It may quote what a server answered. A NUL or too much would keep the hook from being started.
    let reason = order.reason.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).take(REASON).collect();
    [
        ("PATH", PATH.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("WELLKEEP_SERVICE", order.key.clone()),
        ("WELLKEEP_INCIDENT", order.incident.clone()),
        ("WELLKEEP_ATTEMPT", order.attempt.to_string()),
        ("WELLKEEP_REASON", reason),
    ]
}

fn not_started(name: &str, error: &std::io::Error) -> HealEnd {
    match error.kind() {
        ErrorKind::PermissionDenied => HealEnd::Forbidden(format!(
            "{name} may not be run: make it executable for the user of the hook (chmod +x), and its folders open"
        )),
        ErrorKind::NotFound => HealEnd::Failed(format!(
            "{name} cannot be run: it does not exist, or the interpreter that its first line names does not"
        )),
        _ => HealEnd::Failed(format!("{name} cannot be run: {error}")),
    }
}

/// What the end of a hook means, and the same in words.
fn judge(status: Option<ExitStatus>, output: &str, timeout: Duration) -> (HealEnd, String) {
    let words = match status {
        Some(status) if status.success() => return (HealEnd::Done, "exited with status 0".to_owned()),
        None => format!("took longer than {} and was killed", humantime::format_duration(timeout)),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with status {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => format!("ended with {status}"),
        },
    };
    let last = output.lines().map(str::trim).rfind(|line| !line.is_empty());
    let end = match last {
        Some(line) => format!("{words}: {}", line.chars().take(LAST_LINE).collect::<String>()),
        None => words.clone(),
    };
    (HealEnd::Failed(end), words)
}

/// Keeps what is known of the hook's run. That this fails changes nothing of the heal.
async fn keep(order: &HealOrder, state_dir: &Path, text: String) {
    let (state_dir, incident, attempt) = (state_dir.to_owned(), order.incident.clone(), order.attempt);
    let writing = tokio::task::spawn_blocking(move || {
        incidents::write_attempt(&state_dir, &incident, "hook", attempt, &text)
    });
    let problem = match tokio::time::timeout(WRITE_LIMIT, writing).await {
        Ok(Ok(Ok(_))) => return,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its disk does not answer".to_owned(),
    };
    let HealOrder { key, incident, .. } = order;
    warn!(service = key, event = %Kind::Evidence, incident, "{key}: the output of the hook is not kept: {problem}");
}

/// Who a hook runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    fn is_ours(self) -> bool {
        self.uid == rustix::process::geteuid().as_raw()
    }

    /// The account, if we may become it.
    fn allowed(self, user: &str) -> Result<Account, String> {
        if self.is_ours() || rustix::process::geteuid().is_root() {
            return Ok(self);
        }
        Err(format!(
            "the hook is to run as {user}, and only a monitor that runs as root can do that: leave `user` out, or run the \
             monitor as root"
        ))
    }
}

/// An account by its name. Only those of the file are known: to ask a directory service could hang, and would need the
/// network while something is down.
fn look_up(user: &str, accounts: &Path) -> Result<Account, String> {
    let text =
        std::fs::read(accounts).map_err(|error| format!("{} cannot be read: {error}", accounts.display()))?;
    let found = String::from_utf8_lossy(&text).lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != user {
            return None;
        }
        let mut number = |place| fields.nth(place)?.parse().ok();
        Some(Account { uid: number(1)?, gid: number(0)? })
    });
    found.ok_or_else(|| {
        format!(
            "the hook is to run as {user}, and {} has no such user: name one that it has",
            accounts.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Action, HealId};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn order(hook: &Hook) -> HealOrder {
        HealOrder {
            id: HealId(1),
            key: "web".to_owned(),
            incident: "20270115T000001Z-web".to_owned(),
            attempt: 2,
            action: Action::Run(hook.clone()),
            checks: Box::default(),
            unit: None,
            reason: "HTTP 500\0".to_owned(),
            seen: None,
            observe: false,
        }
    }

    fn hook(command: &[&str]) -> Hook {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Hook { command, timeout: Duration::from_secs(10), user: None }
    }

    /// Runs a hook; its end, and what was kept of it.
    async fn run_kept(hook: &Hook) -> (HealEnd, String) {
        let folder = tempfile::tempdir().unwrap();
        let end = run(hook, &order(hook), folder.path()).await;
        let path = folder.path().join("incidents/20270115T000001Z-web/hook-2.txt");
        (end, std::fs::read_to_string(path).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_hook_sees_its_heal_and_nothing_of_our_environment() {
        let (end, kept) = run_kept(&hook(&["/usr/bin/env"])).await;
        assert_eq!(end, HealEnd::Done);
        let (_, output) = kept.split_once("== output ==\n").unwrap();
        let mut lines: Vec<&str> = output.lines().collect();
        lines.sort_unstable();
        let path = format!("PATH={PATH}");
        let expected = [
            "LANG=C.UTF-8",
            &path,
            "WELLKEEP_ATTEMPT=2",
            "WELLKEEP_INCIDENT=20270115T000001Z-web",
            "WELLKEEP_REASON=HTTP 500\u{fffd}",
            "WELLKEEP_SERVICE=web",
        ];
        assert_eq!(lines, expected);
    }

    #[tokio::test]
    async fn arguments_reach_the_hook_as_they_are_without_a_shell() {
        let (end, kept) = run_kept(&hook(&["/bin/echo", "$HOME; *", "two  words"])).await;
        assert_eq!(end, HealEnd::Done);
        assert!(kept.ends_with("== output ==\n$HOME; * two  words\n"), "{kept}");
    }

    #[tokio::test]
    async fn a_hook_that_fails_says_how_and_its_last_line() {
        let (end, kept) =
            run_kept(&hook(&["/bin/sh", "-c", "echo first; echo disk full >&2; echo; exit 3"])).await;
        assert_eq!(end, HealEnd::Failed("exited with status 3: disk full".to_owned()));
        assert!(kept.contains("end: it exited with status 3, after "), "{kept}");
        assert!(kept.ends_with("first\ndisk full\n\n"), "{kept}");
        let (end, _) = run_kept(&hook(&["/bin/sh", "-c", "kill -9 $$"])).await;
        assert_eq!(end, HealEnd::Failed("was killed by signal 9".to_owned()));
    }

    #[tokio::test]
    async fn a_hook_that_takes_too_long_has_failed() {
        let slow = Hook {
            timeout: Duration::from_millis(200),
            ..hook(&["/bin/sh", "-c", "trap '' TERM; echo waiting; sleep 60"])
        };
        let (end, kept) = run_kept(&slow).await;
        assert_eq!(end, HealEnd::Failed("took longer than 200ms and was killed: waiting".to_owned()));
        assert!(kept.ends_with("waiting\n"), "{kept}");
    }

    #[tokio::test]
    async fn a_hook_that_cannot_be_run_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fix");
        let name = path.to_str().unwrap();
        let (end, _) = run_kept(&hook(&[name])).await;
        assert!(matches!(&end, HealEnd::Failed(words) if words.contains("does not exist")), "{end:?}");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (end, _) = run_kept(&hook(&[name])).await;
        assert!(matches!(&end, HealEnd::Forbidden(words) if words.contains("chmod +x")), "{end:?}");
    }

    #[tokio::test]
    async fn an_unwritable_state_directory_does_not_change_what_the_hook_did() {
        let hook = hook(&["/bin/true"]);
        assert_eq!(run(&hook, &order(&hook), Path::new("/proc/no-folder")).await, HealEnd::Done);
    }

    #[tokio::test]
    async fn another_user_is_for_root_alone() {
        let are_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
        let mut hook = hook(&["/bin/sh", "-c", "id -un; id -G"]);
        hook.user = Some("nobody".to_owned());
        let (end, kept) = run_kept(&hook).await;
        if are_root {
            assert_eq!(end, HealEnd::Done, "{kept}");
            let Account { gid, .. } = look_up("nobody", Path::new(ACCOUNTS)).unwrap();
            assert!(kept.ends_with(&format!("nobody\n{gid}\n")), "{kept}");
        } else {
            assert!(matches!(&end, HealEnd::Forbidden(words) if words.contains("runs as root")), "{end:?}");
        }
        hook.user = Some("no-such-user".to_owned());
        let (end, _) = run_kept(&hook).await;
        assert!(matches!(&end, HealEnd::Forbidden(words) if words.contains("no such user")), "{end:?}");
    }

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        std::fs::write(&path, "webmaster:x:7:8::/:\nbroken:x\nweb:x:33:34:web,,,:/var/www:/bin/sh\n")
            .unwrap();
        assert_eq!(look_up("web", &path), Ok(Account { uid: 33, gid: 34 }));
        assert!(look_up("broken", &path).is_err());
        assert!(look_up("", &path).is_err());
    }
}
