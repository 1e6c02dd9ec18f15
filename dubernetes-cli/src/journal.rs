//! Journal of the controller's decisions in the state folder, for `replay`.
//!
//! The journal is two files of lines. When the newer file is full it replaces the older one. A line
//! is one decision; it omits the desired state if that equals the line before. Values of
//! environments are replaced by hashes whose key is never stored.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use dubernetes_core::replay::{Decision, Journal, Recorder};
use dubernetes_core::state::{DesiredState, ObservedState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Size limit of each file.
const MAX_BYTES: u64 = 512 << 10;
/// Line limit of each file.
const MAX_LINES: u32 = 10_000;
/// Decisions that may wait for the disk; further ones are dropped.
const QUEUE_SIZE: usize = 64;
const NEWER: &str = "decisions.ndjson";
const OLDER: &str = "decisions.1.ndjson";

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    desired: Option<DesiredState>,
    observed: ObservedState,
    plan: String,
}

/// Records decisions. Writes all queued decisions when dropped.
#[derive(Debug)]
pub(crate) struct DecisionJournal {
    queue: Option<SyncSender<Decision>>,
    writer: Option<JoinHandle<()>>,
}

impl DecisionJournal {
    /// Continues the journal in the folder, which this process has locked.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut files = JournalFiles::open(folder, MAX_BYTES)?;
        let (queue, decisions): (_, Receiver<Decision>) = sync_channel(QUEUE_SIZE);
        let writer = thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let mut warned = false;
            for decision in decisions {
                let written = files.write(decision);
                if let (Err(error), false) = (&written, warned) {
                    tracing::warn!(%error, "cannot record decisions");
                }
                warned = written.is_err();
            }
        })?;
        Ok(Self { queue: Some(queue), writer: Some(writer) })
    }
}

impl Recorder for DecisionJournal {
    fn record(&self, decision: &Decision) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send(decision.clone()).is_err() {
            tracing::debug!("dropped a decision: the disk is slow");
        }
    }
}

impl Drop for DecisionJournal {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // The panic hook has reported a panic.
            let _ = writer.join();
        }
    }
}

/// Writes the files.
#[derive(Debug)]
struct JournalFiles {
    folder: PathBuf,
    file: File,
    max_bytes: u64,
    bytes: u64,
    lines: u32,
    desired: Option<DesiredState>,
    key: RandomState,
}

