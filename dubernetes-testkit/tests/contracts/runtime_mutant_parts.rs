//! The optional parts of a mutant.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::app::InstanceName;
use dubernetes_core::runtime::{
    ContainerId, ContainerState, Exec, ExecOutput, ExecRequest, ExecSession, FileEntry, Files,
    LogLine, LogOptions, Logs, Network, Networks, RuntimeError, RuntimeStream, Stats, StatsReader,
    Stdio,
};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;

use super::{Defect, Mutant};

#[async_trait]
impl Networks for Mutant {
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        let networks = self.inner.networks().unwrap();
        if self.has(Defect::NetworkShared) {
            return networks.ensure(&InstanceName::parse("one").unwrap()).await;
        }
        if self.has(Defect::NetworkChanges) && networks.find(instance).await?.is_some() {
            networks.remove(instance).await?;
            networks.ensure(&InstanceName::parse("two").unwrap()).await?;
        }
        networks.ensure(instance).await
    }

    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        self.inner.networks().unwrap().find(instance).await
    }

    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        self.inner.networks().unwrap().remove(instance).await
    }
}

#[async_trait]
impl Exec for Mutant {
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        let mut request = request.clone();
        match self.defect {
            Defect::ExecStartsStopped => self.inner.start(id).await?,
            Defect::ExecByShell => {
                let command = request.command.join(" ");
                request.command = ["sh", "-c", &command].map(str::to_owned).to_vec();
            }
            Defect::ExecInputDropped => request.stdin = false,
            Defect::ExecUserIgnored => request.user = None,
            Defect::TerminalSizeIgnored => {
                request.tty.iter_mut().for_each(|size| size.columns = 80);
            }
            _ => {}
        }
        let session = self.inner.exec().unwrap().exec(id, &request).await?;
        let ExecSession { input, output, resize } = session;
        let defect = self.defect;
        let mut length = 0;
        let output = output.map(move |output| {
            output.map(|output| match (defect, output) {
                (Defect::ExecExitCodeIsZero, ExecOutput::Exit(_)) => ExecOutput::Exit(0),
                (Defect::ExecStreamsJoined, ExecOutput::Stderr(part)) => ExecOutput::Stdout(part),
                (Defect::ExecOutputCut, ExecOutput::Stdout(part)) => {
                    length += part.len();
                    ExecOutput::Stdout(if length > 65_536 { Bytes::new() } else { part })
                }
                (_, output) => output,
            })
        });
        Ok(ExecSession { input, output: output.boxed(), resize })
    }

    async fn attach(&self, id: &ContainerId, stdio: Stdio) -> Result<ExecSession, RuntimeError> {
        let session = self.inner.exec().unwrap().attach(id, stdio).await?;
        if !self.has(Defect::AttachLosesOutput) {
            return Ok(session);
        }
        let is_kept = |output: &Result<ExecOutput, _>| !matches!(output, Ok(ExecOutput::Stdout(_)));
        let output = session.output.filter(move |output| std::future::ready(is_kept(output)));
        Ok(ExecSession { output: output.boxed(), ..session })
    }
}

#[async_trait]
impl Files for Mutant {
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        let mut files = files.to_vec();
        match self.defect {
            Defect::PutFilesDropped => files.clear(),
            Defect::LinksDropped => {
                files.retain(|file| !matches!(file, FileEntry::Symlink { .. }));
            }
            Defect::PutModesIgnored => {
                for file in &mut files {
                    if let FileEntry::PrivateFile { path, contents } = file.clone() {
                        *file = FileEntry::File { path, contents };
                    }
                }
            }
            _ => {}
        }
        self.inner.files().unwrap().put(id, &files).await
    }

    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        let read = self.inner.files().unwrap().read(id, directory).await;
        let is_missing = matches!(read, Err(RuntimeError::NotFound { kind: "directory", .. }));
        if self.has(Defect::MissingDirectoryIsEmpty) && is_missing {
            return Ok(BTreeMap::new());
        }
        read
    }
}

#[async_trait]
impl Logs for Mutant {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        let mut options = options.clone();
        match self.defect {
            Defect::TailIgnored => options.tail = None,
            Defect::SinceIgnored => options.since = None,
            Defect::SinceExcludesItsTime => {
                options.since = options.since.map(|since| since + jiff::Span::new().nanoseconds(1));
            }
            Defect::FollowEndsEarly => options.follow = false,
            _ => {}
        }
        let lines = match (self.defect, self.inner.logs().unwrap().read(id, &options).await) {
            (Defect::LogsOfMissingAreEmpty, Err(_)) => return Ok(stream::empty().boxed()),
            (_, lines) => lines?,
        };
        let state = self.inner.inspect(id).await?.state;
        Ok(match self.defect {
            Defect::LogsReversed => {
                let mut lines = lines.collect::<Vec<_>>().await;
                lines.reverse();
                stream::iter(lines).boxed()
            }
            Defect::StandardErrorUnmarked => {
                lines.map(|line| line.map(|line| LogLine { stderr: false, ..line })).boxed()
            }
            Defect::LongLinesSplit => lines.flat_map(split).boxed(),
            Defect::FollowNeverEnds if options.follow => lines.chain(stream::pending()).boxed(),
            Defect::LogsEndWithTheProcess if !matches!(state, ContainerState::Running { .. }) => {
                stream::empty().boxed()
            }
            _ => lines,
        })
    }
}

/// Splits a line after 16 KiB.
fn split(line: Result<LogLine, RuntimeError>) -> RuntimeStream<LogLine> {
    let Ok(line) = line else { return stream::iter([line]).boxed() };
    let (first, rest) = line.text.split_at(line.text.len().min(16 << 10));
    let part = |text: &str| Ok(LogLine { text: text.to_owned(), ..line.clone() });
    let parts: Vec<_> =
        [first, rest].into_iter().filter(|text| !text.is_empty()).map(part).collect();
    stream::iter(parts).boxed()
}

#[async_trait]
impl StatsReader for Mutant {
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        let stats = self.inner.stats().unwrap().read(id).await?;
        if self.has(Defect::StatsFall) {
            let cpu_nanos = u64::MAX - self.count();
            return Ok(Stats { cpu_nanos, read_at: Timestamp::now(), ..stats });
        }
        Ok(stats)
    }
}
