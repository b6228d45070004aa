//! `wellkeep logs`: what a service says and what Wellkeep says of it, together in the order of time. Both are in the
//! journal, and `journalctl` is who reads that: it knows which files there are and what we may see of them.

mod access;
mod entry;
mod selection;

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};

use self::access::Access;
use self::entry::Printer;
use self::selection::{Selection, Subject};
use super::document::Source;
use super::{Exit, complain, print, runtime, style};
use crate::systemd::{Bus, BusAddress};

/// Lines that are shown unless told otherwise.
const LINES: usize = 100;

/// systemd may take so long to say what a unit is really called.
const NAME_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wellkeep logs                       Wellkeep's own lines: the monitor's and the viewer's\n  \
    sudo wellkeep logs web              web's lines, systemd's about its unit, and Wellkeep's about it\n  \
    sudo wellkeep logs web db --errors --since 2h\n  \
    sudo wellkeep logs web --follow\n  \
    sudo wellkeep logs web --json | jq -r .MESSAGE\n\n\
    --errors goes by priority: of the service what is err or worse, of systemd and Wellkeep also warnings. What a program \
    prints without a priority, as most tracebacks, counts as info: look for those without --errors.\n\
    Times are UTC, as in status.json and in `wellkeep why`. Only root and the group systemd-journal see all lines. \
    journalctl reads the journal, and has to be there.\n\n\
    Exit codes: 0 shown, 2 cannot (no journal, no such service).")]
pub(super) struct Arguments {
    /// The services; without one, Wellkeep's own lines
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Only errors, and warnings of systemd and of Wellkeep
    #[arg(short, long)]
    errors: bool,
    /// From this moment on: 10m, 2h (ago), or what journalctl understands: "2026-11-23 14:00", yesterday
    #[arg(short = 'S', long, value_name = "TIME")]
    since: Option<String>,
    /// The latest so many lines [default: 100, with --since all]
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// As JSON: the journal's own entries, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    match show(&arguments) {
        Ok(()) => Exit::Well,
        Err(problem) => {
            complain(problem);
            Exit::CannotTell
        }
    }
}

fn show(arguments: &Arguments) -> Result<(), String> {
    let subjects = arguments.keys.iter().map(|key| subject(key, &arguments.source));
    let subjects: Vec<Subject> = subjects.collect::<Result<_, _>>()?;
    match Access::of_this_machine() {
        Access::NoJournal => {
            return Err(
                "this machine keeps no journal: it does not run systemd, or journald.conf says Storage=none"
                    .to_owned(),
            );
        }
        Access::OwnLinesOnly => {
            note("you see only your own lines: use sudo, or join the group systemd-journal");
        }
        Access::All => {}
    }
    for subject in subjects.iter().filter(|subject| subject.units.is_empty()) {
        note(format_args!("{} has no systemd unit: this is only what Wellkeep says of it", subject.key));
    }
    let selection = Selection {
        subjects,
        errors: arguments.errors,
        since: arguments.since.clone(),
        lines: arguments.lines.or_else(|| arguments.since.is_none().then_some(LINES)),
        follow: arguments.follow,
        whole: arguments.json,
    };
    let printer = (!arguments.json).then(Printer::default);
    read(&selection, printer)
}

/// The service of this key, with all the names of its units.
fn subject(key: &str, source: &Source) -> Result<Subject, String> {
    let mut units = source.units_of(key)?;
    // The journal knows a unit by its own name only, and people may use another: sshd.service is ssh.service on Debian.
    let names: Vec<&str> = units.iter().map(String::as_str).collect();
    let bus = Bus::new(BusAddress::System);
    if !names.is_empty()
        && let Ok(Ok(states)) = runtime::block_on(bus.units(&names, NAME_LIMIT))
    {
        units.extend(states.into_iter().map(|state| state.name));
        units.sort();
        units.dedup();
    }
    Ok(Subject { key: key.to_owned(), units })
}

/// Has journalctl read what is selected, and prints it; as it is without a printer.
fn read(selection: &Selection, mut printer: Option<Printer>) -> Result<(), String> {
    let mut command = Command::new("journalctl");
    // Times that people give are of the same zone as those they are shown.
    command.args(selection.arguments()).env("TZ", "UTC").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut reader = Reader(command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "journalctl is not installed, and it is what reads the journal".to_owned(),
        _ => format!("journalctl cannot be run: {error}"),
    })?);
    let output = reader.0.stdout.take().ok_or("journalctl has no output")?;
    let mut is_empty = true;
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        // Who follows the journal into `head` would else notice only at the next line that `head` is gone.
        if output.buffer().is_empty() && !waits_for_us(output.get_ref()) {
            return Ok(());
        }
        line.clear();
        match output.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => is_empty = false,
            Err(error) => return Err(format!("the output of journalctl cannot be read: {error}")),
        }
        let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        let text = match &mut printer {
            Some(printer) => printer.shown(&line),
            None => format!("{line}\n"),
        };
        if !print(&text) {
            return Ok(());
        }
    }
    let status = reader.0.wait().map_err(|error| format!("journalctl's end is not known: {error}"))?;
    if !status.success() {
        return Err(format!("journalctl could not read the journal: it ended with {status}"));
    }
    if is_empty && printer.is_some() {
        print("No line is in the journal.\n");
    }
    Ok(())
}

/// Waits until there is something to read. False when whoever reads what we write went away before.
fn waits_for_us(output: &impl AsFd) -> bool {
    let stdout = io::stdout();
    let mut both = [PollFd::new(output, PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
    // An interruption is as good as something to read: reading waits, too.
    let _ = poll(&mut both, None);
    !both[1].revents().intersects(PollFlags::ERR | PollFlags::HUP) || !both[0].revents().is_empty()
}

/// journalctl at work. It ends with us: whoever reads our lines may have gone away, and it would follow the journal for ever.
struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says something beside the lines, so that it stays out of a pipe.
fn note(words: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{}", style::paint(style::FAINT, format!("note: {words}")));
}
