//! How much the machine itself starves: the kernel's pressure stall information.

use std::fs;
use std::path::Path;

use crate::engine::Pressure;

/// Reads `pressure/` below `proc_root`. None for what the kernel does not tell: before Linux 4.20, built without it, or
/// booted with `psi=0`.
pub fn pressure(proc_root: &Path) -> Pressure {
    let read = |resource: &str| {
        let text = fs::read_to_string(proc_root.join("pressure").join(resource)).ok()?;
        some_of_ten_seconds(&text)
    };
    Pressure { memory: read("memory"), cpu: read("cpu"), io: read("io") }
}

/// From a line like `some avg10=1.23 avg60=0.40 avg300=0.08 total=1234`.
fn some_of_ten_seconds(text: &str) -> Option<f32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: &str = "\
some avg10=12.34 avg60=5.00 avg300=1.00 total=123456
full avg10=1.50 avg60=0.00 avg300=0.00 total=789
";

    #[test]
    fn the_share_in_which_some_task_waited_is_read() {
        let proc_root = tempfile::tempdir().unwrap();
        fs::create_dir(proc_root.path().join("pressure")).unwrap();
        fs::write(proc_root.path().join("pressure/memory"), MEMORY).unwrap();
        fs::write(proc_root.path().join("pressure/io"), "full avg10=1.50\nsome avg10=0.00\n").unwrap();
        let expected = Pressure { memory: Some(12.34), cpu: None, io: Some(0.0) };
        assert_eq!(pressure(proc_root.path()), expected);
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_absent() {
        let proc_root = tempfile::tempdir().unwrap();
        assert_eq!(pressure(proc_root.path()), Pressure::default());
        for text in ["", "some", "some avg10=", "some avg10=much", "full avg10=1.00"] {
            assert_eq!(some_of_ten_seconds(text), None, "{text:?}");
        }
    }
}
