//! Log output of everything below the commands, on standard error.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Cli, ColorWhen, Command, LogFormat};
use crate::report::{CliError, Result, USAGE};

/// Environment variable with a log filter, such as `dubernetes_core=debug,info`.
const VARIABLE: &str = "DUBERNETES_LOG";

/// Lines that may wait for standard error; further ones are lost, and counted.
const QUEUE_LINES: usize = 4096;

/// Installs the log subscriber. `-v` wins over the environment.
///
/// An orchestrator must not stand still because no process reads its log, so its lines go through a
/// queue. The returned guard writes the rest of them when dropped, unless that takes over a second.
pub(crate) fn start(cli: &Cli) -> Result<Option<LogQueue>> {
    let (serves, format) = if let Command::Serve(args) = &cli.command {
        (true, args.log_format)
    } else {
        (false, LogFormat::Text)
    };
    let filter = match (cli.global.verbose, std::env::var(VARIABLE)) {
        (0, Ok(filter)) => EnvFilter::try_new(&filter).map_err(|error| {
            CliError::with_source(&format!("invalid {VARIABLE}"), &error)
                .exiting_with(USAGE)
                .help(format!("for example `{VARIABLE}=debug`"))
        })?,
        (verbose, _) => EnvFilter::new(default_filter(serves, verbose)),
    };
    let queue = matches!(&cli.command, Command::Serve(_) | Command::Up(_))
        .then(|| LogQueue::start(io::stderr(), QUEUE_LINES, format));
    let writer = match &queue {
        Some(queue) => BoxMakeWriter::new(Arc::clone(&queue.writer)),
        None => BoxMakeWriter::new(io::stderr),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // Otherwise a closed standard error would end the process.
        .log_internal_errors(false)
        .with_ansi(is_colored(cli.global.color));
    let started = match format {
        LogFormat::Text => builder.finish().with(secret_filter()).try_init(),
        LogFormat::Json => builder.json().finish().with(secret_filter()).try_init(),
    };
    // A program that embeds this one may have installed its own subscriber.
    drop(started);
    Ok(queue)
}

/// The queue of log lines and the thread that writes them.
#[derive(Debug)]
pub(crate) struct LogQueue {
    writer: Arc<QueueWriter>,
    /// Flushes when dropped, after the last line was queued.
    _guard: WorkerGuard,
}

impl LogQueue {
    fn start(to: impl Write + Send + 'static, lines: usize, format: LogFormat) -> Self {
        let builder = NonBlockingBuilder::default().buffered_lines_limit(lines).lossy(true);
        let (queue, guard) = builder.finish(to);
        let writer = Arc::new(QueueWriter { queue, format, lost: Mutex::default() });
        Self { writer, _guard: guard }
    }
}

impl Drop for LogQueue {
    fn drop(&mut self) {
        self.writer.report_lost();
    }
}

/// Queues lines, and says how many were lost once there is room again.
#[derive(Debug)]
struct QueueWriter {
    queue: NonBlocking,
    format: LogFormat,
    lost: Mutex<Lost>,
}

/// Lost lines as counted by the queue.
#[derive(Debug, Default)]
struct Lost {
    /// Those that were reported.
    reported: usize,
    /// Reports that were lost themselves.
    reports: usize,
}

impl QueueWriter {
    fn report_lost(&self) {
        let counter = self.queue.error_counter();
        // A panic cannot leave the numbers half changed.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counter.dropped_lines();
        let news = count.saturating_sub(lost.reported).saturating_sub(lost.reports);
        if news == 0 {
            return;
        }
        let report = lost_line(news, self.format);
        // In this mode, writing to the queue cannot fail.
        let _ = self.queue.clone().write_all(report.as_bytes());
        if counter.dropped_lines() == count {
            lost.reported += news;
        } else {
            lost.reports += 1;
        }
    }
}

impl Write for &QueueWriter {
    /// Queues one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.report_lost();
        self.queue.clone().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the line that reports lost lines, in the shape of the others.
fn lost_line(count: usize, format: LogFormat) -> String {
    let message = format!("{count} lines of this log were lost: no process read it for a time");
    let time = Timestamp::now();
    match format {
        LogFormat::Text => format!("{time}  WARN dubernetes: {message}\n"),
        LogFormat::Json => {
            let line = serde_json::json!({
                "timestamp": time.to_string(), "level": "WARN",
                "fields": { "message": message, "lost": count }, "target": "dubernetes",
            });
            format!("{line}\n")
        }
    }
}

/// Returns the filter for a verbosity. Libraries log two levels later than this program.
fn default_filter(serves: bool, verbose: u8) -> &'static str {
    match verbose.saturating_add(u8::from(serves)) {
        0 => "error",
        1 => "warn,dubernetes=info",
        2 => "info,dubernetes=debug",
        3.. => "debug,dubernetes=trace",
    }
}

/// Hides debug messages of the engine's client under any filter: they hold whole requests, and
/// with them the environment of every container.
fn secret_filter() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_target("bollard", LevelFilter::INFO)
}

fn is_colored(when: ColorWhen) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            io::stderr().is_terminal()
                && anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A pipe whose reader takes one write per message.
    struct SlowPipe {
        reads: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for SlowPipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.reads.recv().map_err(io::Error::other)?;
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.written.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn unread_log_blocks_nothing_and_lost_lines_are_reported() {
        let (read, reads) = channel();
        let (written, lines) = channel();
        let queue = LogQueue::start(SlowPipe { reads, written }, 4, LogFormat::Text);
        let log = |line: &str| (&*queue.writer).write_all(line.as_bytes()).unwrap();
        // The reader waits: the pipe takes one of these, the queue four.
        (0..100).for_each(|number| log(&format!("line {number}\n")));
        (0..1000).for_each(|_| read.send(()).unwrap());
        let mut all: Vec<String> = lines.iter().take(4).collect();
        log("after\n");
        drop(queue);
        all.extend(lines.iter());
        assert_eq!(all.last().map(String::as_str), Some("after\n"), "{all:?}");
        let kept = all.iter().filter(|line| line.starts_with("line ")).count();
        let reports = all.iter().filter(|line| line.contains("lines of this log were lost"));
        let lost = reports.map(|line| {
            let count = line.split("dubernetes: ").nth(1).unwrap().split(' ').next().unwrap();
            count.parse::<usize>().unwrap()
        });
        assert!(kept < 10, "{all:?}");
        assert_eq!(kept + lost.sum::<usize>(), 100, "{all:?}");
    }
}
