//! The `wellkeep` command: arguments -> command -> exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    wellkeep::cli::main()
}
