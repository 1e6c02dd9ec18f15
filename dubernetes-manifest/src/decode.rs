//! Decoding of bytes to text that the YAML parser may read.

use super::MAX_FILE_BYTES;
use super::node::Place;
use super::raw_diagnostic::RawDiagnostic;

const NOT_TEXT: &str = "a manifest is a YAML text file, saved as UTF-8";

/// Returns the text of a file without its byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, Box<RawDiagnostic>> {
    let error = |place, message: String, hint| RawDiagnostic::new(place, "", message, hint);
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(error(Place::FILE, message, "split it into several files").into());
    }
    let text = std::str::from_utf8(bytes).map_err(|invalid| {
        let valid = bytes.get(..invalid.valid_up_to()).unwrap_or_default();
        let message = format!("the file is not UTF-8 text, at byte {}", valid.len() + 1);
        let hint = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16: save it as UTF-8",
            _ => NOT_TEXT,
        };
        error(place_after(&String::from_utf8_lossy(valid)), message, hint)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.split_once('\0') {
        None => Ok(text),
        Some((before, _)) => {
            let message =
                format!("the file contains a NUL character, at byte {}", before.len() + 1);
            Err(error(place_after(before), message, NOT_TEXT).into())
        }
    }
}

/// Returns the place of the character after `before`.
fn place_after(before: &str) -> Place {
    let unified = before.replace("\r\n", "\n").replace('\r', "\n");
    let line = unified.matches('\n').count() + 1;
    let column = unified.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place { line, column, start: before.len(), end: before.len() + 1 }
}
