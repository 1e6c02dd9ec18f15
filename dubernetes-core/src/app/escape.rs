//! How text from outside is shown inside a message: between backticks, cut, and without any
//! character that a reader cannot see.

use crate::error::is_unsafe;

/// The longest text that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// `text` between backticks, as [`shown`].
pub fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

/// `text`, cut at 80 characters and with every hidden character escaped.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == MAX_SHOWN {
            out.push_str("...");
            break;
        }
        push_visible(&mut out, c);
    }
    out
}

/// One character, escaped if it is hidden.
pub fn push_visible(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0' => out.push_str("\\0"),
        c if is_hidden(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

/// Whether a reader cannot see the character, or would take it for another one: controls,
/// bidirectional and zero-width characters, and every space but the usual one.
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
        assert_eq!(quoted("a\u{202e}b\u{a0}\n\"'"), "`a\\u{202e}b\\u{a0}\\n\"'`");
        assert_eq!(shown(&"x".repeat(81)), format!("{}...", "x".repeat(80)));
        assert_eq!(shown(&"x".repeat(80)), "x".repeat(80));
    }
}
