//! The documents of all sources of one call, and what is wrong with them.

use super::check::{self, Document};
use super::compare;
use super::diagnostic::OtherPlace;
use super::excerpt::Excerpt;
use super::node::{Node, Place};
use super::raw_diagnostic::RawDiagnostic;
use super::{
    Diagnostic, Diagnostics, Located, Parsed, ReadFile, Source, Variables, decode, exported,
    variables, yaml,
};
use dubernetes_core::app::{AppSpec, SecretName};
use dubernetes_core::error::one_line;
use dubernetes_core::store::missing_secret;

/// The documents of several sources, and all diagnostics with the index of their source.
#[derive(Debug, Default)]
pub(super) struct Batch {
    documents: Vec<Document>,
    diagnostics: Vec<(usize, RawDiagnostic)>,
}

/// Reads and checks all documents of `sources`.
pub(super) fn parse(
    sources: &[Source],
    read: Option<&ReadFile<'_>>,
    variables: Option<&Variables>,
) -> Result<Parsed, Diagnostics> {
    let mut batch = Batch::default();
    for (index, source) in sources.iter().enumerate() {
        batch.read(index, source, read, variables);
    }
    batch.diagnostics.extend(compare::find_conflicts(&batch.documents));
    if batch.diagnostics.is_empty() {
        Ok(batch.into_parsed(sources))
    } else {
        Err(locate_all(sources, batch.diagnostics))
    }
}

impl Batch {
    fn read(
        &mut self,
        index: usize,
        source: &Source,
        read: Option<&ReadFile<'_>>,
        variables: Option<&Variables>,
    ) {
        let text = match decode::decode(&source.text) {
            Ok(text) => text,
            Err(diagnostic) => return self.diagnostics.push((index, *diagnostic)),
        };
        let yaml::Documents { roots, mut diagnostics } = yaml::read(text);
        if roots.is_empty() && diagnostics.is_empty() {
            let hint = "start with `name: myapp` and `image: myapp-image:1.5`";
            let message = "the file contains no app";
            diagnostics.push(RawDiagnostic::new(Place::FILE, "", message, hint));
        }
        let mut specifications = Vec::new();
        for mut root in roots {
            match (exported::specifications(&root), variables) {
                (Some(exported), _) => specifications.extend(exported),
                (None, Some(variables)) => {
                    diagnostics.extend(variables::substitute(&mut root, variables));
                    specifications.push(root);
                }
                (None, None) => specifications.push(root),
            }
        }
        for root in specifications {
            let mut checked = check::check(&root, read.map(|read| (read, source)));
            diagnostics.append(&mut checked.diagnostics);
            self.documents.push(Document { source: index, root, checked });
        }
        self.diagnostics.extend(diagnostics.into_iter().map(|diagnostic| (index, diagnostic)));
    }

    fn into_parsed(self, sources: &[Source]) -> Parsed {
        let mut parsed = Parsed::default();
        for Document { source, root, checked } in self.documents {
            let name = sources.get(source).map(Source::shown_name).unwrap_or_default();
            for (place, note) in checked.notes {
                let shown = one_line(&name);
                parsed.notes.push(format!("{note} ({shown}:{}:{})", place.line, place.column));
            }
            if let Some(spec) = checked.spec {
                let secrets = locate_secrets(sources, source, &root, &spec);
                let line = root.place.line;
                parsed.apps.push(Located { spec, source: name, line, secrets });
            }
        }
        parsed
    }
}

/// Returns the problem of each secret that an app uses, in case that it does not exist.
fn locate_secrets(
    sources: &[Source],
    source: usize,
    root: &Node,
    spec: &AppSpec,
) -> Vec<(SecretName, Diagnostic)> {
    let references = spec.content_refs().into_iter();
    let named = references.filter_map(|(path, reference)| Some((path, reference.secret_name()?)));
    let problem = |(path, name): (Vec<String>, &SecretName)| {
        let path = path.join(".");
        // An only entry of `env_file` is no list.
        let key = path.split_once('.').map_or(path.as_str(), |(key, _)| key);
        let found = [&path, key].map(|path| root.find(&format!("{path}.secret")));
        let place = found.into_iter().flatten().next().map_or(root.place, |(_, node)| node.place);
        let (message, hint) = missing_secret(name);
        let raw = RawDiagnostic::new(place, path, message, hint);
        (name.clone(), locate(sources, source, raw))
    };
    named.map(problem).collect()
}

/// Adds source names, lines and excerpts to `diagnostics`, and sorts them by place.
pub(super) fn locate_all(
    sources: &[Source],
    mut diagnostics: Vec<(usize, RawDiagnostic)>,
) -> Diagnostics {
    diagnostics.sort_by_key(|(source, diagnostic)| (*source, diagnostic.place.start));
    let located = diagnostics.into_iter().map(|(source, raw)| locate(sources, source, raw));
    Diagnostics { list: located.collect() }
}

fn locate(sources: &[Source], index: usize, raw: RawDiagnostic) -> Diagnostic {
    let name = |index: usize| sources.get(index).map(Source::shown_name).unwrap_or_default();
    let other = raw.other.map(|other| {
        let source = other.source.unwrap_or(index);
        OtherPlace {
            source: name(source),
            line: other.place.line,
            column: other.place.column,
            label: other.label,
            excerpt: excerpt(sources, source, other.place),
            between: line_between(sources, [index, source], [raw.place, other.place]),
        }
    });
    Diagnostic {
        source: name(index),
        line: raw.place.line,
        column: raw.place.column,
        path: raw.path,
        message: raw.message,
        hint: raw.hint,
        excerpt: excerpt(sources, index, raw.place),
        other,
    }
}

fn excerpt(sources: &[Source], index: usize, place: Place) -> Option<Excerpt> {
    Excerpt::new(source_text(sources, index)?, place)
}

/// Returns the only line between two places of one source.
fn line_between(sources: &[Source], [one, two]: [usize; 2], places: [Place; 2]) -> Option<Excerpt> {
    let [first, second] = places;
    if one != two || first.line.abs_diff(second.line) != 2 {
        return None;
    }
    let upper = if first.line < second.line { first } else { second };
    Excerpt::next_line(source_text(sources, one)?, upper)
}

fn source_text(sources: &[Source], index: usize) -> Option<&str> {
    let bytes = &sources.get(index)?.text;
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    std::str::from_utf8(text).ok()
}
