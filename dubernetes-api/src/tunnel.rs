//! A connection through a WebSocket: the same two copies on both sides of it.
//!
//! Each binary message is a part of what one side says, and an empty one is the end of it; the
//! other direction goes on. A WebSocket that closes before both ends are said has broken.

use bytes::Bytes;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::channel::CHUNK;

/// The connection ended before both sides had said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// Copies in both directions until both ends are said; nothing in `stream` is the end of the
/// WebSocket. At most one part of each is held, so a
/// slow reader slows its writer down.
pub(crate) async fn relay(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    sink: impl Sink<Bytes> + Unpin,
    stream: impl Stream<Item = Option<Bytes>> + Unpin,
) -> Result<(), Broken> {
    let said = CancellationToken::new();
    tokio::try_join!(send(reader, sink, &said), receive(writer, stream, &said)).map(drop)
}

async fn send(
    mut reader: impl AsyncRead + Unpin,
    mut sink: impl Sink<Bytes> + Unpin,
    said: &CancellationToken,
) -> Result<(), Broken> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let size = reader.read(&mut buffer).await.map_err(|_| Broken)?;
        sink.send(Bytes::copy_from_slice(&buffer[..size])).await.map_err(|_| Broken)?;
        if size == 0 {
            said.cancel();
            return Ok(());
        }
    }
}

async fn receive(
    mut writer: impl AsyncWrite + Unpin,
    mut stream: impl Stream<Item = Option<Bytes>> + Unpin,
    said: &CancellationToken,
) -> Result<(), Broken> {
    while let Some(Some(part)) = stream.next().await {
        if part.is_empty() {
            writer.shutdown().await.map_err(|_| Broken)?;
            // Nothing more comes but the end of the WebSocket itself, which is too early as long
            // as our own side still speaks. Both arms end the wait.
            tokio::select! {
                biased;
                () = said.cancelled() => return Ok(()),
                _ = stream.next() => return Err(Broken),
            }
        }
        writer.write_all(&part).await.map_err(|_| Broken)?;
    }
    Err(Broken)
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::sync::mpsc;

    use super::*;

    struct Side {
        far: DuplexStream,
        out: mpsc::Receiver<Bytes>,
        into: mpsc::Sender<Option<Bytes>>,
        relay: tokio::task::JoinHandle<Result<(), Broken>>,
    }

    fn side() -> Side {
        let (far, near) = duplex(64);
        let (reader, writer) = tokio::io::split(near);
        let (sink, out) = mpsc::channel(1);
        let (into, parts) = mpsc::channel(1);
        let sink = Box::pin(futures_util::sink::unfold(sink, |sink, part| async move {
            sink.send(part).await.map(|()| sink)
        }));
        let stream = futures_util::stream::unfold(parts, |mut parts| async move {
            parts.recv().await.map(|part| (part, parts))
        });
        let relay = relay(reader, writer, sink, stream.boxed());
        let relay = tokio::spawn(relay);
        Side { far, out, into, relay }
    }

    #[tokio::test]
    async fn each_direction_ends_by_itself() {
        let mut side = side();
        side.far.write_all(b"question").await.unwrap();
        assert_eq!(side.out.recv().await.unwrap(), "question");
        side.far.shutdown().await.unwrap();
        assert_eq!(side.out.recv().await.unwrap(), "", "the end is said");
        side.into.send(Some(Bytes::from_static(b"answer"))).await.unwrap();
        side.into.send(Some(Bytes::new())).await.unwrap();
        let mut answer = String::new();
        side.far.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        assert_eq!(side.relay.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn an_end_that_nobody_said_breaks_it() {
        let whole = side();
        drop(whole.into);
        assert_eq!(whole.relay.await.unwrap(), Err(Broken));
        let half = side();
        half.into.send(Some(Bytes::new())).await.unwrap();
        drop(half.into);
        assert_eq!(half.relay.await.unwrap(), Err(Broken), "our side still speaks");
    }

    #[tokio::test]
    async fn a_slow_reader_slows_its_writer_down() {
        let mut side = side();
        let flood = vec![7; 1 << 20];
        let writing = side.far.write_all(&flood);
        let slow = tokio::time::timeout(std::time::Duration::from_millis(100), writing).await;
        assert!(slow.is_err(), "nobody reads, so not all of it is taken");
    }
}
