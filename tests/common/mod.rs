//! What the integration tests share.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on ends its test")]
#![allow(dead_code, reason = "every test binary is compiled with all of it, and uses a part")]

pub(crate) mod servers;
pub(crate) mod site;
pub(crate) mod webdriver;

/// Says on stderr why a test did not run. With `WELLKEEP_TEST_REQUIRE_ALL=1` that is a failure, so that a machine that
/// is meant to run everything cannot lose a test in silence.
pub(crate) fn skip(reason: &str) {
    let required = std::env::var_os("WELLKEEP_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "could not run, because {reason}");
    // Not captured, unlike `eprintln!`: a test that passes shows nothing of that.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped, because {reason}");
}
