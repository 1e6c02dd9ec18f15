//! Excerpts: one source line for a diagnostic, cut to a readable width around the token, with
//! hidden characters escaped.

use std::ops::Range;

use super::node::Place;
use dubernetes_core::app::escape::push_escaped;

/// The number of characters that are shown before and after the start of the token.
const BEFORE: usize = 60;
const AFTER: usize = 60;

/// A source line and the token in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) line: String,
    pub(super) token: Range<usize>,
}

impl Excerpt {
    /// Returns the line after that of `place`.
    pub(super) fn next_line(text: &str, place: Place) -> Option<Self> {
        let end_of_line = place.start + text.get(place.start..)?.find('\n')? + 1;
        Self::new(text, Place { start: end_of_line, end: end_of_line, ..place })
    }

    /// Returns the line of `place`; `None` if it is empty.
    pub(super) fn new(text: &str, place: Place) -> Option<Self> {
        let (before, rest) = text.split_at_checked(place.start)?;
        let token_bytes = place.end.saturating_sub(place.start);
        let mut line = String::new();
        let mut start_of_line: Vec<char> =
            before.chars().rev().take_while(|c| !is_break(*c)).take(BEFORE + 1).collect();
        if start_of_line.len() > BEFORE {
            start_of_line.truncate(BEFORE);
            line.push_str("...");
        }
        start_of_line.iter().rev().for_each(|c| push(&mut line, *c));
        let begin = line.len();
        let mut end = begin;
        for (shown, (offset, c)) in
            rest.char_indices().take_while(|(_, c)| !is_break(*c)).enumerate()
        {
            if shown == AFTER {
                line.push_str("...");
                break;
            }
            push(&mut line, c);
            if offset < token_bytes {
                end = line.len();
            }
        }
        let kept = line.trim_end().len().max(end);
        line.truncate(kept);
        (!line.is_empty()).then_some(Self { line, token: begin..end })
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

fn push(line: &mut String, c: char) {
    match c {
        // The width of a tab is undefined.
        '\t' => line.push_str("  "),
        c => push_escaped(line, c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, start: usize, end: usize) -> (String, String) {
        let place = Place { line: 1, column: 1, start, end };
        let excerpt = Excerpt::new(text, place).unwrap();
        (excerpt.line.clone(), excerpt.line[excerpt.token].to_owned())
    }

    #[test]
    fn token_keeps_its_place_in_an_escaped_line() {
        assert_eq!(
            excerpt("x\ny\u{202e}: ab\u{7}c d\r\nz", 8, 12),
            ("y\\u{202e}: ab\\u{7}c d".into(), "ab\\u{7}c".into())
        );
    }

    #[test]
    fn long_line_is_cut_around_the_token() {
        let text = format!("{}TOKEN{}", "a".repeat(1000), "b".repeat(1000));
        let (line, token) = excerpt(&text, 1000, 1005);
        assert_eq!(token, "TOKEN");
        assert_eq!(line, format!("...{}TOKEN{}...", "a".repeat(60), "b".repeat(55)));
    }

    #[test]
    fn next_line_is_found() {
        let place = Place { line: 1, column: 1, start: 1, end: 2 };
        assert_eq!(Excerpt::next_line("abc\r\n  d\ne", place).unwrap().line, "  d");
    }

    #[test]
    fn token_of_several_lines_ends_with_the_first_line() {
        assert_eq!(excerpt("[a,\n b]", 0, 7), ("[a,".into(), "[a,".into()));
    }

    #[test]
    fn empty_line_has_no_excerpt() {
        assert_eq!(Excerpt::new("a\n\nb", Place { line: 2, column: 1, start: 2, end: 2 }), None);
    }
}
