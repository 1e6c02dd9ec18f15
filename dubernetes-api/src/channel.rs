//! Frames of an exec session or of a one-off container: one byte for the channel, then the payload.

use bytes::{BufMut as _, Bytes, BytesMut};
use dubernetes_core::app::Signal;
use dubernetes_core::runtime::TerminalSize;

/// Largest part of the input in one frame.
pub(crate) const CHUNK: usize = 32 << 10;

/// A binary message of an exec session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Channel 0: part of the command's standard input.
    Input(Bytes),
    /// Channel 1: part of its standard output.
    Stdout(Bytes),
    /// Channel 2: part of its standard error.
    Stderr(Bytes),
    /// Channel 3: the command exited with this code, sent as text.
    Exit(i64),
    /// Channel 4: the standard input ends.
    InputEnd,
    /// Channel 5: the terminal was resized; columns and rows, sent as text.
    Size(TerminalSize),
    /// Channel 6: a signal for the process of a one-off container, sent as text such as `SIGINT`.
    Signal(Signal),
}

impl Frame {
    pub(crate) fn encode(&self) -> Bytes {
        let text;
        let (channel, payload): (u8, &[u8]) = match self {
            Self::Input(part) => (0, part),
            Self::Stdout(part) => (1, part),
            Self::Stderr(part) => (2, part),
            Self::Exit(code) => {
                text = code.to_string();
                (3, text.as_bytes())
            }
            Self::InputEnd => (4, &[]),
            Self::Size(TerminalSize { columns, rows }) => {
                text = format!("{columns} {rows}");
                (5, text.as_bytes())
            }
            Self::Signal(signal) => (6, signal.as_str().as_bytes()),
        };
        let mut out = BytesMut::with_capacity(payload.len() + 1);
        out.put_u8(channel);
        out.put_slice(payload);
        out.freeze()
    }

    /// Returns `None` for bytes that are not a frame of this protocol.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let payload = bytes.slice(1.min(bytes.len())..);
        match bytes.first()? {
            0 => Some(Self::Input(payload)),
            1 => Some(Self::Stdout(payload)),
            2 => Some(Self::Stderr(payload)),
            3 => std::str::from_utf8(&payload).ok()?.parse().ok().map(Self::Exit),
            4 if payload.is_empty() => Some(Self::InputEnd),
            5 => {
                let (columns, rows) = std::str::from_utf8(&payload).ok()?.split_once(' ')?;
                let size =
                    TerminalSize { columns: columns.parse().ok()?, rows: rows.parse().ok()? };
                Some(Self::Size(size))
            }
            6 => std::str::from_utf8(&payload).ok()?.parse().ok().map(Self::Signal),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_malformed_ones_are_rejected() {
        let part = Bytes::from_static(b"\x00ab\xff");
        for frame in [
            Frame::Input(part.clone()),
            Frame::Stdout(part.clone()),
            Frame::Stderr(part),
            Frame::Exit(-1),
            Frame::Exit(137),
            Frame::InputEnd,
            Frame::Size(TerminalSize { columns: 80, rows: 24 }),
            Frame::Signal(Signal::SigInt),
        ] {
            assert_eq!(Frame::decode(&frame.encode()), Some(frame));
        }
        for bytes in [
            &b""[..],
            b"\x03",
            b"\x03x",
            b"\x04x",
            b"\x05",
            b"\x0580",
            b"\x0580 70000",
            b"\x06",
            b"\x06SIGNO",
            b"\x07",
            b"\xff",
        ] {
            assert_eq!(Frame::decode(&Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
    }
}
