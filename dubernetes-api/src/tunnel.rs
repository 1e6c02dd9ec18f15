//! Copies a connection through a WebSocket, the same way on both sides.
//!
//! Each binary message is data of one direction; an empty message ends that direction while the
//! other one continues. A WebSocket that closes before both directions have ended is broken.

use bytes::Bytes;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::channel::CHUNK;

/// The WebSocket closed before both directions had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TunnelBroken;

/// Copies both directions until both have ended. A `None` in `stream` means that the WebSocket has
/// closed. Each direction buffers at most one message, so a slow reader slows down its writer.
pub(crate) async fn relay(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    sink: impl Sink<Bytes> + Unpin,
    stream: impl Stream<Item = Option<Bytes>> + Unpin,
) -> Result<(), TunnelBroken> {
    let own_end = CancellationToken::new();
    tokio::try_join!(send(reader, sink, &own_end), receive(writer, stream, &own_end)).map(drop)
}

async fn send(
    mut reader: impl AsyncRead + Unpin,
    mut sink: impl Sink<Bytes> + Unpin,
    own_end: &CancellationToken,
) -> Result<(), TunnelBroken> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let size = reader.read(&mut buffer).await.map_err(|_| TunnelBroken)?;
        sink.send(Bytes::copy_from_slice(&buffer[..size])).await.map_err(|_| TunnelBroken)?;
        if size == 0 {
            own_end.cancel();
            return Ok(());
        }
    }
}

async fn receive(
    mut writer: impl AsyncWrite + Unpin,
    mut stream: impl Stream<Item = Option<Bytes>> + Unpin,
    own_end: &CancellationToken,
) -> Result<(), TunnelBroken> {
    while let Some(Some(part)) = stream.next().await {
        if part.is_empty() {
            writer.shutdown().await.map_err(|_| TunnelBroken)?;
            // Only the close of the WebSocket can follow, which is too early while our direction is
            // open. Both arms end the wait.
            tokio::select! {
                biased;
                () = own_end.cancelled() => return Ok(()),
                _ = stream.next() => return Err(TunnelBroken),
            }
        }
        writer.write_all(&part).await.map_err(|_| TunnelBroken)?;
    }
    Err(TunnelBroken)
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
        relay: tokio::task::JoinHandle<Result<(), TunnelBroken>>,
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
    async fn directions_end_independently() {
        let mut side = side();
        side.far.write_all(b"question").await.unwrap();
        assert_eq!(side.out.recv().await.unwrap(), "question");
        side.far.shutdown().await.unwrap();
        assert_eq!(side.out.recv().await.unwrap(), "", "the end is passed on");
        side.into.send(Some(Bytes::from_static(b"answer"))).await.unwrap();
        side.into.send(Some(Bytes::new())).await.unwrap();
        let mut answer = String::new();
        side.far.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        assert_eq!(side.relay.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn close_before_both_ends_breaks_tunnel() {
        let whole = side();
        drop(whole.into);
        assert_eq!(whole.relay.await.unwrap(), Err(TunnelBroken));
        let half = side();
        half.into.send(Some(Bytes::new())).await.unwrap();
        drop(half.into);
        assert_eq!(half.relay.await.unwrap(), Err(TunnelBroken), "the other direction is open");
    }

    #[tokio::test]
    async fn slow_reader_slows_down_writer() {
        let mut side = side();
        let flood = vec![7; 1 << 20];
        let writing = side.far.write_all(&flood);
        let slow = tokio::time::timeout(std::time::Duration::from_millis(100), writing).await;
        assert!(slow.is_err(), "not all of it is taken while nothing is read");
    }
}
