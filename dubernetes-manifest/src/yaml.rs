//! YAML: text to trees with places, and specifications to text.
//!
//! This is the only module that uses the YAML library. It resolves aliases and merge keys, refuses
//! what a manifest may not use (tags, directives other than `%YAML`) and what would cost too much,
//! and continues with the next document after an error.

use std::borrow::Cow;
use std::collections::BTreeMap;
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
    let text = &*hide_version_directives(text);
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

/// Turns `%YAML 1.x` lines, which change nothing here, into comments of the same length. The parser
/// refuses every other directive.
fn hide_version_directives(text: &str) -> Cow<'_, str> {
    if !text.contains("%YAML 1.") {
        return Cow::Borrowed(text);
    }
    let hide = |line: &str| match line.strip_prefix("%YAML 1.") {
        Some(rest) => format!("#YAML 1.{rest}"),
        None => line.to_owned(),
    };
    Cow::Owned(text.split_inclusive('\n').map(hide).collect())
}

/// Returns `spec` as the YAML that a user would write.
pub(super) fn write(spec: &AppSpec) -> String {
    // Neither fails for a value without floats, bytes and keys other than text. JSON is YAML, too.
    serde_yaml::to_string(spec).or_else(|_| serde_json::to_string_pretty(spec)).unwrap_or_default()
}

/// Returns any value as YAML.
pub(super) fn write_value<T: serde::Serialize>(value: &T) -> Result<String, String> {
    serde_yaml::to_string(value).map_err(|error| error.to_string())
}

/// A text that is written with quotes: it stays one, whatever its variables become.
pub(super) struct Quoted<'t>(pub(super) &'t str);

impl serde::Serialize for Quoted<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_yaml::DoubleQuoted(self.0).serialize(serializer)
    }
}

fn options() -> Options {
    granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: false,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    }
}

/// A collection that is being read.
enum Open {
    List { place: Place, flow: bool, anchor: usize, items: Vec<Node> },
    Map { place: Place, flow: bool, anchor: usize, entries: Vec<Entry>, key: Option<Key> },
}

/// A key whose value was not read yet. Without text the key was refused, and its value is dropped.
struct Key {
    text: Option<String>,
    place: Place,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// The complete values with an anchor, by the parser's number of the anchor.
    anchored: BTreeMap<usize, Node>,
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
            Event::Scalar(text, style, anchor, tag) => {
                self.count(place, 1)?;
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
                self.add_anchored(anchor, Node { value, place });
            }
            Event::Alias(anchor) => {
                // An alias inside the value of its own anchor is not complete yet.
                let size = self.anchored.get(&anchor).map_or(1, size);
                self.count(place, size)?;
                match self.anchored.get(&anchor).cloned() {
                    Some(node) => self.add(node),
                    None => self.refuse_alias(place),
                }
            }
            Event::UnresolvedAlias(_) => {
                self.count(place, 1)?;
                self.refuse_alias(place);
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.count(place, 1)?;
                if tag.is_some() {
                    self.refuse_tag(span);
                }
                let flow = style == StructureStyle::Flow;
                self.open.push(Open::List { place, flow, anchor, items: Vec::new() });
            }
            Event::MappingStart(style, anchor, tag) => {
                self.count(place, 1)?;
                if tag.is_some() {
                    self.refuse_tag(span);
                }
                let flow = style == StructureStyle::Flow;
                self.open.push(Open::Map { place, flow, anchor, entries: Vec::new(), key: None });
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

    fn count(&mut self, place: Place, nodes: usize) -> ControlFlow<()> {
        self.nodes += nodes;
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

    fn refuse_alias(&mut self, place: Place) {
        let refused = RawDiagnostic::new(place, "", NO_ANCHOR, ALIAS_HINT);
        self.documents.diagnostics.push(refused);
        self.add(Node { value: Value::Refused, place });
    }

    fn close(&mut self, end: Place) {
        let (mut place, flow, anchor, value) = match self.open.pop() {
            Some(Open::List { place, flow, anchor, items }) => {
                (place, flow, anchor, Value::List(items))
            }
            Some(Open::Map { place, flow, anchor, entries, .. }) => {
                (place, flow, anchor, Value::Map(self.merge(entries)))
            }
            None => return,
        };
        if flow {
            place.end = end.end;
        }
        self.add_anchored(anchor, Node { value, place });
    }

    /// Replaces merge keys by the entries of their mappings. Keys of the mapping itself win, then
    /// those of the first merged mapping.
    fn merge(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let (merged, mut own): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.key == MERGE);
        for Entry { key_place, value, .. } in merged {
            let nodes = if let Value::List(items) = value.value { items } else { vec![value] };
            for node in nodes {
                if let Value::Map(more) = node.value {
                    for entry in more {
                        if own.iter().all(|known| known.key != entry.key) {
                            own.push(entry);
                        }
                    }
                } else if !matches!(node.value, Value::Refused) {
                    let refused = RawDiagnostic::new(key_place, "", NO_MAPPING, MERGE_HINT);
                    self.documents.diagnostics.push(refused);
                }
            }
        }
        own
    }

    /// Adds a complete node, and keeps it for the aliases of its anchor; 0 is no anchor.
    fn add_anchored(&mut self, anchor: usize, node: Node) {
        if anchor != 0 {
            self.anchored.insert(anchor, node.clone());
        }
        self.add(node);
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

/// The key whose mappings are merged into the one that it is in.
const MERGE: &str = "<<";
const NO_MAPPING: &str = "a merge key (`<<`) needs a mapping, or a list of mappings";
const MERGE_HINT: &str = "write `<<: *name`, where `&name` marks a mapping above";
const NO_ANCHOR: &str = "this alias refers to no value above it";
const ALIAS_HINT: &str =
    "mark a value above with `&name`; a text that starts with `*` needs quotes";

/// Returns the number of nodes of a tree.
fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
        Value::Plain(_)
        | Value::Text(_)
        | Value::Number(_)
        | Value::Bool(_)
        | Value::Null
        | Value::Refused => 0,
    }
}

fn place(span: &Span) -> Place {
    let start = span.start.byte_offset().unwrap_or(0);
    let end = span.end.byte_offset().unwrap_or(start).max(start);
    Place { line: span.start.line(), column: span.start.col() + 1, start, end }
}
