//! Assembly of log chunks into lines. Pure.
//!
//! The engine stores lines of at most 16 KiB, and splits longer ones into chunks. Each chunk begins
//! with the time, and only the last ends with a newline. Chunks of the two streams are interleaved.

use dubernetes_core::runtime::LogLine;
use jiff::Timestamp;

/// Maximum length of a line, see [`LogLine`].
const MAX_LINE: usize = 1 << 20;

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
    /// Adds a chunk, and returns the line that it completes, if any.
    pub(super) fn push(&mut self, stderr: bool, chunk: &[u8]) -> Option<LogLine> {
        let partial = if stderr { &mut self.stderr } else { &mut self.stdout };
        let (time, text) = split_time(chunk);
        partial.time = partial.time.or(time);
        let (text, ended) = match text.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (text, false),
        };
        // A long line is truncated, and the rest up to its newline dropped. One byte more than the
        // limit shows that truncation is necessary.
        let room = (MAX_LINE + 1).saturating_sub(partial.bytes.len());
        partial.bytes.extend_from_slice(&text[..text.len().min(room)]);
        ended.then(|| partial.take(stderr))
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
    fn take(&mut self, stderr: bool) -> LogLine {
        let bytes = std::mem::take(&mut self.bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        text.truncate(text.floor_char_boundary(MAX_LINE));
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

    fn line(stderr: bool, text: &str) -> LogLine {
        LogLine { time: TIME.parse().unwrap(), stderr, text: text.into() }
    }

    #[test]
    fn chunk_with_newline_completes_a_line() {
        let mut lines = LineAssembler::default();
        assert_eq!(lines.push(false, &chunk("hello world\n")), Some(line(false, "hello world")));
        assert_eq!(lines.push(true, &chunk("\n")), Some(line(true, "")));
        assert_eq!(lines.push(true, &chunk("dos\r\n")), Some(line(true, "dos")));
        assert_eq!(lines.finish(), []);
    }

    #[test]
    fn chunks_of_both_streams_are_kept_apart() {
        let mut lines = LineAssembler::default();
        assert_eq!(lines.push(false, &chunk("one ")), None);
        assert_eq!(lines.push(true, &chunk("err ")), None);
        assert_eq!(lines.push(false, &chunk("line\n")), Some(line(false, "one line")));
        assert_eq!(lines.finish(), [line(true, "err ")]);
    }

    #[test]
    fn long_line_is_truncated_and_the_next_is_whole() {
        let mut lines = LineAssembler::default();
        let long = "é".repeat(MAX_LINE);
        assert_eq!(lines.push(false, &chunk(&long)), None);
        let cut = lines.push(false, &chunk("end\n")).unwrap();
        assert_eq!(cut.text.len(), MAX_LINE);
        assert!(cut.text.chars().all(|c| c == 'é'));
        assert_eq!(lines.push(false, &chunk("next\n")), Some(line(false, "next")));
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let mut bytes = chunk("a");
        bytes.extend_from_slice(b"\xff\n");
        assert_eq!(LineAssembler::default().push(false, &bytes), Some(line(false, "a\u{fffd}")));
    }

    #[test]
    fn line_without_time_keeps_its_text() {
        let line = LineAssembler::default().push(false, b"no time\n").unwrap();
        assert_eq!((line.time, line.text.as_str()), (Timestamp::UNIX_EPOCH, "no time"));
    }
}
