//! What is wrong with text that is no YAML, in our own words.

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use super::MAX_DEPTH;
use super::node::{Place, RawDiagnostic};

pub(super) const NO_TAGS: &str = "tags (`!name`) are not supported";
pub(super) const TAG_HINT: &str = "delete the tag; a text that begins with `!` needs quotes";

/// The parser's error as a fault, at the place of the token that caused or opened it.
pub(super) fn fault(error: &ScanError, text: &str) -> RawDiagnostic {
    let marker = error.marker();
    let start = marker.byte_offset().unwrap_or(0).min(text.len());
    let place = Place {
        line: marker.line(),
        column: marker.col() + 1,
        start,
        end: start
            + text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8),
    };
    if let (ErrorKind::MappingValueNotAllowed, Some(place)) = (error.kind(), too_deep(text, place))
    {
        let message = "this line is indented further than the one above, which has a value already";
        return RawDiagnostic::new(place, "", message, "begin both lines in the same column");
    }
    let (message, hint) = explain(error.kind());
    let place = if message == NO_TABS { first_tab(text, place) } else { place };
    RawDiagnostic::new(place, "", message, hint)
}

/// A bracket that was opened on an earlier line than that of the error is probably the cause.
pub(super) fn unclosed(
    error: &ScanError,
    fault: RawDiagnostic,
    open: Place,
    bracket: char,
) -> RawDiagnostic {
    let told = matches!(
        error.kind(),
        ErrorKind::UnexpectedCharacter { .. }
            | ErrorKind::MismatchedFlowCollectionEnd { .. }
            | ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::RecursionLimitExceeded
            | ErrorKind::UnclosedQuotedScalar
            | ErrorKind::DocumentIndicatorInQuotedScalar
    );
    if told || open.line >= fault.place.line || fault.message == NO_TABS {
        return fault;
    }
    let message = format!("`{bracket}` is never closed, or a `,` is missing");
    let hint = format!("add `{}`, or `,` between the entries", closing(bracket));
    RawDiagnostic::new(open, "", message, hint).with_other(fault.place, "this does not continue it")
}

/// The parser stops after the tabs.
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

/// The key at `place` if it stands below a key with a value, and further in.
fn too_deep(text: &str, place: Place) -> Option<Place> {
    let before = text.get(..place.start)?;
    let (above, line) = before.rsplit_once('\n')?;
    let above = above.lines().rev().find(|line| !line.trim().is_empty())?;
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let has_value =
        |line: &str| line.split_once(": ").is_some_and(|(_, value)| !value.trim_start().is_empty());
    // What the parser took for the value goes on up to the second `:`.
    if indent(line) <= indent(above) || !has_value(above) || line.contains(": ") {
        return None;
    }
    let start = place.start - line.trim_start_matches(' ').len();
    Some(Place { column: indent(line) + 1, start, end: place.start, ..place })
}

const NO_TABS: &str = "tabs cannot indent YAML";

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
            ("directives (`%NAME`) are not supported", "delete the line")
        }
        ErrorKind::BomInsideDocument => ("a byte order mark inside the text", "delete it"),
        ErrorKind::MappingValueNotAllowed => (
            "a second `:` in one line",
            "put quotes around a text that contains `: `, or begin a new line",
        ),
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("this bracket closes nothing", "delete it, or put quotes around the text")
        }
        kind => by_group(kind),
    };
    (message.into(), hint.into())
}

fn by_group(kind: &ErrorKind) -> (&'static str, &'static str) {
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
            ("there is text behind a closing quote", "put quotes around all of it, or none")
        }
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate
        | E::InvalidUnicodeEscape => (
            "this escape after `\\` does not exist",
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
            "this fits neither the line above nor its indentation",
            "keys of one level begin in the same column, two spaces further in than the level above",
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey => {
            ("a `:` is missing here", "write `key: value`")
        }
        E::ExpectedFlowMappingSeparator => {
            ("`,` or `}` was expected here", "separate the entries by `,`")
        }
        E::ExpectedFlowSequenceSeparator => {
            ("`,` or `]` was expected here", "separate the entries by `,`")
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
        E::MissingAnchorOrAliasName => (
            "anchors and aliases are not supported",
            "a text that begins with `&` or `*` needs quotes",
        ),
        // Whatever else there is or will be: the place says more than a kind.
        _ => ("this is not valid YAML", "put quotes around a text with special characters"),
    }
}

fn unexpected(character: char) -> (String, String) {
    if matches!(character, '@' | '`' | '%' | '|' | '>') {
        (format!("a text cannot begin with `{character}`"), "put quotes around it".into())
    } else {
        (not_allowed(character), "delete it".into())
    }
}

/// The sentence for a character that no reader would see.
pub(super) fn not_allowed(character: char) -> String {
    format!("the character U+{:04X} is not allowed", u32::from(character))
}

fn closing(open: char) -> char {
    if open == '{' { '}' } else { ']' }
}
