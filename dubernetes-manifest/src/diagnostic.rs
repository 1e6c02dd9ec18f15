//! Diagnostics of files: place, source line with a marker, and what to do.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::excerpt::Excerpt;
use dubernetes_core::error::one_line;

/// The number of problems that are printed. The rest is counted.
const MAX_PRINTED: usize = 20;

/// The problems of some files, in the order of the files.
///
/// Displays as [`Diagnostics::render`] without colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// The problems, at least one.
    pub list: Vec<Diagnostic>,
}

/// One problem of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the user named it.
    pub source: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The field, such as `access.hots`; empty if the problem belongs to none.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The source line; `None` if it is empty.
    pub(super) excerpt: Option<Excerpt>,
    /// A second place that belongs to the problem.
    pub(super) other: Option<OtherPlace>,
}

/// A second place that belongs to a problem, such as the first of two duplicate keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OtherPlace {
    pub(super) source: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) label: String,
    pub(super) excerpt: Option<Excerpt>,
    /// The line between the two places, if there is exactly one.
    pub(super) between: Option<Excerpt>,
}

impl Diagnostics {
    /// Returns the first 20 problems as text, each with its source line, and a summary as the last
    /// line.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        // Excerpts are already cut to a readable width.
        let renderer = renderer.term_width(2000);
        let mut text = String::new();
        for diagnostic in self.printed() {
            text.push_str(&diagnostic.render(&renderer));
            text.push_str("\n\n");
        }
        let summary = [Group::with_title(Level::ERROR.primary_title(self.summary()))];
        text.push_str(&renderer.render(&summary));
        text
    }

    /// Returns the problems that are printed: the first 20.
    pub fn printed(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().take(MAX_PRINTED)
    }

    /// Returns a summary: the number of problems, and the files.
    pub fn summary(&self) -> String {
        let count = match self.list.len() {
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        let names: BTreeSet<&str> = self.list.iter().map(|found| found.source.as_str()).collect();
        let files = match self.list.first() {
            Some(first) if names.len() == 1 => one_line(&first.source),
            _ => format!("{} files", names.len()),
        };
        let cut = if self.list.len() > MAX_PRINTED {
            format!(", the first {MAX_PRINTED} are shown")
        } else {
            String::new()
        };
        format!("{count} in {files}{cut}; nothing was changed")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Error for Diagnostics {}

impl fmt::Display for Diagnostic {
    /// Writes the problem on one line, with its place but without the source line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", one_line(&self.source), self.line, self.column, self.message)
    }
}

impl Diagnostic {
    fn render(&self, renderer: &Renderer) -> String {
        let path = one_line(&self.source);
        let mut error = Level::ERROR.primary_title(self.message.as_str()).elements(NO_ELEMENTS);
        let here = Position { path: &path, line: self.line, column: self.column };
        let mut shown = Vec::new();
        let other_path = self.other.as_ref().map(|other| one_line(&other.source));
        match (&self.excerpt, self.other.as_ref().zip(other_path.as_deref())) {
            (None, _) => error = error.element(here.origin()),
            (Some(excerpt), Some((other, _))) if other.source == self.source => {
                shown.push((here, excerpt));
                error =
                    error.element(two_line_snippet(excerpt, self.line, other).path(path.as_str()));
            }
            (Some(excerpt), other) => {
                shown.push((here, excerpt));
                let primary = snippet(excerpt, self.line, AnnotationKind::Primary, None);
                error = error.element(primary.path(path.as_str()));
                if let Some((other, path)) = other
                    && let Some(excerpt) = &other.excerpt
                {
                    shown
                        .push((Position { path, line: other.line, column: other.column }, excerpt));
                    let label = Some(other.label.as_str());
                    let context = snippet(excerpt, other.line, AnnotationKind::Context, label);
                    error = error.element(context.path(path));
                }
            }
        }
        let help = self.hint.as_ref();
        let help = help.map(|hint| Group::with_title(Level::HELP.secondary_title(hint.as_str())));
        let groups: Vec<Group<'_>> = std::iter::once(error).chain(help).collect();
        let text = renderer.render(&groups);
        shown
            .into_iter()
            .fold(text, |text, (position, excerpt)| position.correct_column(text, excerpt))
    }
}

const NO_ELEMENTS: [annotate_snippets::Padding; 0] = [];

/// A place, as it is printed.
struct Position<'a> {
    path: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Position<'a> {
    fn origin(&self) -> Origin<'a> {
        Origin::path(self.path).line(self.line).char_column(self.column)
    }

    /// Replaces the column in rendered `text` with that of the file. The renderer counts in the
    /// excerpt, where a long line is cut and hidden characters are escaped.
    fn correct_column(&self, text: String, excerpt: &Excerpt) -> String {
        let Self { path, line, column } = self;
        let before = excerpt.line.get(..excerpt.token.start).unwrap_or_default();
        let printed = before.chars().count() + 1;
        if printed == *column {
            return text;
        }
        let Some((title, rest)) = text.split_once('\n') else { return text };
        let wrong = format!("{path}:{line}:{printed}");
        let rest = rest.replacen(&wrong, &format!("{path}:{line}:{column}"), 1);
        format!("{title}\n{rest}")
    }
}

fn snippet<'a>(
    excerpt: &'a Excerpt,
    line: usize,
    kind: AnnotationKind,
    label: Option<&'a str>,
) -> Snippet<'a, Annotation<'a>> {
    let annotation = kind.span(excerpt.token.clone()).label(label);
    Snippet::source(excerpt.line.as_str()).line_start(line).annotation(annotation)
}

/// Returns two lines of one file as one snippet, without the lines between them.
fn two_line_snippet<'a>(
    excerpt: &'a Excerpt,
    line: usize,
    other: &'a OtherPlace,
) -> Snippet<'a, Annotation<'a>> {
    let alone = snippet(excerpt, line, AnnotationKind::Primary, None);
    let Some(second) = &other.excerpt else { return alone };
    if other.line == line && second.line != excerpt.line {
        // The two places are far apart on one long line.
        return alone;
    }
    // The renderer prints one line between the two, and leaves out more.
    let gap = match &other.between {
        Some(between) => format!("\n{}\n", between.line),
        None => "\n".repeat(other.line.abs_diff(line)),
    };
    let (source, primary, context) = match other.line.cmp(&line) {
        Ordering::Equal => (excerpt.line.clone(), 0, 0),
        Ordering::Less => {
            let source = format!("{}{gap}{}", second.line, excerpt.line);
            (source, second.line.len() + gap.len(), 0)
        }
        Ordering::Greater => {
            let source = format!("{}{gap}{}", excerpt.line, second.line);
            (source, 0, excerpt.line.len() + gap.len())
        }
    };
    let shift = |token: &Range<usize>, by: usize| token.start + by..token.end + by;
    let label = other.label.as_str();
    Snippet::source(source)
        .line_start(line.min(other.line))
        .annotation(AnnotationKind::Primary.span(shift(&excerpt.token, primary)))
        .annotation(AnnotationKind::Context.span(shift(&second.token, context)).label(label))
}
