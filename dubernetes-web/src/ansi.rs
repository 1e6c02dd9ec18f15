//! Colours of terminals in a line of output, as classes of a style sheet. Everything else that
//! controls a terminal is dropped.

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};
use dubernetes_core::error::is_unsafe;

/// Longest line that is shown, in characters.
const MAX_LINE: usize = 2000;

/// Text in one style.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Classes; may be empty.
    pub(crate) class: String,
    /// Text without control characters.
    pub(crate) text: String,
}

/// Splits a line by its styles.
pub(crate) fn spans(line: &str) -> Vec<Span> {
    let mut parser = Parser::<DefaultCharAccumulator>::new();
    let mut painter = Painter::default();
    for byte in line.bytes() {
        parser.advance(&mut painter, byte);
    }
    painter.spans
}

/// Returns the text of a line alone.
pub(crate) fn plain(spans: &[Span]) -> String {
    spans.iter().map(|span| span.text.as_str()).collect()
}

#[derive(Debug, Default)]
struct Painter {
    bold: bool,
    /// Colour from 0 (black) to 7 (white).
    color: Option<u16>,
    spans: Vec<Span>,
    length: usize,
}

impl Painter {
    fn class(&self) -> String {
        let color = self.color.map(|color| format!("ansi-{color}"));
        let bold = self.bold.then(|| "ansi-bold".to_owned());
        color.into_iter().chain(bold).collect::<Vec<_>>().join(" ")
    }

    fn push(&mut self, c: char) {
        if self.length >= MAX_LINE {
            return;
        }
        self.length += 1;
        let c = if self.length == MAX_LINE { '…' } else { c };
        let class = self.class();
        match self.spans.last_mut() {
            Some(last) if last.class == class => last.text.push(c),
            Some(_) | None => self.spans.push(Span { class, text: c.to_string() }),
        }
    }

    fn set(&mut self, codes: &[u16]) {
        let mut codes = codes.iter().copied();
        while let Some(code) = codes.next() {
            match code {
                0 => (self.bold, self.color) = (false, None),
                1 => self.bold = true,
                22 => self.bold = false,
                30..=37 => self.color = Some(code - 30),
                90..=97 => self.color = Some(code - 90),
                39 => self.color = None,
                // An indexed colour, of which the first 16 have names, or a direct one.
                38 | 48 => {
                    let index = match codes.next() {
                        Some(5) => codes.next(),
                        Some(2) => codes.nth(2).and(None),
                        _ => None,
                    };
                    if code == 38 {
                        self.color = index.filter(|index| *index < 16).map(|index| index % 8);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Perform for Painter {
    fn print(&mut self, c: char) {
        if !is_unsafe(c) {
            self.push(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        if byte == b'\t' {
            self.push('\t');
        }
    }

    fn csi_dispatch(&mut self, params: &Params, between: &[u8], ignore: bool, action: u8) {
        if action == b'm' && between.is_empty() && !ignore {
            let codes: Vec<u16> = params.iter().flatten().copied().collect();
            self.set(if codes.is_empty() { &[0] } else { &codes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(line: &str) -> Vec<(String, String)> {
        spans(line).into_iter().map(|span| (span.class, span.text)).collect()
    }

    fn expected(spans: &[(&str, &str)]) -> Vec<(String, String)> {
        spans.iter().map(|(class, text)| ((*class).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn colours_become_classes() {
        for (line, spans) in [
            ("plain", &[("", "plain")][..]),
            ("\u{1b}[31mred\u{1b}[0m on", &[("ansi-1", "red"), ("", " on")]),
            ("\u{1b}[1;92mok\u{1b}[m", &[("ansi-2 ansi-bold", "ok")]),
            ("\u{1b}[38;5;12mblue\u{1b}[39m.", &[("ansi-4", "blue"), ("", ".")]),
            ("\u{1b}[38;2;1;2;31mx", &[("", "x")]),
            ("\u{1b}[48;5;1mx", &[("", "x")]),
            ("grün\tü", &[("", "grün\tü")]),
        ] {
            assert_eq!(painted(line), expected(spans), "{line:?}");
        }
    }

    #[test]
    fn everything_else_that_controls_a_terminal_is_dropped() {
        let line = "a\u{1b}[2J\u{1b}]0;title\u{7}b\u{1b}]8;;http://x\u{1b}\\c\r\u{8}\u{202e}d";
        assert_eq!(plain(&spans(line)), "abcd");
        assert_eq!(plain(&spans("<b>&amp;")), "<b>&amp;", "HTML is text, escaped by the page");
    }

    #[test]
    fn long_line_is_cut() {
        let line = plain(&spans(&"x".repeat(MAX_LINE + 5)));
        assert!(line.chars().count() == MAX_LINE && line.ends_with('…'));
    }
}
