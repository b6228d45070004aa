use std::path::Path;

use super::gather::{Lines, read};

/// Those of the many lines of `meminfo` that say whether memory is short.
const OF_MEMORY: [&str; 9] = [
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Buffers",
    "Cached",
    "SwapTotal",
    "SwapFree",
    "Dirty",
    "Writeback",
];

/// How the machine is doing: load, who waits for what, memory.
pub(super) fn describe(proc_root: &Path, lines: &Lines) -> Option<()> {
    let told = |name: &str| match read(&proc_root.join(name)) {
        Ok(text) => text.trim_end().replace('\n', "\n    "),
        Err(error) => format!("not had: {error}"),
    };
    lines.add(format!("load: {}", told("loadavg")))?;
    for resource in ["cpu", "memory", "io"] {
        lines.add(format!("pressure, {resource}:\n    {}", told(&format!("pressure/{resource}"))))?;
    }
    match read(&proc_root.join("meminfo")) {
        Ok(text) => {
            let wanted = |line: &&str| line.split(':').next().is_some_and(|name| OF_MEMORY.contains(&name));
            text.lines().filter(wanted).try_for_each(|line| lines.add(line))
        }
        Err(error) => lines.add(format!("memory: not had: {error}")),
    }
}
