//! Sends images of this machine's engine to that of the orchestrator, without a registry.

use std::fs::File;
use std::io::{self, IsTerminal as _, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use dubernetes_api::Client;
use dubernetes_api::wire::ImageLayers;
use dubernetes_core::app::ImageRef;
use dubernetes_core::runtime::{
    Capability, ContainerRuntime, RuntimeError, RuntimeStream, require,
};
use futures_util::stream::Stream;
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::image_archive::{Shipment, find_shipment};
use crate::report::{self, CliError, Result};

/// Bytes that are read and sent at a time.
const CHUNK: u64 = 64 << 10;
/// What ends an archive.
const END: [u8; 1024] = [0; 1024];

/// The engine of this machine, and the orchestrator that gets its images.
pub(crate) struct Sender<'a> {
    local: Arc<dyn ContainerRuntime>,
    client: &'a Client,
    /// Images of the other engine.
    known: Vec<ImageLayers>,
}

impl<'a> Sender<'a> {
    /// Asks the orchestrator for the layers that its engine has.
    pub(crate) async fn new(local: Arc<dyn ContainerRuntime>, client: &'a Client) -> Result<Self> {
        Ok(Self { local, client, known: client.images().await? })
    }

    /// Sends an image. Returns `false` if it is not on this machine.
    pub(crate) async fn send(&self, image: &ImageRef) -> Result<bool> {
        let failed = |error: RuntimeError| {
            CliError::with_source(&format!("cannot read the image `{image}`"), &error)
        };
        let images = require(self.local.images(), Capability::Images).map_err(failed)?;
        let archive = match images.save(image).await {
            Ok(archive) => spool(archive).await.map_err(failed)?,
            Err(RuntimeError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let unreadable = |error: io::Error| {
            CliError::with_io_source(&format!("cannot read the archive of image `{image}`"), &error)
        };
        let shipment = find_shipment(&archive, &self.known).map_err(unreadable)?;
        report::note(&format!("{image}: {}", describe(&shipment)));
        let bar = progress_bar(shipment.size());
        let sent = self.client.load_images(read(archive, shipment.parts, bar.clone())).await;
        bar.finish_and_clear();
        sent?;
        Ok(true)
    }
}

/// Says how much is sent, such as `sending 12 MB, 2 of 7 layers`.
fn describe(shipment: &Shipment) -> String {
    let Shipment { layers, missing, .. } = shipment;
    match missing {
        0 => format!("all {layers} layers are there already"),
        missing => {
            let size = shipment.size().div_ceil(1_000_000);
            format!("sending {size} MB, {missing} of {layers} layers")
        }
    }
}

/// Writes an archive to a file without a name, to know its parts before the first one is sent.
async fn spool(mut archive: RuntimeStream<bytes::Bytes>) -> Result<File, RuntimeError> {
    let failed = |error: io::Error| RuntimeError::Failed {
        operation: format!("fill a file in `{}`", std::env::temp_dir().display()),
        cause: dubernetes_core::error::SharedError::new(error),
    };
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(failed)?);
    while let Some(part) = archive.next().await {
        file.write_all(&part?).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(file.into_std().await)
}

/// Reads parts of a file, and then the end of an archive.
fn read(
    file: File,
    parts: Vec<Range<u64>>,
    bar: ProgressBar,
) -> impl Stream<Item = io::Result<bytes::Bytes>> + Send + 'static {
    let chunks = parts.into_iter().flat_map(|part| {
        let end = part.end;
        let starts = std::iter::successors(Some(part.start), |start| Some(start + CHUNK));
        starts.take_while(move |start| *start < end).map(move |start| start..end.min(start + CHUNK))
    });
    let chunks: Vec<_> = chunks.collect();
    let file = tokio::fs::File::from_std(file);
    let state = (file, chunks.into_iter(), bar);
    let contents = stream::unfold(state, |(mut file, mut chunks, bar)| async move {
        let chunk = chunks.next()?;
        let size = chunk.end - chunk.start;
        let read = async {
            file.seek(SeekFrom::Start(chunk.start)).await?;
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            file.read_exact(&mut bytes).await?;
            Ok(bytes::Bytes::from(bytes))
        };
        let read = read.await;
        bar.inc(size);
        Some((read, (file, chunks, bar)))
    });
    contents.chain(stream::iter([Ok(bytes::Bytes::from_static(&END))]))
}

fn progress_bar(size: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}");
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    // The template is a constant; without it the bar has its default form.
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
