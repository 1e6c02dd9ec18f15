//! Manifests: app specifications in YAML and JSON, read with every problem located, and a
//! reference of their keys.
//!
//! ```
//! use dubernetes_manifest::{Source, parse};
//!
//! let manifest = "name: shop\nimage: shop:1.5\nreplicsa: 3\n";
//! let source = Source { name: "app.yaml".into(), text: manifest.into() };
//! let diagnostics = parse(&[source]).unwrap_err();
//! assert_eq!(diagnostics.to_string(), "\
//! error: unknown key `replicsa`
//!  --> app.yaml:3:1
//!   |
//! 3 | replicsa: 3
//!   | ^^^^^^^^
//!   |
//! help: did you mean `replicas`?
//!
//! error: 1 problem in app.yaml; nothing was changed");
//! ```
//!
//! # Flow
//!
//! ```text
//! bytes ─► decode ─► yaml ─┐                 ┌─► AppSpec ─► compare ─► Parsed
//!                          ├─► Node ─► check ┤                 │
//! JSON body ───────► json ─┘                 └─► diagnostics ◄─┘ ─► Diagnostics
//! ```
//!
//! Bytes are decoded within limits ([`MAX_FILE_BYTES`]). YAML and JSON become the same tree, with
//! the place of every key and value. One check turns a tree into an [`AppSpec`]. Last, the apps of
//! all files are compared with each other.
//!
//! # Guarantees
//!
//! - All or nothing: a single problem means no specification, but the list of every problem of
//!   every file.
//! - Nothing is guessed or ignored: unknown and duplicate keys, nulls, and numbers that are not
//!   plain digits are problems.
//! - Bounded: size, depth, and the number of documents, keys and values are limited. No input
//!   panics.
//! - No message repeats the content of a referenced file, which may be a secret.
//!
//! # Modules, in reading order
//!
//! `node` is the tree, which `decode`, `yaml` (with `syntax`) and `json` make. `check` reads an app
//! from it by means of `fields`, which looks up keys in [`reference`](mod@reference). `batch`
//! reads the documents of all sources, and `compare` looks for conflicts among them.
//! `raw_diagnostic`, `diagnostic` and `excerpt` are the problems, `suggest` and `nearest` their
//! hints. `settings` reads the settings file of the program. [`compose`] turns Compose files into
//! manifests, and [`kubernetes`] turns apps into manifests of Kubernetes; `out` is what both write.

#![warn(clippy::wildcard_enum_match_arm)]

mod batch;
mod check;
mod compare;
pub mod compose;
mod decode;
mod diagnostic;
mod excerpt;
mod exported;
mod fields;
mod json;
pub mod kubernetes;
mod nearest;
mod node;
mod note;
mod out;
mod raw_diagnostic;
pub mod reference;
mod settings;
mod suggest;
mod syntax;
mod variables;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use note::Note;
pub use settings::parse_settings;
pub use variables::Variables;

use std::io::{self, Read};

use thiserror::Error;

use check::Checked;
use dubernetes_core::app::{AppName, AppSpec, Problem, SecretName};
use raw_diagnostic::RawDiagnostic;

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// The deepest nesting. An app needs 3 levels.
const MAX_DEPTH: usize = 32;
/// The largest number of keys and values in one file. An app with full lists needs about 2,600.
const MAX_NODES: usize = 20_000;
/// The largest number of documents in one file.
const MAX_DOCUMENTS: usize = 64;

/// The name and bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the user wrote it. `-` is shown as `<stdin>`.
    pub name: String,
    /// The content, or its first [`MAX_FILE_BYTES`] and one more byte.
    pub text: Vec<u8>,
}

impl Source {
    /// Reads a file, at most one byte more than [`MAX_FILE_BYTES`].
    ///
    /// # Errors
    ///
    /// Returns the errors of `reader`.
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

/// The apps of some sources, all of them valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The apps in the order of the sources. Names and routes are unique.
    pub apps: Vec<Located>,
    /// Values that were accepted in another form than they were written, as sentence fragments.
    pub notes: Vec<String>,
}

/// A specification and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The app.
    pub spec: AppSpec,
    /// The file, as the user named it.
    pub source: String,
    /// The first line of the document, from 1.
    pub line: usize,
    /// What to report for each secret that does not exist.
    pub(crate) secrets: Vec<(SecretName, Diagnostic)>,
}

impl Located {
    /// Returns the problems of references to secrets that do not exist. Only the orchestrator knows
    /// which ones exist.
    pub fn missing_secrets(&self, exists: impl Fn(&SecretName) -> bool) -> Vec<Diagnostic> {
        let missing = self.secrets.iter().filter(|(name, _)| !exists(name));
        missing.map(|(_, diagnostic)| diagnostic.clone()).collect()
    }
}

/// The reason why a JSON body is not an app.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// The body is not JSON.
    #[error("{message}")]
    Syntax {
        /// What was expected and what was found.
        message: String,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1; 0 at the end of a line.
        column: usize,
    },
    /// The body is JSON, but not a valid app.
    #[error("the app is not valid")]
    Invalid(
        /// The problems, at least one.
        Vec<BodyProblem>,
    ),
}

