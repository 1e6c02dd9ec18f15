//! Apps against each other: no name and no route may stand in two documents.

use super::Document;
use super::node::{Other, Place, RawDiagnostic};
use dubernetes_core::app::{Access, AppName, AppSpec, ImageRef};
use dubernetes_core::state::route_conflict;

/// Every name and route that an earlier document has already, with the later one's source.
pub(super) fn conflicts(documents: &[Document]) -> Vec<(usize, RawDiagnostic)> {
    let mut found = Vec::new();
    for (index, later) in documents.iter().enumerate() {
        let earlier = documents.get(..index).unwrap_or_default();
        found.extend(name_conflict(later, earlier).map(|fault| (later.source, fault)));
        found
            .extend(route_conflicts(later, earlier).into_iter().map(|fault| (later.source, fault)));
    }
    found
}

fn name_conflict(later: &Document, earlier: &[Document]) -> Option<RawDiagnostic> {
    let name = name(later)?;
    let first = earlier.iter().find(|first| self::name(first) == Some(name))?;
    let fault = RawDiagnostic::new(
        later.root.place_of("name"),
        "name",
        format!("the app `{name}` is there twice"),
        "give each app a name of its own",
    );
    Some(with_other(fault, first, first.root.place_of("name")))
}

/// Each host is compared by itself, so that one conflict does not hide the next.
fn route_conflicts(later: &Document, earlier: &[Document]) -> Vec<RawDiagnostic> {
    let Some((name, access)) = name(later).zip(later.checked.outline.access.as_ref()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (index, host) in access.hosts.iter().enumerate() {
        let single = Access { hosts: vec![host.clone()], path: access.path.clone() };
        let Some(mine) = sketch(name, single) else { continue };
        let taken = earlier.iter().find_map(|first| {
            let theirs = sketch(self::name(first)?, first.checked.outline.access.clone()?)?;
            Some((first, route_conflict(&mine, [&theirs])?, theirs))
        });
        let Some((first, conflict, theirs)) = taken else { continue };
        let position =
            theirs.access.iter().flat_map(|access| &access.hosts).position(|h| h == host);
        let path = format!("access.host.{index}");
        let fault = RawDiagnostic::new(
            later.root.place_of(&path),
            "access.host",
            conflict.to_string(),
            "give each app a host of its own, or the same host with another `path`",
        );
        let there = format!("access.host.{}", position.unwrap_or_default());
        found.push(with_other(fault, first, first.root.place_of(&there)));
    }
    found
}

fn name(document: &Document) -> Option<&AppName> {
    document.checked.outline.name.as_ref()
}

/// Enough of an app to compare its routes; the image plays no part.
fn sketch(name: &AppName, access: Access) -> Option<AppSpec> {
    let image = ImageRef::parse("any").ok()?;
    Some(AppSpec { access: Some(access), ..AppSpec::new(name.clone(), image) })
}

fn with_other(mut fault: RawDiagnostic, first: &Document, place: Place) -> RawDiagnostic {
    let label = "first given here".into();
    fault.other = Some(Other { source: Some(first.source), place, label });
    fault
}
