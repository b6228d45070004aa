//! Where the log goes: to the journal with fields when stderr is the journal, else to stderr, as text or as JSON. Never to
//! both.
//!
//! Whoever has something to say never waits for who takes it: a journal that hangs blocks its writers from the 166th line
//! on, a pipe that nobody reads after 64 KiB, and the one thread of the loop must not stand still for that. So each line
//! becomes a value (`line`), waits in a bounded queue (`queue`), and is written by a thread of its own (`sink`). When the
//! queue is full lines are lost; that is told with their number as soon as the others are out.

mod line;
mod queue;
mod sink;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{backtrace, io, panic};

use clap::ValueEnum;
use tracing::{Event, Subscriber, warn};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use self::queue::{Next, Queue};
use self::sink::Sink;
use super::complain;
use super::words::counted;
use crate::log::Kind;

pub(super) use self::line::Line;

/// So many lines may wait. A thousand services that go down at once have three to tell of each; what hangs for longer than
/// it takes to say that loses some.
pub(super) const ROOM: usize = 4096;

/// The end of the program waits for the last lines at most so long.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The name of the thread that writes.
const THREAD: &str = "log";

/// The form of the log on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The log at work. When it is dropped all lines are out, or 2 s have passed.
pub(super) struct Log {
    queue: Arc<Queue>,
}

impl Log {
    /// Says why the program ends. In text it is told like every other wrong use of a command.
    pub(super) fn fail(&self, event: Kind, why: impl std::fmt::Display) {
        self.queue.push(Line::last_words(event, why.to_string()));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.flush(LAST_LINES);
    }
}

/// Sets the log up, once. None when the system is at its limit of threads, which it says.
pub(super) fn start(format: Option<LogFormat>) -> Option<Log> {
    let queue = Arc::new(Queue::new(ROOM));
    if let Err(error) = begin(queue.clone(), Sink::open(format)) {
        complain(format_args!("cannot start the thread of the log: {error}"));
        return None;
    }
    tracing_subscriber::registry().with(LevelFilter::INFO).with(Collector(queue.clone())).init();
    tell_faults(queue.clone());
    Some(Log { queue })
}

/// The thread that writes. It is never waited for: it may hang.
fn begin(queue: Arc<Queue>, mut sink: Sink) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
        loop {
            match queue.next() {
                Next::Line(line) => sink.write(&line),
                // A line as any other, at the end of the queue.
                Next::Lost(count) => {
                    let lines = counted(usize::try_from(count).unwrap_or(usize::MAX), "line");
                    warn!(event = %Kind::Log, "{lines} of the log were lost before this one: nobody took them");
                }
            }
        }
    })
}

/// Makes each panic a line. Without this it would be written beside the log, and by a thread that then waits for a stderr
/// that nobody reads.
fn tell_faults(queue: Arc<Queue>) {
    let otherwise = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if thread::current().name() == Some(THREAD) {
            return otherwise(panic);
        }
        let thread = thread::current().name().unwrap_or("without a name").to_owned();
        let mut text = format!("a fault in Wellkeep, please report it: thread {thread} {panic}");
        let backtrace = backtrace::Backtrace::capture();
        if backtrace.status() == backtrace::BacktraceStatus::Captured {
            text += &format!("\n{backtrace}");
        }
        queue.push(Line::last_words(Kind::Fault, text));
    }));
}

/// Makes each event a line that waits.
struct Collector(Arc<Queue>);

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.push(Line::of(event));
    }
}
