//! Files and request bodies → specifications, or everything that is wrong with them.
//!
//! # Flow
//!
//! Bytes are decoded within limits ([`MAX_FILE_BYTES`]), YAML and JSON become the same tree with
//! the place of every key and value, and one check turns the tree into an [`AppSpec`]. Then the
//! apps of all files are compared with each other.
//!
//! # Guarantees
//!
//! All or nothing: with one problem in one document of one file there is no specification at
//! all, but the list of every problem of every file. Nothing is guessed: unknown and doubled
//! keys, nulls, and numbers in another notation than plain digits are problems. No input panics.

mod check;
mod compare;
mod diagnostic;
mod excerpt;
mod fields;
mod json;
mod keys;
mod node;
pub mod reference;
mod settings;
mod suggest;
mod syntax;
mod text;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use settings::settings;

use std::io::{self, Read};

use thiserror::Error;

use check::Checked;
use diagnostic::OtherPlace;
use dubernetes_core::app::{AppName, AppSpec, Problem};
use dubernetes_core::error::one_line;
use excerpt::Excerpt;
use node::{Node, Place, RawDiagnostic};

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// The deepest nesting. An app needs 3 levels.
const MAX_DEPTH: usize = 32;
/// The largest number of keys and values in one file. An app with full lists needs about 2,600.
const MAX_NODES: usize = 20_000;
/// The largest number of documents in one file.
const MAX_DOCUMENTS: usize = 64;

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path as the user wrote it; `-` is shown as `<stdin>`.
    pub name: String,
    /// Its bytes, at least up to one more than [`MAX_FILE_BYTES`].
    pub text: Vec<u8>,
}

impl Source {
    /// Reads a file, but no more of it than tells that it is too large.
    ///
    /// # Errors
    ///
    /// Those of `reader`.
    pub fn read(name: impl Into<String>, reader: impl Read) -> io::Result<Self> {
        let mut text = Vec::new();
        let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        reader.take(limit).read_to_end(&mut text)?;
        Ok(Self { name: name.into(), text })
    }

    fn shown_name(&self) -> String {
        if self.name == "-" { "<stdin>".into() } else { self.name.clone() }
    }
}

/// What files say, all of it valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The apps in the order of the files; no name and no route stands there twice.
    pub apps: Vec<Located>,
    /// What was accepted in another form than it was written, one sentence fragment each.
    pub notes: Vec<String>,
}

/// A specification and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The app.
    pub spec: AppSpec,
    /// The file as the user named it.
    pub source: String,
    /// The first line of its document, from 1.
    pub line: usize,
}

/// Why a JSON body holds no app.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// It is not JSON.
    #[error("{message}")]
    Syntax {
        /// What was expected and what was found.
        message: String,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1; 0 at the end of a line.
        column: usize,
    },
    /// It is JSON, but no valid app.
    #[error("the app is not valid")]
    Invalid(
        /// Everything that is wrong; never empty.
        Vec<BodyProblem>,
    ),
}

/// A rule that a JSON body breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyProblem {
    /// The JSON pointer (RFC 6901) of the field; of one that is missing, where it would be.
    pub pointer: String,
    /// What is wrong.
    pub problem: Problem,
}

/// All documents of all sources. Files that they refer to are not read.
///
/// # Errors
///
/// Every problem of every document, in the order of the files.
pub fn parse(sources: &[Source]) -> Result<Parsed, Diagnostics> {
    parse_all(sources, None)
}

/// The same, with the contents of the files that the documents refer to.
///
/// # Errors
///
/// Also every file that cannot be read, or whose content breaks a rule.
pub fn parse_reading(sources: &[Source], read: &ReadFile<'_>) -> Result<Parsed, Diagnostics> {
    parse_all(sources, Some(read))
}

fn parse_all(sources: &[Source], read: Option<&ReadFile<'_>>) -> Result<Parsed, Diagnostics> {
    let mut found = Found::default();
    for (index, source) in sources.iter().enumerate() {
        match read {
            Some(read) => found.read(index, source, Some(&|path: &str| read(source, path))),
            None => found.read(index, source, None),
        }
    }
    let conflicts = compare::conflicts(&found.documents);
    found.faults.extend(conflicts);
    if found.faults.is_empty() { Ok(found.parsed(sources)) } else { Err(found.refused(sources)) }
}

/// The app in a JSON body, after the same checks as a file's.
///
/// # Errors
///
/// Not JSON, or every problem of the app with its path.
pub fn from_json(body: &[u8]) -> Result<AppSpec, JsonError> {
    let root = json::read(body)?;
    let Checked { spec, faults, .. } = check::check(&root, None);
    spec.ok_or_else(|| {
        let problem = |fault: RawDiagnostic| BodyProblem {
            pointer: root.pointer(&fault.path),
            problem: Problem { path: fault.path, message: fault.message, hint: fault.hint },
        };
        JsonError::Invalid(faults.into_iter().map(problem).collect())
    })
}

