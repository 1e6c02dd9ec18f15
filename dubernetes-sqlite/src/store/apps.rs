//! Apps and their revisions: statements inside a transaction.

use dubernetes_core::app::{AppName, AppSpec, RevisionId};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::{
    Change, ExistingApp, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, StoreDecision,
    StoreError, StoredApp, StoredState, apply_rollout_update, decide_put, decide_rollout_command,
};
use jiff::Timestamp;
use rusqlite::{named_params, params};

use crate::error::TransactionError;
use crate::keyring::Place;
use crate::row::{self, AppRow};
use crate::session::Session;

use super::{certificates, secrets};

pub(super) fn put(session: &Session<'_>, put: &PutApp) -> Result<Put, TransactionError> {
    if teardown(session)?.is_some() {
        return Err(TransactionError::Store(StoreError::TearingDown));
    }
    let mut spec = put.spec.clone().into_inner();
    secrets::resolve(session, &mut spec)?;
    let put = put.with_spec(spec);
    let found = find(session, &put.spec.name)?;
    let kept = all_revisions(session, &put.spec.name)?;
    let existing = match &found {
        None => ExistingApp::Absent,
        Some(AppRow { app, deleted: None }) => ExistingApp::Live { app, revisions: &kept },
        Some(AppRow { app, deleted: Some(_) }) => ExistingApp::Deleted {
            generation: app.generation,
            revision: app.revision,
            revisions: &kept,
        },
    };
    let others = related_apps(session, &put.spec)?;
    let decision = decide_put(existing, &others, &put)?;
    write_decision(session, &decision)?;
    Ok(decision.put)
}

pub(super) fn update_rollout(
    session: &Session<'_>,
    command: &RolloutCommand,
) -> Result<Put, TransactionError> {
    let app = get(session, &command.name)?;
    let decision = decide_rollout_command(&app, &all_revisions(session, &command.name)?, command)?;
    write_decision(session, &decision)?;
    Ok(decision.put)
}

/// Returns true if anything changed.
pub(super) fn record_rollout(
    session: &Session<'_>,
    name: &AppName,
    revision: RevisionId,
    update: &RolloutUpdate,
    now: Timestamp,
) -> Result<bool, TransactionError> {
    let Some(AppRow { app, deleted: None }) = find(session, name)? else { return Ok(false) };
    let kept = all_revisions(session, name)?;
    let Some(decision) = apply_rollout_update(&app, &kept, revision, update, now)? else {
        return Ok(false);
    };
    write_decision(session, &decision)?;
    Ok(true)
}

/// Writes the rows of a decision.
pub(super) fn write_decision(
    session: &Session<'_>,
    decision: &StoreDecision,
) -> Result<(), TransactionError> {
    if decision.put.change == Change::Unchanged {
        return Ok(());
    }
    let app = &decision.put.app;
    write_app(session, app)?;
    for revision in &decision.dropped {
        let delete = "DELETE FROM revisions WHERE app = ?1 AND revision = ?2";
        session.prepare_cached(delete)?.execute(params![app.spec.name.as_str(), revision.0])?;
    }
    decision.written.iter().try_for_each(|kept| write_revision(session, &app.spec.name, kept))
}

/// Returns an app that is not being deleted.
pub(super) fn get(session: &Session<'_>, name: &AppName) -> Result<StoredApp, TransactionError> {
    match find(session, name)? {
        Some(AppRow { app, deleted: None }) => Ok(app),
        Some(AppRow { deleted: Some(_), .. }) | None => {
            Err(TransactionError::Store(StoreError::NotFound { name: name.clone() }))
        }
    }
}

pub(super) fn list(session: &Session<'_>) -> Result<StoredState, TransactionError> {
    let mut state = StoredState {
        teardown: teardown(session)?,
        certificates: certificates::list(session)?,
        ..StoredState::default()
    };
    let mut select = session.prepare_cached(row::SELECT_APP)?;
    for found in select.query_and_then([], |found| row::read_app(found, session.keys))? {
        let AppRow { app, deleted } = found?;
        let name = app.spec.name.clone();
        match deleted {
            None => drop(state.apps.insert(name, app)),
            Some(tombstone) => drop(state.tombstones.insert(name, tombstone)),
        }
    }
    Ok(state)
}

