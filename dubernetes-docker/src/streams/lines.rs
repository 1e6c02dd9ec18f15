//! Pieces of output as whole lines. Pure.
//!
//! The engine keeps lines of at most 16 KiB, and gives longer ones in pieces: each begins with
//! the time, and only the last has a line end. Pieces of the two outputs come interleaved.

use dubernetes_core::runtime::LogLine;
use jiff::Timestamp;

/// The longest line, see [`LogLine`].
const MAX_LINE: usize = 1 << 20;

/// Puts lines together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stdout: Partial,
    stderr: Partial,
}

#[derive(Debug, Default)]
struct Partial {
    time: Option<Timestamp>,
    bytes: Vec<u8>,
}

impl Lines {
    /// Takes one piece, and gives the line that it ends, if it ends one.
    pub(super) fn push(&mut self, stderr: bool, piece: &[u8]) -> Option<LogLine> {
        let partial = if stderr { &mut self.stderr } else { &mut self.stdout };
        let (time, text) = split_time(piece);
        partial.time = partial.time.or(time);
        let (text, ended) = match text.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (text, false),
        };
        // A line is cut, but its end is still awaited. One byte more shows that it must be cut.
        let room = (MAX_LINE + 1).saturating_sub(partial.bytes.len());
        partial.bytes.extend_from_slice(&text[..text.len().min(room)]);
        ended.then(|| partial.take(stderr))
    }

    /// What was written without a line end, once nothing follows.
    pub(super) fn rest(&mut self) -> Vec<LogLine> {
        [(false, &mut self.stdout), (true, &mut self.stderr)]
            .into_iter()
            .filter(|(_, partial)| !partial.bytes.is_empty())
            .map(|(stderr, partial)| partial.take(stderr))
            .collect()
    }
}

impl Partial {
    fn take(&mut self, stderr: bool) -> LogLine {
        let bytes = std::mem::take(&mut self.bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        text.truncate(text.floor_char_boundary(MAX_LINE));
        // An engine that leaves the time out leaves a line that is older than all others.
        let time = self.time.take().unwrap_or(Timestamp::UNIX_EPOCH);
        LogLine { time, stderr, text }
    }
}

/// The time that a piece begins with, and the rest.
fn split_time(piece: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let Some(space) = piece.iter().position(|byte| *byte == b' ') else { return (None, piece) };
    let time = std::str::from_utf8(&piece[..space]).ok().and_then(|text| text.parse().ok());
    match time {
        Some(time) => (Some(time), &piece[space + 1..]),
        None => (None, piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-03-04T05:06:07.123456789Z";

    fn piece(text: &str) -> Vec<u8> {
        format!("{TIME} {text}").into_bytes()
    }

    fn line(stderr: bool, text: &str) -> LogLine {
        LogLine { time: TIME.parse().unwrap(), stderr, text: text.into() }
    }

    #[test]
    fn a_piece_with_a_line_end_is_a_line() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(false, &piece("hello world\n")), Some(line(false, "hello world")));
        assert_eq!(lines.push(true, &piece("\n")), Some(line(true, "")));
        assert_eq!(lines.push(true, &piece("dos\r\n")), Some(line(true, "dos")));
        assert_eq!(lines.rest(), []);
    }

    #[test]
    fn pieces_of_both_outputs_are_kept_apart() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(false, &piece("one ")), None);
        assert_eq!(lines.push(true, &piece("err ")), None);
        assert_eq!(lines.push(false, &piece("line\n")), Some(line(false, "one line")));
        assert_eq!(lines.rest(), [line(true, "err ")]);
    }

    #[test]
    fn a_line_is_cut_at_its_limit_and_the_next_one_is_whole() {
        let mut lines = Lines::default();
        let long = "é".repeat(MAX_LINE);
        assert_eq!(lines.push(false, &piece(&long)), None);
        let cut = lines.push(false, &piece("end\n")).unwrap();
        assert_eq!(cut.text.len(), MAX_LINE);
        assert!(cut.text.chars().all(|c| c == 'é'));
        assert_eq!(lines.push(false, &piece("next\n")), Some(line(false, "next")));
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut bytes = piece("a");
        bytes.extend_from_slice(b"\xff\n");
        assert_eq!(Lines::default().push(false, &bytes), Some(line(false, "a\u{fffd}")));
    }

    #[test]
    fn a_line_without_a_time_keeps_its_text() {
        let line = Lines::default().push(false, b"no time\n").unwrap();
        assert_eq!((line.time, line.text.as_str()), (Timestamp::UNIX_EPOCH, "no time"));
    }
}
