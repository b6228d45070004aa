use sysinfo::{CpuRefreshKind, MemoryRefreshKind, System};

use crate::status::Host;

/// The machine's own figures for the document. What cannot change while we run is read once; the rest costs three
/// small files of `/proc` (0.04 ms).
#[derive(Debug)]
pub struct Figures {
    system: Option<System>,
    fixed: Host,
}

impl Figures {
    /// Reads what stays the same.
    pub fn new() -> Figures {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_list(CpuRefreshKind::nothing());
        }
        let cpus = system.as_ref().map_or(0, |system| system.cpus().len());
        let fixed = Host {
            name: System::host_name().unwrap_or_else(|_| "localhost".into()),
            os: os(),
            kernel: System::kernel_version().ok(),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            ..Host::default()
        };
        Figures { system, fixed }
    }

    /// The figures of this moment; 0 for one that cannot be read.
    pub fn read(&mut self) -> Host {
        let mut host = self.fixed.clone();
        host.uptime_s = System::uptime().unwrap_or(0);
        if let Ok(load) = System::load_average() {
            host.load = [load.one, load.five, load.fifteen];
        }
        if let Some(system) = &mut self.system {
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            host.memory_total_bytes = system.total_memory();
            host.memory_available_bytes = system.available_memory();
        }
        host
    }
}

/// The name and, where it has one, the version: `Debian GNU/Linux 12`.
fn os() -> Option<String> {
    let name = System::name().ok()?;
    Some(System::os_version().map(|version| format!("{name} {version}")).unwrap_or(name))
}

impl Default for Figures {
    fn default() -> Self {
        Figures::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_this_machine_are_plausible() {
        let host = Figures::new().read();
        assert!(!host.name.is_empty());
        assert!(host.cpus >= 1);
        assert!(host.uptime_s > 0);
        assert!(host.memory_total_bytes > 16 << 20, "{host:?}");
        assert!(host.memory_available_bytes > 0);
        assert!(host.memory_available_bytes <= host.memory_total_bytes);
        assert!(host.kernel.is_some());
    }
}