pub(super) fn delete(
    session: &Session<'_>,
    name: &AppName,
    now: Timestamp,
) -> Result<(), TransactionError> {
    let update = "UPDATE apps SET deleted_at = ?2 WHERE name = ?1 AND deleted_at IS NULL";
    let updated =
        session.prepare_cached(update)?.execute(params![name.as_str(), row::format_time(now)?])?;
    if updated == 0 {
        return Err(TransactionError::Store(StoreError::NotFound { name: name.clone() }));
    }
    Ok(())
}

/// Returns true if there was a tombstone.
pub(super) fn purge(session: &Session<'_>, name: &AppName) -> Result<bool, TransactionError> {
    // The revisions are deleted by cascade.
    let delete = "DELETE FROM apps WHERE name = ?1 AND deleted_at IS NOT NULL";
    Ok(session.prepare_cached(delete)?.execute([name.as_str()])? > 0)
}

/// Returns true if the request is new.
pub(super) fn evict(
    session: &Session<'_>,
    name: &AppName,
    container: ContainerId,
) -> Result<bool, TransactionError> {
    let mut app = get(session, name)?;
    let is_new = app.evicted.insert(container);
    if is_new {
        write_app(session, &app)?;
    }
    Ok(is_new)
}

/// Returns true if there was such a request.
pub(super) fn clear_eviction(
    session: &Session<'_>,
    name: &AppName,
    container: &ContainerId,
) -> Result<bool, TransactionError> {
    let Some(AppRow { mut app, deleted: None }) = find(session, name)? else {
        return Ok(false);
    };
    let is_cleared = app.evicted.remove(container);
    if is_cleared {
        write_app(session, &app)?;
    }
    Ok(is_cleared)
}

pub(super) fn request_teardown(
    session: &Session<'_>,
    now: Timestamp,
) -> Result<(), TransactionError> {
    let now = row::format_time(now)?;
    let request = "INSERT OR REPLACE INTO teardown (id, requested_at) VALUES (1, ?1)";
    session.execute(request, [now])?;
    session.execute("UPDATE apps SET deleted_at = ?1 WHERE deleted_at IS NULL", [now])?;
    Ok(())
}

/// Returns true if there was a request.
pub(super) fn finish_teardown(session: &Session<'_>) -> Result<bool, TransactionError> {
    Ok(session.execute("DELETE FROM teardown", [])? > 0)
}

/// Returns when the teardown of the instance was requested, if it was.
fn teardown(session: &Session<'_>) -> Result<Option<Timestamp>, TransactionError> {
    let mut select = session.prepare_cached("SELECT requested_at FROM teardown")?;
    let mut found = select.query_and_then([], |row| row::parse_time(row.get(0)?))?;
    found.next().transpose()
}

/// Returns true if the image changed.
pub(super) fn pin_image(
    session: &Session<'_>,
    name: &AppName,
    revision: RevisionId,
    image: &ImageId,
    replace: bool,
) -> Result<bool, TransactionError> {
    let Ok(revision) = i64::try_from(revision.0) else {
        return Ok(false);
    };
    let pin = "\
        UPDATE revisions SET image_id = :image \
        WHERE app = :name AND revision = :revision AND image_id IS NOT :image \
        AND (image_id IS NULL OR :replace) \
        AND EXISTS (SELECT 1 FROM apps WHERE name = :name AND deleted_at IS NULL)";
    let values = named_params! {
        ":name": name.as_str(),
        ":revision": revision,
        ":image": image.0,
        ":replace": replace,
    };
    Ok(session.prepare_cached(pin)?.execute(values)? > 0)
}