/// A problem of a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyProblem {
    /// The JSON pointer (RFC 6901) of the field; for a missing field, where it would be.
    pub pointer: String,
    /// The problem.
    pub problem: Problem,
}

/// Reads a file that a source refers to by the given path, or returns a few words on why it
/// cannot. One byte more than [`MAX_CONTENT_BYTES`](dubernetes_core::app::MAX_CONTENT_BYTES) is
/// enough.
pub type ReadFile<'r> = dyn Fn(&Source, &str) -> Result<Vec<u8>, String> + 'r;

/// Parses all documents of all sources, without the files that they refer to.
///
/// # Errors
///
/// Returns every problem of every document, in the order of the sources.
///
/// # Examples
///
/// ```
/// use dubernetes_manifest::{Source, parse};
///
/// let manifest = "name: shop\nimage: shop:1.5\n---\nname: blog\nimage: blog:2\nreplicas: 2\n";
/// let parsed = parse(&[Source { name: "apps.yaml".into(), text: manifest.into() }])?;
/// assert_eq!(parsed.apps[0].spec.name, "shop");
/// assert_eq!(parsed.apps[1].spec.replicas, 2);
/// assert_eq!(parsed.apps[1].line, 4);
/// # Ok::<(), dubernetes_manifest::Diagnostics>(())
/// ```
pub fn parse(sources: &[Source]) -> Result<Parsed, Diagnostics> {
    batch::parse(sources, None, None)
}

/// Parses all documents of all sources, and reads the files that they refer to with `read`.
///
/// # Errors
///
/// Returns every problem of every document, and every file that cannot be read or whose content
/// breaks a rule.
///
/// # Examples
///
/// ```
/// use dubernetes_manifest::{Source, parse_reading};
///
/// let manifest = "name: shop\nimage: shop:1.5\nenv: { PASSWORD: { file: ./password } }\n";
/// let source = Source { name: "app.yaml".into(), text: manifest.into() };
/// let parsed = parse_reading(&[source], &|_source, path| match path {
///     "./password" => Ok(b"secret\n".to_vec()),
///     _ => Err("no such file".to_owned()),
/// })?;
/// let spec = parsed.apps[0].spec.clone().validate()?;
/// assert_eq!(spec.environment().secret["PASSWORD"].reveal(), b"secret");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse_reading(sources: &[Source], read: &ReadFile<'_>) -> Result<Parsed, Diagnostics> {
    batch::parse(sources, Some(read), None)
}

/// Parses all documents of all sources as [`parse_reading`] does, and replaces `${NAME}` in their
/// values by `variables`. What an orchestrator exported has no variables.
///
/// # Errors
///
/// Those of [`parse_reading`], and every variable that is not set.
///
/// # Examples
///
/// ```
/// use dubernetes_manifest::{Source, Variables, parse_with_variables};
///
/// let source = Source { name: "app.yaml".into(), text: "name: a\nimage: a:${TAG}\n".into() };
/// let variables = Variables::from([("TAG".to_owned(), "1.5".to_owned())]);
/// let parsed = parse_with_variables(&[source], &|_, _| Err("none".to_owned()), &variables)?;
/// assert_eq!(parsed.apps[0].spec.artifact.as_str(), "a:1.5");
/// # Ok::<(), dubernetes_manifest::Diagnostics>(())
/// ```
pub fn parse_with_variables(
    sources: &[Source],
    read: &ReadFile<'_>,
    variables: &Variables,
) -> Result<Parsed, Diagnostics> {
    batch::parse(sources, Some(read), Some(variables))
}

/// Parses the app in a JSON body, with the same checks as for a file.
///
/// # Errors
///
/// The body is not JSON, or it has problems, all of which are returned.
pub fn from_json(body: &[u8]) -> Result<AppSpec, JsonError> {
    let root = json::read(body)?;
    let Checked { spec, diagnostics, .. } = check::check(&root, None);
    spec.ok_or_else(|| {
        let problem = |found: RawDiagnostic| BodyProblem {
            pointer: root.pointer(&found.path),
            problem: Problem { path: found.path, message: found.message, hint: found.hint },
        };
        JsonError::Invalid(diagnostics.into_iter().map(problem).collect())
    })
}

/// Returns the legal app name that is nearest to `text`.
pub fn suggest_name(text: &str) -> Option<AppName> {
    suggest::suggest_name(text)
}

/// Returns an app as the YAML that a user would write. [`parse`] returns the same app from it.
///
/// # Examples
///
/// ```
/// use dubernetes_core::app::AppSpec;
///
/// let spec = AppSpec::new("shop".parse()?, "shop:1.5".parse()?);
/// let yaml = dubernetes_manifest::to_yaml(&spec);
/// assert_eq!(yaml, "name: shop\nimage: shop:1.5\nreplicas: 1\n");
/// # Ok::<(), dubernetes_core::app::ParseError>(())
/// ```
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
