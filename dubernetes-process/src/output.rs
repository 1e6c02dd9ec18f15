//! The output of a process: for each of its two streams a file that the process writes to, and a
//! second one with what was written before.
//!
//! The process writes by itself, so that its output outlives this program, and has no time stamps:
//! a line has the time at which it was seen, up to a second later. Lines of both streams that were
//! seen at one time are in no order.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dubernetes_core::error::SharedError;
use dubernetes_core::runtime::{ContainerId, LogLine, LogOptions, RuntimeError, RuntimeStream};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// Size from which on a file becomes the second one, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// Number of times that are remembered for a file.
const MAX_TIMES: usize = 1000;

/// Size of the pieces of a long line, in bytes.
const PIECE: usize = 64 << 10;

/// How often a reader that follows looks for new lines.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The output of one container.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stream,
    stderr: Stream,
}

/// The output to one stream.
#[derive(Debug)]
struct Stream {
    current: PathBuf,
    former: PathBuf,
    times: Mutex<Times>,
}

/// When which part of the files was seen.
#[derive(Debug, Default)]
struct Times {
    /// Sizes of the current file, and when the file had them.
    current: Vec<(u64, Timestamp)>,
    /// Those of the former one.
    former: Vec<(u64, Timestamp)>,
    /// How often the current file became the former one.
    rotations: u64,
    /// Bytes before the former file, of what was the current one.
    cut: u64,
}

/// Where a reader goes on.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    rotations: u64,
    offset: u64,
}

impl Output {
    /// Opens the output of a container, which may be of an earlier program.
    pub(crate) fn open(folder: &Path, id: &ContainerId) -> io::Result<Self> {
        let stream = |name: &str| Stream::open(folder.join(format!("{id}.{name}")));
        Ok(Self { stdout: stream("out")?, stderr: stream("err")? })
    }

    /// Returns the files to write to: of standard output and of standard error.
    pub(crate) fn writers(&self) -> io::Result<(File, File)> {
        Ok((self.stdout.writer()?, self.stderr.writer()?))
    }

    /// Remembers how much there is now, and bounds it. Lines that are written while a file becomes
    /// the former one may be lost.
    pub(crate) fn look(&self) {
        self.stdout.look();
        self.stderr.look();
    }

    /// Removes the files.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.stdout.remove().and(self.stderr.remove())
    }

    /// Returns the lines from `position` on by their times, and moves it behind them. A line
    /// without its end is left out unless `all`.
    fn read(&self, position: &mut [Position; 2], all: bool) -> io::Result<Vec<LogLine>> {
        let [stdout, stderr] = position;
        let mut lines = self.stdout.read(stdout, all)?;
        let errors = self.stderr.read(stderr, all)?;
        lines.extend(errors.into_iter().map(|line| LogLine { stderr: true, ..line }));
        lines.sort_by_key(|line| line.time);
        Ok(lines)
    }
}