impl JournalFiles {
    fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        let mut file = open_for_append(&folder.join(NEWER))?;
        let before = fs::read(folder.join(NEWER))?;
        if before.last().is_some_and(|byte| *byte != b'\n') {
            // A crash cut the last line.
            file.write_all(b"\n")?;
        }
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        Ok(Self {
            folder: folder.to_owned(),
            file,
            max_bytes,
            bytes: u64::try_from(before.len()).unwrap_or(u64::MAX),
            lines: u32::try_from(lines).unwrap_or(u32::MAX),
            desired: None,
            key: RandomState::new(),
        })
    }

    fn write(&mut self, mut decision: Decision) -> io::Result<()> {
        decision.mask_environment(|value| format!("masked {:016x}", self.key.hash_one(value)));
        let Decision { at, desired, observed, plan } = decision;
        let known = self.desired.as_ref() == Some(&desired);
        let mut line = Line { at, desired: None, observed, plan };
        if !known {
            line.desired = Some(desired.clone());
        }
        let mut text = serde_json::to_string(&line)?;
        let full = self.bytes.saturating_add(length(&text)) > self.max_bytes;
        if self.lines > 0 && (full || self.lines >= MAX_LINES) {
            self.rotate()?;
            // Each file can be read on its own.
            line.desired = Some(desired.clone());
            text = serde_json::to_string(&line)?;
        }
        text.push('\n');
        // A single call, so a crash cuts at most the last line.
        self.file.write_all(text.as_bytes())?;
        self.bytes = self.bytes.saturating_add(length(&text));
        self.lines += 1;
        self.desired = Some(desired);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(self.folder.join(NEWER), self.folder.join(OLDER))?;
        self.file = open_for_append(&self.folder.join(NEWER))?;
        self.bytes = 0;
        self.lines = 0;
        Ok(())
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The journal in a folder, for reading.
#[derive(Debug)]
pub(crate) struct JournalFolder(pub(crate) PathBuf);

impl Journal for JournalFolder {
    fn read(&self, take: &mut dyn FnMut(Decision)) -> io::Result<usize> {
        let mut unread = 0;
        for name in [OLDER, NEWER] {
            let file = match File::open(self.0.join(name)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut last = None;
            for line in BufReader::new(file).split(b'\n') {
                let line = line?;
                if line.is_empty() {
                    continue;
                }
                // Skips a line that another version wrote or a crash cut, and lines that build on
                // it.
                let Ok(Line { at, desired, observed, plan }) = serde_json::from_slice(&line) else {
                    unread += 1;
                    last = None;
                    continue;
                };
                last = desired.or(last);
                match last.clone() {
                    Some(desired) => take(Decision { at, desired, observed, plan }),
                    None => unread += 1,
                }
            }
        }
        Ok(unread)
    }
}

#[cfg(test)]
mod tests {
    use dubernetes_core::app::{AppName, InstanceName, Stop};
    use dubernetes_core::store::Tombstone;

    use super::*;

    fn decision(number: i64) -> Decision {
        let at = Timestamp::from_second(number).unwrap();
        // The desired state changes with every tenth decision.
        let instance = InstanceName::parse(&format!("i{}", number / 10)).unwrap();
        let mut desired = DesiredState { instance, ..DesiredState::default() };
        let name = AppName::parse("gone").unwrap();
        let tombstone = Tombstone { deleted_at: Timestamp::UNIX_EPOCH, stop: Stop::default() };
        desired.tombstones.insert(name, tombstone);
        let mut decision =
            Decision { at, desired, observed: ObservedState::default(), plan: String::new() };
        decision.plan = decision.replay().to_string();
        decision
    }

    fn read_all(folder: &Path) -> (Vec<Decision>, usize) {
        let mut found = Vec::new();
        let journal = JournalFolder(folder.to_owned());
        let unread = journal.read(&mut |decision| found.push(decision)).unwrap();
        (found, unread)
    }

    #[test]
    fn next_process_continues_journal() {
        let folder = tempfile::tempdir().unwrap();
        for numbers in [0..15, 15..31] {
            let journal = DecisionJournal::open(folder.path()).unwrap();
            numbers.for_each(|number| journal.record(&decision(number)));
        }
        assert_eq!(read_all(folder.path()), ((0..31).map(decision).collect(), 0));
    }

    #[test]
    fn cut_line_is_skipped_alone() {
        let folder = tempfile::tempdir().unwrap();
        let write = |numbers: std::ops::Range<i64>| {
            let mut files = JournalFiles::open(folder.path(), MAX_BYTES).unwrap();
            numbers.for_each(|number| files.write(decision(number)).unwrap());
        };
        write(0..3);
        let path = folder.path().join(NEWER);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        write(3..5);
        assert_eq!(read_all(folder.path()), ([0, 1, 3, 4].map(decision).to_vec(), 1));
    }

    #[test]
    fn full_journal_keeps_two_independent_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = JournalFiles::open(folder.path(), 10_000).unwrap();
        (0..500).for_each(|number| files.write(decision(number)).unwrap());
        for name in [OLDER, NEWER] {
            assert!(fs::metadata(folder.path().join(name)).unwrap().len() <= 10_000);
        }
        let (found, unread) = read_all(folder.path());
        assert_eq!((found.last(), unread), (Some(&decision(499)), 0));
        assert!((20..500).contains(&found.len()), "{}", found.len());
    }
}
