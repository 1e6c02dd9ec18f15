//! YAML: text to trees with places, and specifications to text.
//!
//! This is the only module that uses the YAML library. It refuses what a manifest may not use
//! (anchors, aliases, merge keys, tags, directives) and what would cost too much, and continues
//! with the next document after an error.

use std::ops::ControlFlow;

use serde_yaml::granit_parser::{
    self, Event, Options, Parser, ScalarStyle, ScanError, Span, StructureStyle,
};

use super::node::{Entry, Node, Place, Value};
use super::raw_diagnostic::RawDiagnostic;
use super::syntax;
use super::{MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES};
use dubernetes_core::app::AppSpec;

/// The documents of one text.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// The trees of the documents that are not empty.
    pub(super) roots: Vec<Node>,
    pub(super) diagnostics: Vec<RawDiagnostic>,
}

/// Reads all documents of `text`, which must have no NUL character and no byte order mark.
pub(super) fn read(text: &str) -> Documents {
    let mut parser = Parser::new_from_str_with_options(text, options());
    let mut builder = Builder::default();
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => {
                if builder.handle(event, &span).is_break() {
                    break;
                }
            }
            Err(error) => {
                builder.abandon(&error, text);
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    builder.documents
}

/// Returns `spec` as the YAML that a user would write.
pub(super) fn write(spec: &AppSpec) -> String {
    // Neither fails for a value without floats, bytes and keys other than text. JSON is YAML, too.
    serde_yaml::to_string(spec).or_else(|_| serde_json::to_string_pretty(spec)).unwrap_or_default()
}

fn options() -> Options {
    granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    }
}

/// A collection that is being read.
enum Open {
    List { place: Place, flow: bool, items: Vec<Node> },
    Map { place: Place, flow: bool, entries: Vec<Entry>, key: Option<Key> },
}

/// A key whose value was not read yet. Without text the key was refused, and its value is dropped.
struct Key {
    text: Option<String>,
    place: Place,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    nodes: usize,
    started: usize,
    documents: Documents,
}

