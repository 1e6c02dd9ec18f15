//! The decisions of the controller, kept in the state folder so that `replay` can make them again.
//!
//! Two files of lines, the older of which goes when the newer one is full. A line is one decision,
//! without what is desired where that is as in the line before. Values of environments are not in
//! them: a hash stands there whose key nobody knows.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use dubernetes_core::replay::{Decision, Recorder};
use dubernetes_core::state::{DesiredState, ObservedState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::report::{CliError, Result};

/// The most bytes and lines of each of the two files.
const MAX_BYTES: u64 = 4 << 20;
const MAX_LINES: u32 = 10_000;
/// So many decisions may wait for the disk; more are lost.
const QUEUE: usize = 64;
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

/// Keeps decisions. Dropped, it writes what it still has.
#[derive(Debug)]
pub(crate) struct DecisionJournal {
    queue: Option<SyncSender<Decision>>,
    writer: Option<JoinHandle<()>>,
}

impl DecisionJournal {
    /// Goes on with what is in the folder, which is locked by this process.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut journal = JournalFiles::open(folder, MAX_BYTES)?;
        let (queue, decisions): (_, Receiver<Decision>) = sync_channel(QUEUE);
        let writer = thread::Builder::new().name("decisions".to_owned()).spawn(move || {
            let mut told = false;
            for decision in decisions {
                let written = journal.write(decision);
                if let (Err(error), false) = (&written, told) {
                    tracing::warn!(%error, "decisions cannot be kept");
                }
                told = written.is_err();
            }
        })?;
        Ok(Self { queue: Some(queue), writer: Some(writer) })
    }
}

impl Recorder for DecisionJournal {
    fn record(&self, decision: &Decision) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send(decision.clone()).is_err() {
            tracing::debug!("a decision was not kept: the disk is slow");
        }
    }
}

impl Drop for DecisionJournal {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // One that panicked has said so.
            let _ = writer.join();
        }
    }
}

/// The files, as they are written.
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
        let mut file = append(&folder.join(NEWER))?;
        let before = fs::read(folder.join(NEWER))?;
        if before.last().is_some_and(|byte| *byte != b'\n') {
            // The last line was cut by a crash.
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
            self.begin_anew()?;
            // Each file can be read by itself.
            line.desired = Some(desired.clone());
            text = serde_json::to_string(&line)?;
        }
        text.push('\n');
        // One call, so that a crash cuts the last line at most.
        self.file.write_all(text.as_bytes())?;
        self.bytes = self.bytes.saturating_add(length(&text));
        self.lines += 1;
        self.desired = Some(desired);
        Ok(())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        fs::rename(self.folder.join(NEWER), self.folder.join(OLDER))?;
        self.file = append(&self.folder.join(NEWER))?;
        (self.bytes, self.lines) = (0, 0);
        Ok(())
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Gives every decision that is kept to `take`, the oldest first; how many lines could not be read.
pub(crate) fn read(folder: &Path, mut take: impl FnMut(Decision)) -> Result<usize> {
    let mut unread = 0;
    for name in [OLDER, NEWER] {
        let path = folder.join(name);
        let cannot = |error: io::Error| {
            CliError::with_io_source(&format!("cannot read `{}`", path.display()), &error)
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(cannot(error)),
        };
        let mut last = None;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(cannot)?;
            if line.is_empty() {
                continue;
            }
            // What another version wrote, or a crash has cut, is passed over, and what builds on it.
            let Ok(Line { at, desired, observed, plan }) = serde_json::from_slice(&line) else {
                (unread, last) = (unread + 1, None);
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

#[cfg(test)]
mod tests {
    use dubernetes_core::app::{AppName, InstanceName, Stop};
    use dubernetes_core::store::Tombstone;

    use super::*;

    fn decision(number: i64) -> Decision {
        let at = Timestamp::from_second(number).unwrap();
        // What is desired changes with every tenth one.
        let instance = InstanceName::parse(&format!("i{}", number / 10)).unwrap();
        let mut desired = DesiredState { instance, ..DesiredState::default() };
        let name = AppName::parse("gone").unwrap();
        let (deleted_at, stop) = (Timestamp::UNIX_EPOCH, Stop::default());
        desired.tombstones.insert(name, Tombstone { deleted_at, stop });
        let mut decision =
            Decision { at, desired, observed: ObservedState::default(), plan: String::new() };
        decision.plan = decision.again().to_string();
        decision
    }

    fn all(folder: &Path) -> (Vec<Decision>, usize) {
        let mut found = Vec::new();
        let unread = read(folder, |decision| found.push(decision)).unwrap();
        (found, unread)
    }

    #[test]
    fn what_is_kept_is_read_and_the_next_process_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        for numbers in [0..15, 15..31] {
            let decisions = DecisionJournal::open(folder.path()).unwrap();
            numbers.for_each(|number| decisions.record(&decision(number)));
        }
        let (found, unread) = all(folder.path());
        assert_eq!((found, unread), ((0..31).map(decision).collect(), 0));
    }

    #[test]
    fn a_line_that_was_cut_takes_no_other_one_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let keep = |numbers: std::ops::Range<i64>| {
            let mut journal = JournalFiles::open(folder.path(), MAX_BYTES).unwrap();
            numbers.for_each(|number| journal.write(decision(number)).unwrap());
        };
        keep(0..3);
        let path = folder.path().join(NEWER);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        keep(3..5);
        let (found, unread) = all(folder.path());
        let wanted = [0, 1, 3, 4].map(decision).to_vec();
        assert_eq!((found, unread), (wanted, 1));
    }

    #[test]
    fn two_files_are_kept_and_each_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = JournalFiles::open(folder.path(), 10_000).unwrap();
        (0..500).for_each(|number| journal.write(decision(number)).unwrap());
        for name in [OLDER, NEWER] {
            assert!(fs::metadata(folder.path().join(name)).unwrap().len() <= 10_000);
        }
        let (found, unread) = all(folder.path());
        assert_eq!((found.last(), unread), (Some(&decision(499)), 0));
        assert!((20..500).contains(&found.len()), "{}", found.len());
    }
}
