//! Escaping of text from outside for messages: in backticks, shortened, and without hidden
//! characters.

use crate::error::is_unsafe;

/// The longest text that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Returns `text` in backticks, escaped like [`escape`].
pub fn quote(text: &str) -> String {
    format!("`{}`", escape(text))
}

/// Returns `c` in backticks, escaped like [`escape`].
pub fn quote_char(c: char) -> String {
    quote(c.encode_utf8(&mut [0; 4]))
}

/// Returns `text` shortened to 80 characters, with every hidden character escaped.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == MAX_SHOWN {
            out.push_str("...");
            break;
        }
        push_escaped(&mut out, c);
    }
    out
}

/// Appends `c` to `out`, escaped if it is hidden.
pub fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0' => out.push_str("\\0"),
        c if is_hidden(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

/// Returns whether a reader cannot see `c`, or would mistake it for another character: controls,
/// bidirectional and zero-width characters, and every space except U+0020.
pub fn is_hidden(c: char) -> bool {
    is_unsafe(c)
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{206a}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(quote("a\u{202e}b\u{a0}\n\"'"), "`a\\u{202e}b\\u{a0}\\n\"'`");
        assert_eq!(escape(&"x".repeat(81)), format!("{}...", "x".repeat(80)));
        assert_eq!(escape(&"x".repeat(80)), "x".repeat(80));
    }
}
