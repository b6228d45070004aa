use std::collections::BTreeMap;
use std::path::Path;

use super::Subject;
use super::gather::{Lines, read, words};
use crate::heal::mask::masked;
use crate::heal::printable;
use crate::host::listeners as host_listeners;

/// So many processes are described; more are counted.
const PROCESSES: usize = 40;

/// So many threads of a process are looked at.
const THREADS: usize = 512;

/// So many open files of a process are named.
const FILES: usize = 50;

/// So many lines of a kernel stack are shown.
const FRAMES: usize = 24;

/// Which processes are looked for.
#[derive(Debug, Clone)]
pub(super) struct Sought {
    unit: Option<String>,
    main_pid: Option<u32>,
    pids: Vec<u32>,
}

impl From<Subject> for Sought {
    fn from(subject: Subject) -> Sought {
        Sought { unit: subject.unit, main_pid: subject.main_pid, pids: subject.pids }
    }
}

/// Describes the processes. First of all of them what the kernel tells without the process; then what lies in its memory,
/// where reading waits for a lock that a process which hangs may hold.
pub(super) fn describe(proc_root: &Path, sought: &Sought, lines: &Lines) -> Option<()> {
    let pids = match find(proc_root, sought) {
        Ok(pids) => pids,
        Err(error) => return lines.add(format!("not had: {}: {error}", proc_root.display())),
    };
    if pids.is_empty() {
        return lines.add("none is there, or none that we may see");
    }
    let shown = &pids[..pids.len().min(PROCESSES)];
    for pid in shown {
        outside(&proc_root.join(pid.to_string()), *pid, lines)?;
    }
    if pids.len() > shown.len() {
        lines.add(format!("and {} more", pids.len() - shown.len()))?;
    }
    lines.add("")?;
    for pid in shown {
        inside(&proc_root.join(pid.to_string()), *pid, lines)?;
    }
    Some(())
}

/// The TCP listeners of the processes.
pub(super) fn listeners(proc_root: &Path, sought: &Sought, lines: &Lines) -> Option<()> {
    let pids = find(proc_root, sought).unwrap_or_default();
    let listeners = match host_listeners::listeners(proc_root) {
        Ok(listeners) => listeners,
        Err(error) => return lines.add(format!("not had: {error}")),
    };
    let mut unseen = 0;
    for listener in listeners {
        match &listener.owner {
            Some(owner) if pids.contains(&owner.pid) => {
                lines.add(format!("{}, process {} ({})", listener.address, owner.pid, owner.name))?;
            }
            Some(_) => {}
            None => unseen += 1,
        }
    }
    if unseen > 0 {
        lines.add(format!("and {unseen} on this machine of which we may not see whose they are"))?;
    }
    Some(())
}

/// The processes that are meant, by their numbers: those that were named, and all of the unit's control group. That group
/// is the main process's own, or else the one that bears the unit's name.
fn find(proc_root: &Path, sought: &Sought) -> std::io::Result<Vec<u32>> {
    let of = |pid: u32| group_of(&read(&proc_root.join(pid.to_string()).join("cgroup")).ok()?);
    let main_group = sought.main_pid.and_then(of);
    let root =
        of(1).and_then(|group| group.strip_suffix("/init.scope").map(str::to_owned)).unwrap_or_default();
    let belongs = |group: &str| match (&main_group, &sought.unit) {
        (Some(main), _) => is_within(group, main),
        (None, Some(unit)) => bears_name(group.strip_prefix(&root).unwrap_or(group), unit),
        (None, None) => false,
    };
    let mut pids = Vec::new();
    for entry in std::fs::read_dir(proc_root)? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let is_named = sought.main_pid == Some(pid) || sought.pids.contains(&pid);
        if is_named || of(pid).is_some_and(|group| belongs(&group)) {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

/// The control group that systemd gave a process, from its `cgroup` file: of version 2, else of its own hierarchy of version
/// 1. Where both are mounted, everybody is in the root of the one that is not used.
fn group_of(text: &str) -> Option<String> {
    let of = |hierarchy: &str| {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (name, group) = rest.split_once(':')?;
            (name == hierarchy && group != "/").then(|| group.to_owned())
        })
    };
    of("").or_else(|| of("name=systemd"))
}