pub(super) fn revisions(
    session: &Session<'_>,
    name: &AppName,
) -> Result<Vec<Revision>, TransactionError> {
    get(session, name)?;
    all_revisions(session, name)
}

/// Returns the revisions of an app, even if it is being deleted.
pub(super) fn all_revisions(
    session: &Session<'_>,
    name: &AppName,
) -> Result<Vec<Revision>, TransactionError> {
    let select =
        format!("SELECT {} FROM revisions WHERE app = ?1 ORDER BY revision", row::REVISION);
    session
        .prepare_cached(&select)?
        .query_and_then([name.as_str()], |found| row::read_revision(found, session.keys))?
        .collect()
}

fn find(session: &Session<'_>, name: &AppName) -> Result<Option<AppRow>, TransactionError> {
    let select = format!("{} WHERE a.name = ?1", row::SELECT_APP);
    let mut select = session.prepare_cached(&select)?;
    let mut found =
        select.query_and_then([name.as_str()], |found| row::read_app(found, session.keys))?;
    found.next().transpose()
}

/// Returns the other apps with routes, ports or an `after` that are not being deleted, sorted by
/// name.
fn related_apps(session: &Session<'_>, spec: &AppSpec) -> Result<Vec<AppSpec>, TransactionError> {
    if spec.access.is_empty() && spec.ports.is_empty() && spec.after.is_empty() {
        return Ok(Vec::new());
    }
    let select = "\
        SELECT spec FROM apps WHERE deleted_at IS NULL AND name <> ?1 \
        AND (json_extract(spec, '$.access') IS NOT NULL \
        OR json_extract(spec, '$.ports') IS NOT NULL \
        OR json_extract(spec, '$.after') IS NOT NULL) ORDER BY name";
    session
        .prepare_cached(select)?
        .query_and_then([spec.name.as_str()], |found| row::parse_spec(&found.get::<_, String>(0)?))?
        .collect()
}

fn write_app(session: &Session<'_>, app: &StoredApp) -> Result<(), TransactionError> {
    let write = "\
        INSERT INTO apps (name, spec, generation, revision, deleted_through, created_at, \
        updated_at, deleted_at, rollout_started_at, paused, fallback, evicted, contents) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, ?8, ?9, ?10, ?11, ?12) \
        ON CONFLICT (name) DO UPDATE SET spec = ?2, generation = ?3, revision = ?4, \
        deleted_through = ?5, created_at = ?6, updated_at = ?7, deleted_at = NULL, \
        rollout_started_at = ?8, paused = ?9, fallback = ?10, evicted = ?11, contents = ?12";
    let place = Place::App(app.spec.name.as_str());
    let (spec, contents) = row::format_spec(session.keys, place, &app.spec)?;
    session.prepare_cached(write)?.execute(params![
        app.spec.name.as_str(),
        spec,
        app.generation.0,
        app.revision.0,
        app.deleted_through.0,
        row::format_time(app.created_at)?,
        row::format_time(app.updated_at)?,
        row::format_time(app.rollout_started_at)?,
        app.paused,
        app.fallback.map(|revision| revision.0),
        row::format_evicted(&app.evicted)?,
        contents,
    ])?;
    Ok(())
}

/// Inserts a revision, or updates the rollout of a known one, whose content never changes.
fn write_revision(
    session: &Session<'_>,
    name: &AppName,
    revision: &Revision,
) -> Result<(), TransactionError> {
    let add = "\
        INSERT INTO revisions (app, revision, spec, image_id, created_at, rollout, contents) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
        ON CONFLICT (app, revision) DO UPDATE SET rollout = ?6";
    let place = Place::Revision(name.as_str(), revision.revision.0);
    let (spec, contents) = row::format_spec(session.keys, place, &revision.spec)?;
    session.prepare_cached(add)?.execute(params![
        name.as_str(),
        revision.revision.0,
        spec,
        revision.image_id.as_ref().map(|image| &image.0),
        row::format_time(revision.created_at)?,
        row::format_rollout(&revision.rollout)?,
        contents,
    ])?;
    Ok(())
}
