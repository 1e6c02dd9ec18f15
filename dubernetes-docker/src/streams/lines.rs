//! Assembly of log chunks into lines. Pure.
//!
//! The engine stores lines of at most 16 KiB, and splits longer ones into chunks. Each chunk begins
//! with the time, and only the last ends with a newline. Chunks of the two streams are interleaved.

use dubernetes_core::runtime::LogLine;
use jiff::Timestamp;

/// Maximum length of a line, see [`LogLine`]. It limits the memory of each reader.
const MAX_LINE: usize = 64 << 10;

/// Assembles lines.
#[derive(Debug, Default)]
pub(super) struct LineAssembler {
    stdout: PartialLine,
    stderr: PartialLine,
}

#[derive(Debug, Default)]
struct PartialLine {
    time: Option<Timestamp>,
    bytes: Vec<u8>,
}

impl LineAssembler {
    /// Adds a chunk, and returns the line that it completes, if any, after the full pieces of a
    /// long one.
    pub(super) fn push(&mut self, stderr: bool, chunk: &[u8]) -> Vec<LogLine> {
        let partial = if stderr { &mut self.stderr } else { &mut self.stdout };
        let (time, text) = split_time(chunk);
        partial.time = partial.time.or(time);
        let (text, ended) = match text.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (text, false),
        };
        partial.bytes.extend_from_slice(text);
        let mut lines = Vec::new();
        while partial.bytes.len() > MAX_LINE {
            lines.push(partial.take_piece(stderr));
        }
        if ended {
            lines.push(partial.take(stderr));
        }
        lines
    }

    /// Returns the last lines, which have no newline, at the end of the stream.
    pub(super) fn finish(&mut self) -> Vec<LogLine> {
        [(false, &mut self.stdout), (true, &mut self.stderr)]
            .into_iter()
            .filter(|(_, partial)| !partial.bytes.is_empty())
            .map(|(stderr, partial)| partial.take(stderr))
            .collect()
    }
}

impl PartialLine {
    /// Takes the longest piece of whole characters.
    fn take_piece(&mut self, stderr: bool) -> LogLine {
        let is_inside_character =
            |at: &usize| self.bytes.get(*at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
        // Invalid UTF-8 may have no boundary nearby.
        let end = (MAX_LINE - 3..=MAX_LINE).rev().find(|at| !is_inside_character(at));
        let rest = self.bytes.split_off(end.unwrap_or(MAX_LINE));
        let time = self.time;
        let piece = self.take(stderr);
        *self = Self { time, bytes: rest };
        piece
    }

    fn take(&mut self, stderr: bool) -> LogLine {
        let bytes = std::mem::take(&mut self.bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let text = String::from_utf8_lossy(bytes).into_owned();
        // Without a time, a line sorts before all others.
        let time = self.time.take().unwrap_or(Timestamp::UNIX_EPOCH);
        LogLine { time, stderr, text }
    }
}

/// Splits the leading time from a chunk.
fn split_time(chunk: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let Some(space) = chunk.iter().position(|byte| *byte == b' ') else { return (None, chunk) };
    let time = std::str::from_utf8(&chunk[..space]).ok().and_then(|text| text.parse().ok());
    match time {
        Some(time) => (Some(time), &chunk[space + 1..]),
        None => (None, chunk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-03-04T05:06:07.123456789Z";

    fn chunk(text: &str) -> Vec<u8> {
        format!("{TIME} {text}").into_bytes()
    }

    fn time() -> Timestamp {
        TIME.parse().unwrap()
    }

    fn line(stderr: bool, text: &str) -> LogLine {
        LogLine { time: time(), stderr, text: text.into() }
    }

    #[test]
    fn chunk_with_newline_completes_a_line() {
        let mut lines = LineAssembler::default();
        assert_eq!(lines.push(false, &chunk("hello world\n")), [line(false, "hello world")]);
        assert_eq!(lines.push(true, &chunk("\n")), [line(true, "")]);
        assert_eq!(lines.push(true, &chunk("dos\r\n")), [line(true, "dos")]);
        assert_eq!(lines.finish(), []);
    }

    #[test]
    fn chunks_of_both_streams_are_kept_apart() {
        let mut lines = LineAssembler::default();
        assert_eq!(lines.push(false, &chunk("one ")), []);
        assert_eq!(lines.push(true, &chunk("err ")), []);
        assert_eq!(lines.push(false, &chunk("line\n")), [line(false, "one line")]);
        assert_eq!(lines.finish(), [line(true, "err ")]);
    }

    #[test]
    fn long_line_arrives_in_pieces_and_the_next_is_whole() {
        let mut lines = LineAssembler::default();
        let long = format!("a{}", "é".repeat(MAX_LINE));
        let mut pieces = lines.push(false, &chunk(&long));
        pieces.extend(lines.push(false, &chunk("end\n")));
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|piece| piece.text.len() <= MAX_LINE && piece.time == time()));
        let text: String = pieces.into_iter().map(|piece| piece.text).collect();
        assert_eq!(text, format!("{long}end"));
        assert_eq!(lines.push(false, &chunk("next\n")), [line(false, "next")]);
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let mut bytes = chunk("a");
        bytes.extend_from_slice(b"\xff\n");
        assert_eq!(LineAssembler::default().push(false, &bytes), [line(false, "a\u{fffd}")]);
    }

    #[test]
    fn line_without_time_keeps_its_text() {
        let line = LineAssembler::default().push(false, b"no time\n").remove(0);
        assert_eq!((line.time, line.text.as_str()), (Timestamp::UNIX_EPOCH, "no time"));
    }
}
