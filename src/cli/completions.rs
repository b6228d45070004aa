//! `wellkeep completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, print};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep completions bash > /etc/bash_completion.d/wellkeep\n  \
    wellkeep completions fish > ~/.config/fish/completions/wellkeep.fish\n\n\
    The Debian package brings them along.")]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "wellkeep", &mut text);
    print(&String::from_utf8_lossy(&text));
    Exit::Well
}