impl Builder {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser may get more events")]
    fn handle(&mut self, event: Event<'_>, span: &Span) -> ControlFlow<()> {
        let place = place(span);
        match event {
            Event::DocumentStart(..) => return self.start_document(place),
            Event::Scalar(text, style, _, tag) => {
                self.count(place)?;
                // A missing value has an empty place.
                let left_out = style == ScalarStyle::Plain && place.start == place.end;
                let text = if left_out { String::new() } else { text.into_owned() };
                let value = if tag.is_some() {
                    self.refuse_tag(span);
                    Value::Refused
                } else if style == ScalarStyle::Plain {
                    Value::Plain(text)
                } else {
                    Value::Text(text)
                };
                self.add(Node { value, place });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.count(place)?;
                if !self.is_under_merge_key() {
                    self.documents
                        .diagnostics
                        .push(RawDiagnostic::new(place, "", NO_ALIAS, ALIAS_HINT));
                }
                self.add(Node { value: Value::Refused, place });
            }
            Event::Anchor(..) => {
                self.documents.diagnostics.push(RawDiagnostic::new(
                    place,
                    "",
                    NO_ANCHOR,
                    ANCHOR_HINT,
                ));
            }
            Event::SequenceStart(style, _, tag) => {
                self.count(place)?;
                if tag.is_some() {
                    self.refuse_tag(span);
                }
                let flow = style == StructureStyle::Flow;
                self.open.push(Open::List { place, flow, items: Vec::new() });
            }
            Event::MappingStart(style, _, tag) => {
                self.count(place)?;
                if tag.is_some() {
                    self.refuse_tag(span);
                }
                let flow = style == StructureStyle::Flow;
                self.open.push(Open::Map { place, flow, entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(place),
            // The start and end of the stream, comments, and events of later versions.
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn start_document(&mut self, place: Place) -> ControlFlow<()> {
        self.started += 1;
        if self.started <= MAX_DOCUMENTS {
            return ControlFlow::Continue(());
        }
        self.documents.diagnostics.push(RawDiagnostic::new(
            place,
            "",
            format!("a file may have at most {MAX_DOCUMENTS} documents"),
            "split it into several files",
        ));
        ControlFlow::Break(())
    }

    fn count(&mut self, place: Place) -> ControlFlow<()> {
        self.nodes += 1;
        if self.nodes <= MAX_NODES {
            return ControlFlow::Continue(());
        }
        self.documents.diagnostics.push(RawDiagnostic::new(
            place,
            "",
            format!("a file may have at most {MAX_NODES} keys and values"),
            "split it into several files",
        ));
        ControlFlow::Break(())
    }

    fn refuse_tag(&mut self, span: &Span) {
        let at = span.tag_span().map_or_else(|| place(span), |tag| place(&tag));
        self.documents.diagnostics.push(RawDiagnostic::new(
            at,
            "",
            syntax::NO_TAGS,
            syntax::TAG_HINT,
        ));
    }

    /// Returns whether the next value belongs to a merge key, which was reported already.
    fn is_under_merge_key(&self) -> bool {
        let Some(Open::Map { key: Some(key), .. }) = self.open.last() else { return false };
        key.text.is_none()
    }

    fn close(&mut self, end: Place) {
        let (mut place, flow, value) = match self.open.pop() {
            Some(Open::List { place, flow, items }) => (place, flow, Value::List(items)),
            Some(Open::Map { place, flow, entries, .. }) => (place, flow, Value::Map(entries)),
            None => return,
        };
        if flow {
            place.end = end.end;
        }
        self.add(Node { value, place });
    }

    /// Adds a complete node to the open collection, or to the documents.
    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            None => {
                let empty = matches!(&node.value, Value::Plain(text) if text.is_empty());
                if !empty {
                    self.documents.roots.push(node);
                }
            }
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some(Key { text: Some(text), place }) => {
                    entries.push(Entry { key: text, key_place: place, value: node });
                }
                Some(Key { text: None, .. }) => {}
                None => *key = Some(read_key(node, &mut self.documents.diagnostics)),
            },
        }
    }

    /// Drops the current document because of a syntax error.
    fn abandon(&mut self, error: &ScanError, text: &str) {
        let found = syntax::to_diagnostic(error, text);
        let found = match self.open.last() {
            Some(Open::List { place, flow: true, .. }) => {
                syntax::blame_open_bracket(error, found, *place, '[')
            }
            Some(Open::Map { place, flow: true, .. }) => {
                syntax::blame_open_bracket(error, found, *place, '{')
            }
            Some(Open::List { flow: false, .. } | Open::Map { flow: false, .. }) | None => found,
        };
        self.open.clear();
        self.documents.diagnostics.push(found);
    }
}

fn read_key(node: Node, diagnostics: &mut Vec<RawDiagnostic>) -> Key {
    let place = node.place;
    let refused = match node.value {
        Value::Plain(text) if text == "<<" => RawDiagnostic::new(place, "", NO_MERGE, ANCHOR_HINT),
        Value::Plain(text) if text.is_empty() => {
            RawDiagnostic::new(place, "", "missing key before `:`", "write `key: value`")
        }
        Value::Plain(text) | Value::Text(text) => return Key { text: Some(text), place },
        Value::Refused => return Key { text: None, place },
        Value::List(_) | Value::Map(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
            let hint = "a text that starts with `{` or `[` needs quotes";
            RawDiagnostic::new(
                place,
                "",
                format!("a key must be text, not {}", node.describe()),
                hint,
            )
        }
    };
    diagnostics.push(refused);
    Key { text: None, place }
}

const NO_ANCHOR: &str = "anchors (`&name`) are not supported";
const ANCHOR_HINT: &str = "repeat the value wherever it is needed";
const NO_ALIAS: &str = "aliases (`*name`) are not supported";
const ALIAS_HINT: &str = "repeat the value here; a text that starts with `*` needs quotes";
const NO_MERGE: &str = "merge keys (`<<`) are not supported";

fn place(span: &Span) -> Place {
    let start = span.start.byte_offset().unwrap_or(0);
    let end = span.end.byte_offset().unwrap_or(start).max(start);
    Place { line: span.start.line(), column: span.start.col() + 1, start, end }
}