/// The legal name of an app that is nearest to `text`, if there is one.
pub fn nearest_name(text: &str) -> Option<AppName> {
    AppName::parse(&suggest::name(text)?).ok()
}

/// An app as the YAML that a user would write; [`parse`] gives the same app back.
pub fn to_yaml(spec: &AppSpec) -> String {
    yaml::write(spec)
}

/// Returns any value as a YAML document, with the keys in the order of its type.
///
/// # Errors
///
/// Returns the reason if the value cannot be represented, for example because of a non-text key.
pub fn to_yaml_value<T: serde::Serialize>(value: &T) -> Result<String, String> {
    yaml::write_value(value)
}

/// Gives the content of a file that a source refers to by this path, or a few words on why it
/// cannot. It need not read more than [`MAX_CONTENT_BYTES`](dubernetes_core::app::MAX_CONTENT_BYTES) and one byte.
pub type ReadFile<'r> = dyn Fn(&Source, &str) -> Result<Vec<u8>, String> + 'r;

/// A document and the source that it stands in.
#[derive(Debug)]
struct Document {
    source: usize,
    root: Node,
    checked: Checked,
}

/// What was found so far; each fault with its source.
#[derive(Debug, Default)]
struct Found {
    documents: Vec<Document>,
    faults: Vec<(usize, RawDiagnostic)>,
}

impl Found {
    fn read(&mut self, index: usize, source: &Source, reader: Option<&fields::Read<'_>>) {
        let text = match text::decode(&source.text) {
            Ok(text) => text,
            Err(fault) => return self.faults.push((index, *fault)),
        };
        let yaml::Documents { roots, faults } = yaml::read(text);
        if roots.is_empty() && faults.is_empty() {
            let hint = "begin with `name: myapp` and `image: myapp-image:1.5`";
            self.faults.push((
                index,
                RawDiagnostic::new(Place::FILE, "", "there is no app in the file", hint),
            ));
        }
        self.faults.extend(faults.into_iter().map(|fault| (index, fault)));
        for root in roots {
            let mut checked = check::check(&root, reader);
            let faults = std::mem::take(&mut checked.faults);
            self.faults.extend(faults.into_iter().map(|fault| (index, fault)));
            self.documents.push(Document { source: index, root, checked });
        }
    }

    fn parsed(self, sources: &[Source]) -> Parsed {
        let mut parsed = Parsed::default();
        for Document { source, root, checked } in self.documents {
            let name = sources.get(source).map(Source::shown_name).unwrap_or_default();
            for (place, note) in checked.notes {
                let shown = one_line(&name);
                parsed.notes.push(format!("{note} ({shown}:{}:{})", place.line, place.column));
            }
            if let Some(spec) = checked.spec {
                parsed.apps.push(Located { spec, source: name, line: root.place.line });
            }
        }
        parsed
    }

    fn refused(mut self, sources: &[Source]) -> Diagnostics {
        self.faults.sort_by_key(|(source, fault)| (*source, fault.place.start));
        let list = self.faults.into_iter().map(|(source, fault)| locate(sources, source, fault));
        Diagnostics { list: list.collect() }
    }
}

/// Adds the source's name and line to a fault.
fn locate(sources: &[Source], index: usize, fault: RawDiagnostic) -> Diagnostic {
    let name = |index: usize| sources.get(index).map(Source::shown_name).unwrap_or_default();
    let other = fault.other.map(|other| {
        let source = other.source.unwrap_or(index);
        OtherPlace {
            source: name(source),
            line: other.place.line,
            column: other.place.column,
            label: other.label,
            excerpt: excerpt(sources, source, other.place),
            between: between(sources, index, source, [fault.place, other.place]),
        }
    });
    Diagnostic {
        source: name(index),
        line: fault.place.line,
        column: fault.place.column,
        path: fault.path,
        message: fault.message,
        hint: fault.hint,
        excerpt: excerpt(sources, index, fault.place),
        other,
    }
}

fn excerpt(sources: &[Source], index: usize, place: Place) -> Option<Excerpt> {
    Excerpt::new(text_of(sources, index)?, place)
}

fn between(
    sources: &[Source],
    index: usize,
    other: usize,
    [one, two]: [Place; 2],
) -> Option<Excerpt> {
    let first = if one.line < two.line { one } else { two };
    let single = index == other && one.line.abs_diff(two.line) == 2;
    if single { Excerpt::after(text_of(sources, index)?, first) } else { None }
}

fn text_of(sources: &[Source], index: usize) -> Option<&str> {
    let bytes = &sources.get(index)?.text;
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    std::str::from_utf8(text).ok()
}