fn is_within(group: &str, parent: &str) -> bool {
    group.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether this is a unit's group, or one within: `/system.slice/web.service/worker`. A unit of that name within a container
/// is another one, so all above must be slices.
fn bears_name(group: &str, unit: &str) -> bool {
    let first = group.split('/').find(|part| !part.is_empty() && !part.ends_with(".slice"));
    first == Some(unit)
}

/// What the kernel tells of a process without asking the process's memory.
fn outside(folder: &Path, pid: u32, lines: &Lines) -> Option<()> {
    let status = match read(&folder.join("status")) {
        Ok(status) => status,
        Err(error) => return lines.add(format!("process {pid}: not had: {error}")),
    };
    let of = |name| field(&status, name).unwrap_or("?");
    lines.add(format!(
        "process {pid} ({}), state {}, parent {}, user {}, waits in {}",
        printable(of("Name").as_bytes()),
        of("State"),
        of("PPid"),
        of("Uid").split_whitespace().next().unwrap_or("?"),
        wait_channel(folder),
    ))?;
    let memory = ["VmRSS", "VmSwap", "VmHWM"].map(|name| format!("{name} {}", of(name)));
    lines.add(format!("  memory: {}", memory.join(", ")))?;
    threads(folder, lines)?;
    files(folder, lines)?;
    stack(folder, lines)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// The function of the kernel in which it sleeps; `-` when it does not, or when we may not see.
fn wait_channel(folder: &Path) -> String {
    match read(&folder.join("wchan")) {
        Ok(function) if !function.is_empty() && function != "0" => function,
        _ => "-".to_owned(),
    }
}

/// The threads, those with the same state and wait channel counted together.
fn threads(folder: &Path, lines: &Lines) -> Option<()> {
    let tasks = match std::fs::read_dir(folder.join("task")) {
        Ok(tasks) => tasks,
        Err(error) => return lines.add(format!("  threads: not had: {}", words(&error))),
    };
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    let mut more = 0;
    for (number, task) in tasks.flatten().enumerate() {
        if number >= THREADS {
            more += 1;
            continue;
        }
        let Ok(status) = read(&task.path().join("status")) else { continue };
        let state = field(&status, "State").and_then(|state| state.split_whitespace().next()).unwrap_or("?");
        *counted.entry(format!("{state} in {}", wait_channel(&task.path()))).or_default() += 1;
    }
    let mut told: Vec<String> = counted.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if more > 0 {
        told.push(format!("{more} not looked at"));
    }
    lines.add(format!("  threads: {}", told.join(", ")))
}

fn files(folder: &Path, lines: &Lines) -> Option<()> {
    let files = match std::fs::read_dir(folder.join("fd")) {
        Ok(files) => files,
        Err(error) => return lines.add(format!("  open files: not had: {}", words(&error))),
    };
    let mut numbers: Vec<u32> =
        files.flatten().filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    lines.add(format!("  open files: {}", numbers.len()))?;
    for number in numbers.iter().take(FILES) {
        match std::fs::read_link(folder.join("fd").join(number.to_string())) {
            Ok(target) => {
                lines.add(format!("    {number} -> {}", printable(target.as_os_str().as_encoded_bytes())))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return lines.add(format!("    which: not had: {}", words(&error)));
            }
            // It was closed meanwhile.
            Err(_) => {}
        }
    }
    match numbers.len().saturating_sub(FILES) {
        0 => Some(()),
        more => lines.add(format!("    and {more} more")),
    }
}

fn stack(folder: &Path, lines: &Lines) -> Option<()> {
    match read(&folder.join("stack")) {
        Ok(stack) if stack.trim().is_empty() => Some(()),
        Ok(stack) => {
            lines.add("  kernel stack:")?;
            stack.lines().take(FRAMES).try_for_each(|frame| lines.add(format!("    {frame}")))
        }
        Err(error) => lines.add(format!("  kernel stack: not had: {error}")),
    }
}

/// What lies in a process's own memory: its arguments, and its share of what it has in common with others.
fn inside(folder: &Path, pid: u32, lines: &Lines) -> Option<()> {
    let arguments = match read(&folder.join("cmdline")) {
        Ok(line) if line.is_empty() => "none".to_owned(),
        Ok(line) => printable(masked(line.trim_end_matches('\0').split('\0')).join(" ").as_bytes()),
        Err(error) => format!("not had: {error}"),
    };
    lines.add(format!("process {pid}, arguments: {arguments}"))?;
    let share = match read(&folder.join("smaps_rollup")) {
        Ok(text) => field(&text, "Pss").unwrap_or("?").to_owned(),
        Err(error) => format!("not had: {error}"),
    };
    lines.add(format!("process {pid}, proportional share of memory (Pss): {share}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_processes_are_known_by_their_control_group_and_not_those_of_a_container() {
        let is_of = |group: &str| bears_name(group, "web.service");
        assert!(is_of("/system.slice/web.service"));
        assert!(is_of("/system.slice/system-web.slice/web.service/worker"));
        assert!(!is_of("/system.slice/web.service.d"));
        assert!(!is_of("/machine.slice/a.scope/payload/system.slice/web.service"));
        assert!(!is_of("/"));
    }

    #[test]
    fn the_control_group_is_the_one_that_systemd_gave() {
        let of = |text| group_of(text);
        assert_eq!(of("0::/system.slice/web.service\n").as_deref(), Some("/system.slice/web.service"));
        let hybrid = "12:pids:/\n1:name=systemd:/system.slice/a:b.service\n0::/\n";
        assert_eq!(of(hybrid).as_deref(), Some("/system.slice/a:b.service"));
        let both = "9:name=systemd:/\n8:pids:/\n0::/system.slice/web.service\n";
        assert_eq!(of(both).as_deref(), Some("/system.slice/web.service"), "as in a container");
        assert_eq!(of("1:name=systemd:/\n0::/\n"), None, "the root is everybody's");
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a"));
        assert!(!is_within("/ab", "/a"));
    }
}
