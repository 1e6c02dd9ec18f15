//! Comparison of the apps of all documents: names and routes must be unique.

use super::check::Document;
use super::fields::FIRST;
use super::node::Place;
use super::raw_diagnostic::{Other, RawDiagnostic};
use dubernetes_core::app::{Access, AppName, AppSpec, ImageRef, route_conflict};

/// Returns every name and route that an earlier document has already, with the index of the later
/// one's source.
pub(super) fn find_conflicts(documents: &[Document]) -> Vec<(usize, RawDiagnostic)> {
    let mut conflicts = Vec::new();
    for (index, later) in documents.iter().enumerate() {
        let earlier = documents.get(..index).unwrap_or_default();
        let found = name_conflict(later, earlier).into_iter();
        let found = found.chain(route_conflicts(later, earlier));
        conflicts.extend(found.map(|diagnostic| (later.source, diagnostic)));
    }
    conflicts
}

fn name_conflict(later: &Document, earlier: &[Document]) -> Option<RawDiagnostic> {
    let name = app_name(later)?;
    let first = earlier.iter().find(|first| app_name(first) == Some(name))?;
    let conflict = RawDiagnostic::new(
        later.root.place_of("name"),
        "name",
        format!("the app `{name}` is defined twice"),
        "give each app its own name",
    );
    Some(with_other(conflict, first, first.root.place_of("name")))
}

/// Compares each host separately, so that one conflict does not hide the next.
fn route_conflicts(later: &Document, earlier: &[Document]) -> Vec<RawDiagnostic> {
    let Some((name, access)) = app_name(later).zip(later.checked.outline.access.as_ref()) else {
        return Vec::new();
    };
    let mut conflicts = Vec::new();
    for (index, host) in access.hosts.iter().enumerate() {
        let single = Access { hosts: vec![host.clone()], path: access.path.clone() };
        let Some(mine) = minimal_app(name, single) else { continue };
        let taken = earlier.iter().find_map(|first| {
            let theirs = minimal_app(app_name(first)?, first.checked.outline.access.clone()?)?;
            Some((first, route_conflict(&mine, [&theirs])?, theirs))
        });
        let Some((first, conflict, theirs)) = taken else { continue };
        let position =
            theirs.access.iter().flat_map(|access| &access.hosts).position(|h| h == host);
        let conflict = RawDiagnostic::new(
            later.root.place_of(&format!("access.host.{index}")),
            "access.host",
            conflict.to_string(),
            "give each app its own host, or another `path` of the host",
        );
        let place = first.root.place_of(&format!("access.host.{}", position.unwrap_or_default()));
        conflicts.push(with_other(conflict, first, place));
    }
    conflicts
}

fn app_name(document: &Document) -> Option<&AppName> {
    document.checked.outline.name.as_ref()
}

/// Returns an app that is complete enough to compare its routes. The image does not matter.
fn minimal_app(name: &AppName, access: Access) -> Option<AppSpec> {
    let image = ImageRef::parse("any").ok()?;
    Some(AppSpec { access: Some(access), ..AppSpec::new(name.clone(), image) })
}

fn with_other(mut conflict: RawDiagnostic, first: &Document, place: Place) -> RawDiagnostic {
    conflict.other = Some(Other { source: Some(first.source), place, label: FIRST.into() });
    conflict
}
