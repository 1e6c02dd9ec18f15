//! Causes of errors, and errors with all their causes on one line.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The cause of an error: another error, shared so that an error with a cause can be cloned.
#[derive(Clone)]
pub struct SharedError(Arc<dyn Error + Send + Sync>);

impl SharedError {
    /// Returns a cause of which only the text is known.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Arc::from(Box::<dyn Error + Send + Sync>::from(text.into())))
    }

    /// Wraps an error.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Returns the texts of `error` and of all its causes on one line, joined by `: `. A cause is left
/// out if its text ends the line already, or repeats that of the cause before it behind a code.
pub fn chain(error: &dyn Error) -> String {
    let mut text = one_line(&error.to_string());
    let mut last = text.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = one_line(&cause.to_string());
        if !text.ends_with(&next) && !next.ends_with(&last) {
            text.push_str(": ");
            text.push_str(&next);
            last = next;
        }
        source = cause.source();
    }
    text
}

/// Returns text from outside on one line: line breaks and tabs become spaces, other control and
/// bidirectional characters are escaped.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if is_unsafe(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Returns whether `c` could change how a terminal or an editor shows the text around it:
/// controls, bidirectional marks, zero-width characters and the byte order mark.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Caused(&'static str, Option<Box<Self>>);

    impl fmt::Display for Caused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Caused {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            let cause: &Self = self.1.as_deref()?;
            Some(cause)
        }
    }

    #[test]
    fn cause_that_repeats_another_is_left_out() {
        let of = |texts: &[&'static str]| {
            let mut error = None;
            for text in texts.iter().rev() {
                error = Some(Box::new(Caused(text, error)));
            }
            chain(&error.unwrap())
        };
        assert_eq!(of(&["cannot write", "disk is full", "Error code 13: disk is full"]), {
            "cannot write: disk is full"
        });
        assert_eq!(of(&["cannot write: disk is full", "disk is full"]), {
            "cannot write: disk is full"
        });
        assert_eq!(of(&["a", "b", "c"]), "a: b: c");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(one_line("a\nb\u{1b}[2J\u{202e}"), "a b\\u{1b}[2J\\u{202e}");
    }
}