impl Stream {
    fn open(current: PathBuf) -> io::Result<Self> {
        let mut former = current.clone().into_os_string();
        former.push(".1");
        let stream = Self { current, former: former.into(), times: Mutex::default() };
        drop(stream.writer()?);
        let seen = |path: &Path| {
            let file = fs::metadata(path).ok().filter(|file| file.len() > 0)?;
            Some((file.len(), Timestamp::try_from(file.modified().ok()?).ok()?))
        };
        let mut times = stream.times();
        times.current.extend(seen(&stream.current));
        times.former.extend(seen(&stream.former));
        times.rotations = u64::from(!times.former.is_empty());
        drop(times);
        Ok(stream)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.current)
    }

    fn look(&self) {
        let Ok(size) = fs::metadata(&self.current).map(|file| file.len()) else { return };
        let mut times = self.times();
        if times.current.last().map_or(0, |(size, _)| *size) != size {
            if times.current.len() >= MAX_TIMES {
                let mut keep = false;
                times.current.retain(|_| {
                    keep = !keep;
                    !keep
                });
            }
            times.current.push((size, Timestamp::now()));
        }
        if size >= MAX_SIZE && self.rotate(size - MAX_SIZE).is_ok() {
            let cut = size - MAX_SIZE;
            let behind = |(size, time): (u64, _)| Some((size.checked_sub(cut)?, time));
            times.former =
                std::mem::take(&mut times.current).into_iter().filter_map(behind).collect();
            times.rotations += 1;
            times.cut = cut;
        }
    }

    /// Copies what is behind `cut` to the former file, and empties the current one: the process has
    /// it open, so that it cannot be renamed.
    fn rotate(&self, cut: u64) -> io::Result<()> {
        let mut current = OpenOptions::new().read(true).write(true).open(&self.current)?;
        current.seek(SeekFrom::Start(cut))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        io::copy(&mut current, &mut options.open(&self.former)?)?;
        current.set_len(0)
    }

    fn remove(&self) -> io::Result<()> {
        let _ = fs::remove_file(&self.former);
        fs::remove_file(&self.current)
    }

    fn read(&self, position: &mut Position, all: bool) -> io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        let times = self.times();
        if position.rotations < times.rotations {
            let is_next = position.rotations + 1 == times.rotations;
            let offset = if is_next { position.offset.saturating_sub(times.cut) } else { 0 };
            read_file(&self.former, offset, true, &times.former, &mut lines)?;
            *position = Position { rotations: times.rotations, offset: 0 };
        }
        let from = position.offset;
        position.offset += read_file(&self.current, from, all, &times.current, &mut lines)?;
        Ok(lines)
    }
}

/// Reads lines from an offset on, and returns how many bytes they had.
fn read_file(
    path: &Path,
    offset: u64,
    all: bool,
    times: &[(u64, Timestamp)],
    lines: &mut Vec<LogLine>,
) -> io::Result<u64> {
    let mut bytes = Vec::new();
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    file.seek(SeekFrom::Start(offset))?;
    file.read_to_end(&mut bytes)?;
    let (mut at, now) = (offset, Timestamp::now());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n");
        if text.is_none() && !all {
            break;
        }
        let seen = times.iter().find(|(size, _)| *size > at).map_or(now, |(_, time)| *time);
        at += u64::try_from(line.len()).unwrap_or_default();
        let text = text.unwrap_or(line);
        let pieces = if text.is_empty() { vec![text] } else { text.chunks(PIECE).collect() };
        lines.extend(pieces.into_iter().map(|piece| LogLine {
            time: seen,
            stderr: false,
            text: String::from_utf8_lossy(piece).into_owned(),
        }));
    }
    Ok(at - offset)
}

/// Streams the lines of an output. `ended` is of the running process, if there is one.
pub(crate) fn stream(
    output: Arc<Output>,
    ended: Option<CancellationToken>,
    options: LogOptions,
) -> RuntimeStream<LogLine> {
    let ended = ended.filter(|_| options.follow);
    let state = Some((<[Position; 2]>::default(), true, ended));
    stream::unfold(state, move |state| {
        let (output, options) = (Arc::clone(&output), options.clone());
        async move {
            let (mut position, is_first, ended) = state?;
            if !is_first {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            // Before the lines are read: what is written until then is read as well.
            let is_over = ended.as_ref().is_none_or(CancellationToken::is_cancelled);
            let read = output.read(&mut position, is_over);
            let lines = read.map(|lines| selected(lines, &options, is_first));
            let next = (lines.is_ok() && !is_over).then_some((position, false, ended));
            let items: Vec<_> = match lines {
                Ok(lines) => lines.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(RuntimeError::Failed {
                    operation: "read the output of a process".to_owned(),
                    cause: SharedError::new(error),
                })],
            };
            Some((stream::iter(items), next))
        }
    })
    .flatten()
    .boxed()
}

/// Returns the lines that are asked for; of those that are there at first, only the last.
fn selected(mut lines: Vec<LogLine>, options: &LogOptions, is_first: bool) -> Vec<LogLine> {
    lines.retain(|line| options.since.is_none_or(|since| line.time >= since));
    if let Some(tail) = options.tail.filter(|_| is_first) {
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        lines.drain(..lines.len().saturating_sub(tail));
    }
    lines
}
