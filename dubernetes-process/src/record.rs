//! The record of a container: a JSON file, by which the next program knows its process.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use dubernetes_core::app::Signal;
use dubernetes_core::runtime::{Container, ContainerId, ContainerState, Exit};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;

/// What is known of a container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) container: Container,
    /// The process, once it was started.
    pub(crate) process: Option<ProcessId>,
    pub(crate) stop_signal: Option<Signal>,
}

impl Record {
    /// Reads all records in a folder, and creates the folder if it is missing.
    pub(crate) fn read_all(folder: &Path) -> io::Result<Vec<Self>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut records = Vec::new();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            if path.extension().is_some_and(|end| end == "json") {
                let damaged = |error| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("the record `{}` is damaged: {error}", path.display()),
                    )
                };
                records.push(serde_json::from_slice(&fs::read(&path)?).map_err(damaged)?);
            }
        }
        Ok(records)
    }

    /// Writes the record, or leaves the former one.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let path = Self::path(folder, &self.container.id);
        let unfinished = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&unfinished)?.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(unfinished, path)
    }

    /// Removes the record of a container.
    pub(crate) fn remove(folder: &Path, id: &ContainerId) -> io::Result<()> {
        fs::remove_file(Self::path(folder, id))
    }

    fn path(folder: &Path, id: &ContainerId) -> PathBuf {
        folder.join(format!("{id}.json"))
    }

    /// Records that the process ended just now.
    pub(crate) fn end(&mut self, code: i64) {
        let finished_at = Timestamp::now();
        let started_at = self.container.state.started_at().unwrap_or(finished_at);
        let exit = Exit { code, out_of_memory: false, started_at, finished_at };
        self.container.state = ContainerState::Exited(exit);
        self.container.endpoint = None;
        self.process = None;
    }
}
