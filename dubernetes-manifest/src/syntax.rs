//! Syntax errors of YAML in our own words.

#![expect(clippy::wildcard_enum_match_arm, reason = "the parser may get more kinds of errors")]

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use super::MAX_DEPTH;
use super::node::Place;
use super::raw_diagnostic::RawDiagnostic;

pub(super) const NO_TAGS: &str = "tags (`!name`) are not supported";
pub(super) const TAG_HINT: &str = "delete the tag; a text that starts with `!` needs quotes";

/// Returns the parser's error as a diagnostic, at the token that caused or opened it.
pub(super) fn to_diagnostic(error: &ScanError, text: &str) -> RawDiagnostic {
    let marker = error.marker();
    let start = marker.byte_offset().unwrap_or(0).min(text.len());
    let place = Place {
        line: marker.line(),
        column: marker.col() + 1,
        start,
        end: start
            + text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8),
    };
    if matches!(error.kind(), ErrorKind::MappingValueNotAllowed)
        && let Some(place) = indented_key(text, place)
    {
        let message = "this line is indented below a key that already has a value";
        return RawDiagnostic::new(place, "", message, "start both lines in the same column");
    }
    let (message, hint) = explain(error.kind());
    let place = if message == NO_TABS { first_tab(text, place) } else { place };
    RawDiagnostic::new(place, "", message, hint)
}

/// Reports an open bracket instead of `found` if it was opened on an earlier line: then it is
/// probably the cause.
pub(super) fn blame_open_bracket(
    error: &ScanError,
    found: RawDiagnostic,
    open: Place,
    bracket: char,
) -> RawDiagnostic {
    let is_specific = matches!(
        error.kind(),
        ErrorKind::UnexpectedCharacter { .. }
            | ErrorKind::MismatchedFlowCollectionEnd { .. }
            | ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::RecursionLimitExceeded
            | ErrorKind::UnclosedQuotedScalar
            | ErrorKind::DocumentIndicatorInQuotedScalar
    );
    if is_specific || open.line >= found.place.line || found.message == NO_TABS {
        return found;
    }
    let message = format!("`{bracket}` is never closed, or a `,` is missing");
    let hint = format!("add `{}`, or `,` between the entries", closing(bracket));
    RawDiagnostic::new(open, "", message, hint).with_other(found.place, "unexpected here")
}

/// Returns the place of the first tab. The parser stops after the last one.
fn first_tab(text: &str, place: Place) -> Place {
    let before = text.get(..place.start).unwrap_or_default();
    let tabs = before.len() - before.trim_end_matches('\t').len();
    Place {
        column: place.column - tabs,
        start: place.start - tabs,
        end: place.start.max(place.start - tabs + 1),
        ..place
    }
}

/// Returns the place of the key at `place` if it is indented below a key that has a value.
fn indented_key(text: &str, place: Place) -> Option<Place> {
    let before = text.get(..place.start)?;
    let (above, line) = before.rsplit_once('\n')?;
    let above = above.lines().rev().find(|line| !line.trim().is_empty())?;
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let has_value =
        |line: &str| line.split_once(": ").is_some_and(|(_, value)| !value.trim_start().is_empty());
    // The parser read the value of the line above up to the second `:`.
    if indent(line) <= indent(above) || !has_value(above) || line.contains(": ") {
        return None;
    }
    let start = place.start - line.trim_start_matches(' ').len();
    Some(Place { column: indent(line) + 1, start, end: place.start, ..place })
}

const NO_TABS: &str = "tabs are not allowed as indentation";

fn explain(kind: &ErrorKind) -> (String, String) {
    let (message, hint) = match kind {
        ErrorKind::UnexpectedCharacter { character } => return unexpected(*character),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (
                format!("`{open}` is closed by `{close}`"),
                format!("close it with `{}`", closing(*open)),
            );
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("`{open}` is never closed"), format!("add `{}`", closing(*open)));
        }
        ErrorKind::RecursionLimitExceeded => {
            return (
                format!("nested deeper than {MAX_DEPTH} levels"),
                "an app needs no more than 3 levels".into(),
            );
        }
        ErrorKind::DirectiveDisallowed => {
            ("directives other than `%YAML 1.2` are not supported", "delete the line")
        }
        ErrorKind::BomInsideDocument => ("unexpected byte order mark inside the text", "delete it"),
        ErrorKind::MappingValueNotAllowed => (
            "unexpected second `:` on one line",
            "put quotes around a text that contains `: `, or start a new line",
        ),
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("this bracket has no opening bracket", "delete it, or put quotes around the text")
        }
        kind => explain_group(kind),
    };
    (message.into(), hint.into())
}

fn explain_group(kind: &ErrorKind) -> (&'static str, &'static str) {
    use ErrorKind as E;
    match kind {
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabInIndentation
        | E::TabAtBlockScalarStart
        | E::TabInPlainScalar => (NO_TABS, "use two spaces for each level"),
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => {
            ("this quote is never closed", "add the closing quote")
        }
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            ("unexpected text after the closing quote", "put quotes around all of it, or none")
        }
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate
        | E::InvalidUnicodeEscape => (
            "unknown escape sequence",
            "single quotes keep `\\` as it is; in double quotes write `\\\\`",
        ),
        E::InvalidIndentation
        | E::InvalidBlockScalarIndent
        | E::InvalidQuotedScalarIndent
        | E::InvalidFlowScalarIndent
        | E::ExpectedBlockMappingKey
        | E::ExpectedBlockSequenceEntry
        | E::BlockSequenceEntryNotAllowed
        | E::MappingKeyNotAllowed
        | E::ExpectedDocumentStart => (
            "unexpected indentation",
            "start keys of one level in the same column, two spaces deeper than the level above",
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey => ("expected `:` here", "write `key: value`"),
        E::ExpectedFlowMappingSeparator => {
            ("expected `,` or `}` here", "separate the entries with `,`")
        }
        E::ExpectedFlowSequenceSeparator => {
            ("expected `,` or `]` here", "separate the entries with `,`")
        }
        E::ExpectedTagBang
        | E::ExpectedTagDirectiveBang
        | E::InvalidGlobalTagCharacter
        | E::InvalidTagTerminator
        | E::InvalidTagEscape
        | E::InvalidTagUtf8LeadingByte
        | E::InvalidTagUtf8TrailingByte
        | E::InvalidTagUtf8
        | E::MissingTagUri
        | E::UnclosedVerbatimTag
        | E::UndeclaredTagHandle => (NO_TAGS, TAG_HINT),
        E::MissingAnchorOrAliasName => {
            ("an anchor or alias needs a name", "a text that starts with `&` or `*` needs quotes")
        }
        // All other kinds: the place says more than the kind would.
        _ => ("this is not valid YAML", "put quotes around a text with special characters"),
    }
}

fn unexpected(character: char) -> (String, String) {
    if matches!(character, '@' | '`' | '%' | '|' | '>') {
        (format!("a text cannot start with `{character}`"), "put quotes around it".into())
    } else {
        (not_allowed(character), "delete it".into())
    }
}

/// Returns the message for a character that a reader cannot see.
pub(super) fn not_allowed(character: char) -> String {
    format!("the character U+{:04X} is not allowed", u32::from(character))
}

fn closing(open: char) -> char {
    if open == '{' { '}' } else { ']' }
}
