//! Comparison of the apps of all documents: names and routes must be unique, and no apps may wait
//! for each other.

use std::collections::BTreeMap;

use super::check::Document;
use super::fields::FIRST;
use super::node::Place;
use super::raw_diagnostic::{Other, RawDiagnostic};
use dubernetes_core::app::{self, AppName, RouteConflict};

/// Returns every name and route that an earlier document has already, with the index of the later
/// one's source.
pub(super) fn find_conflicts(documents: &[Document]) -> Vec<(usize, RawDiagnostic)> {
    let mut by_name = BTreeMap::new();
    for document in documents {
        app_name(document).map(|name| by_name.entry(name).or_insert(document));
    }
    let mut conflicts = Vec::new();
    for (index, later) in documents.iter().enumerate() {
        let earlier = documents.get(..index).unwrap_or_default();
        let found = name_conflict(later, earlier).into_iter();
        let found = found.chain(route_conflicts(later, earlier));
        let following = documents.get(index + 1..).unwrap_or_default();
        let found = found.chain(start_cycle(later, following, &by_name));
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

/// Returns the cycle of `after` that a document closes, if it is the last one of the cycle.
fn start_cycle(
    last: &Document,
    following: &[Document],
    by_name: &BTreeMap<&AppName, &Document>,
) -> Option<RawDiagnostic> {
    let after = |name: &AppName| by_name.get(name).map_or(&[][..], |it| &it.checked.outline.after);
    let cycle = app::start_cycle(app_name(last)?, after)?;
    // An app that starts after itself is a problem of its own.
    let before = cycle.last().filter(|_| cycle.len() > 1)?;
    let is_later = |later: &Document| app_name(later).is_some_and(|name| cycle.contains(name));
    if following.iter().any(is_later) {
        return None;
    }
    let place = |document: &Document, other: &AppName| {
        let at = document.checked.outline.after.iter().position(|name| name == other);
        document.root.place_of(&at.map_or_else(|| "after".to_owned(), |at| format!("after.{at}")))
    };
    let name = app_name(last)?;
    let problem = app::start_cycle_problem(name, &last.checked.outline.after, &cycle);
    let first = by_name.get(before)?;
    let mut found = RawDiagnostic::new(
        place(last, cycle.get(1)?),
        "after",
        problem.message,
        problem.hint.unwrap_or_default(),
    );
    let label = format!("`{before}` starts after `{name}`");
    found.other = Some(Other { source: Some(first.source), place: place(first, name), label });
    Some(found)
}

/// Compares each place separately, so that one conflict does not hide the next.
fn route_conflicts(later: &Document, earlier: &[Document]) -> Vec<RawDiagnostic> {
    let mut conflicts = Vec::new();
    for place in places(later) {
        let taken = earlier.iter().filter(|first| app_name(first) != app_name(later));
        let taken = taken.flat_map(|first| places(first).into_iter().map(move |at| (first, at)));
        let same = |(_, at): &(&Document, LocatedPlace)| at.place.overlaps(&place.place);
        let Some((first, at)) = { taken }.find(same) else { continue };
        let Some(owner) = app_name(first).cloned() else { continue };
        let hint = match place.place {
            app::Place::Route { .. } => "give each app its own host, or another `path` of the host",
            app::Place::Port(_) => "give each app its own port of the host",
        };
        let conflict = RouteConflict { owner, place: place.place };
        let conflict = RawDiagnostic::new(
            later.root.place_of(&place.path),
            place.key,
            conflict.to_string(),
            hint,
        );
        conflicts.push(with_other(conflict, first, first.root.place_of(&at.path)));
    }
    conflicts
}

/// A route or port of an app, and where the file has it.
struct LocatedPlace {
    place: app::Place,
    /// The field, with its position in lists.
    path: String,
    key: &'static str,
}

/// Returns the places of the app in a document, if it has a name.
fn places(document: &Document) -> Vec<LocatedPlace> {
    if app_name(document).is_none() {
        return Vec::new();
    }
    let is_list = document.root.find("access.0").is_some();
    let mut places = Vec::new();
    for (index, access) in document.checked.outline.access.iter().enumerate() {
        let above = if is_list { format!("access.{index}") } else { "access".to_owned() };
        let is_named = !access.hosts.is_empty();
        let key = if is_named { "access.host" } else { "access" };
        for (position, host) in access.patterns().into_iter().enumerate() {
            let path = if is_named { format!("{above}.host.{position}") } else { above.clone() };
            let place = app::Place::Route { host, path: access.path.clone() };
            places.push(LocatedPlace { place, path, key });
        }
    }
    for (index, mapping) in document.checked.outline.ports.iter().enumerate() {
        let path = format!("ports.{index}");
        places.push(LocatedPlace { place: app::Place::Port(*mapping), path, key: "ports" });
    }
    places
}

fn app_name(document: &Document) -> Option<&AppName> {
    document.checked.outline.name.as_ref()
}

fn with_other(mut conflict: RawDiagnostic, first: &Document, place: Place) -> RawDiagnostic {
    conflict.other = Some(Other { source: Some(first.source), place, label: FIRST.into() });
    conflict
}
