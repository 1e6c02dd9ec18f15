//! Bytes → text that a YAML parser may see, or why not.

use super::MAX_FILE_BYTES;
use super::node::{Place, RawDiagnostic};

/// The text without its byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, Box<RawDiagnostic>> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(Box::new(RawDiagnostic::new(
            Place::FILE,
            "",
            message,
            "split it into several files",
        )));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.valid_up_to();
            let before = bytes.get(..valid).unwrap_or_default();
            let place = place_after(&String::from_utf8_lossy(before));
            let message = format!("the file is not UTF-8 text, at byte {}", valid + 1);
            let hint = match bytes {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16: save it as UTF-8",
                _ => "a manifest is a text file in YAML, saved as UTF-8",
            };
            return Err(Box::new(RawDiagnostic::new(place, "", message, hint)));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.find('\0') {
        None => Ok(text),
        Some(at) => {
            let place = place_after(text.get(..at).unwrap_or_default());
            let message = format!("the file has a NUL character, at byte {}", at + 1);
            let hint = "a manifest is a text file in YAML, saved as UTF-8";
            Err(Box::new(RawDiagnostic::new(place, "", message, hint)))
        }
    }
}

/// The place of the character after `before`.
fn place_after(before: &str) -> Place {
    let unified = before.replace("\r\n", "\n").replace('\r', "\n");
    let line = unified.matches('\n').count() + 1;
    let column = unified.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place { line, column, start: before.len(), end: before.len() + 1 }
}
