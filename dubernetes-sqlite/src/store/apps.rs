//! Apps and their revisions, as statements inside a transaction.

use dubernetes_core::app::{AppName, AppSpec};
use dubernetes_core::runtime::ImageId;
use dubernetes_core::store::{
    Change, ExistingApp, Put, PutApp, Revision, RolloutCommand, RolloutUpdate, StoreDecision,
    StoreError, StoredApp, StoredState, apply_rollout_update, decide_put, decide_rollout_command,
};
use jiff::Timestamp;
use rusqlite::{Transaction, named_params, params};

use crate::error::Failure;
use crate::row::{self, AppRow};

pub(super) fn put(transaction: &Transaction<'_>, put: &PutApp) -> Result<Put, Failure> {
    let present = find(transaction, &put.spec.name)?;
    let kept = all_revisions(transaction, &put.spec.name)?;
    let before = match &present {
        None => ExistingApp::Absent,
        Some(AppRow { app, deleted: None }) => ExistingApp::Live { app, revisions: &kept },
        Some(AppRow { app, deleted: Some(_) }) => ExistingApp::Deleted {
            generation: app.generation,
            revision: app.revision,
            revisions: &kept,
        },
    };
    let others = routed(transaction, &put.spec)?;
    let decided = decide_put(before, &others, put)?;
    keep(transaction, &decided)?;
    Ok(decided.put)
}

pub(super) fn update_rollout(
    transaction: &Transaction<'_>,
    update_rollout: &RolloutCommand,
) -> Result<Put, Failure> {
    let app = live(transaction, &update_rollout.name)?;
    let decided = decide_rollout_command(
        &app,
        &all_revisions(transaction, &update_rollout.name)?,
        update_rollout,
    )?;
    keep(transaction, &decided)?;
    Ok(decided.put)
}

/// Whether anything is different now.
pub(super) fn record_rollout(
    transaction: &Transaction<'_>,
    name: &AppName,
    revision: u64,
    mark: &RolloutUpdate,
    now: Timestamp,
) -> Result<bool, Failure> {
    let Some(AppRow { app, deleted: None }) = find(transaction, name)? else { return Ok(false) };
    let kept = all_revisions(transaction, name)?;
    let Some(decided) = apply_rollout_update(&app, &kept, revision, mark, now)? else {
        return Ok(false);
    };
    keep(transaction, &decided)?;
    Ok(true)
}

/// Writes what was decided.
fn keep(transaction: &Transaction<'_>, decided: &StoreDecision) -> Result<(), Failure> {
    if decided.put.change == Change::Unchanged {
        return Ok(());
    }
    let app = &decided.put.app;
    write_app(transaction, app)?;
    for revision in &decided.dropped {
        let gone = "DELETE FROM revisions WHERE app = ?1 AND revision = ?2";
        transaction.prepare_cached(gone)?.execute(params![app.spec.name.as_str(), revision])?;
    }
    decided.written.iter().try_for_each(|kept| write_revision(transaction, &app.spec.name, kept))
}

/// The app, unless it is missing or being deleted.
pub(super) fn live(transaction: &Transaction<'_>, name: &AppName) -> Result<StoredApp, Failure> {
    match find(transaction, name)? {
        Some(AppRow { app, deleted: None }) => Ok(app),
        _ => Err(Failure::Store(StoreError::NotFound { name: name.clone() })),
    }
}

pub(super) fn list(transaction: &Transaction<'_>) -> Result<StoredState, Failure> {
    let mut state = StoredState::default();
    let mut select = transaction.prepare_cached(row::SELECT_APP)?;
    for found in select.query_and_then([], row::app)? {
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
    transaction: &Transaction<'_>,
    name: &AppName,
    now: Timestamp,
) -> Result<(), Failure> {
    let mark = "UPDATE apps SET deleted_at = ?2 WHERE name = ?1 AND deleted_at IS NULL";
    let marked =
        transaction.prepare_cached(mark)?.execute(params![name.as_str(), row::nanos(now)?])?;
    if marked == 0 {
        return Err(Failure::Store(StoreError::NotFound { name: name.clone() }));
    }
    Ok(())
}

/// Whether there was a tombstone.
pub(super) fn purge(transaction: &Transaction<'_>, name: &AppName) -> Result<bool, Failure> {
    // The revisions go along with their app.
    let drop = "DELETE FROM apps WHERE name = ?1 AND deleted_at IS NOT NULL";
    Ok(transaction.prepare_cached(drop)?.execute([name.as_str()])? > 0)
}

/// Whether the image is another one now.
pub(super) fn pin_image(
    transaction: &Transaction<'_>,
    name: &AppName,
    revision: u64,
    image: &ImageId,
    replace: bool,
) -> Result<bool, Failure> {
    let Ok(revision) = i64::try_from(revision) else {
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
    Ok(transaction.prepare_cached(pin)?.execute(values)? > 0)
}

pub(super) fn revisions(
    transaction: &Transaction<'_>,
    name: &AppName,
) -> Result<Vec<Revision>, Failure> {
    live(transaction, name)?;
    all_revisions(transaction, name)
}

/// The revisions of an app, also of one that is being deleted.
fn all_revisions(transaction: &Transaction<'_>, name: &AppName) -> Result<Vec<Revision>, Failure> {
    let select =
        format!("SELECT {} FROM revisions WHERE app = ?1 ORDER BY revision", row::REVISION);
    transaction.prepare_cached(&select)?.query_and_then([name.as_str()], row::revision)?.collect()
}

fn find(transaction: &Transaction<'_>, name: &AppName) -> Result<Option<AppRow>, Failure> {
    let select = format!("{} WHERE a.name = ?1", row::SELECT_APP);
    let mut select = transaction.prepare_cached(&select)?;
    let mut found = select.query_and_then([name.as_str()], row::app)?;
    found.next().transpose()
}

/// The other live apps that have routes, in the order of their names.
fn routed(transaction: &Transaction<'_>, spec: &AppSpec) -> Result<Vec<AppSpec>, Failure> {
    if spec.access.is_none() {
        return Ok(Vec::new());
    }
    let select = "\
        SELECT spec FROM apps WHERE deleted_at IS NULL AND name <> ?1 \
        AND json_extract(spec, '$.access') IS NOT NULL ORDER BY name";
    transaction
        .prepare_cached(select)?
        .query_and_then([spec.name.as_str()], |found| row::spec(&found.get::<_, String>(0)?))?
        .collect()
}

fn write_app(transaction: &Transaction<'_>, app: &StoredApp) -> Result<(), Failure> {
    let write = "\
        INSERT INTO apps (name, spec, generation, revision, deleted_through, created_at, \
        updated_at, deleted_at, rollout_started_at, paused, fallback) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, ?8, ?9, ?10) \
        ON CONFLICT (name) DO UPDATE SET spec = ?2, generation = ?3, revision = ?4, \
        deleted_through = ?5, created_at = ?6, updated_at = ?7, deleted_at = NULL, \
        rollout_started_at = ?8, paused = ?9, fallback = ?10";
    transaction.prepare_cached(write)?.execute(params![
        app.spec.name.as_str(),
        row::spec_text(&app.spec)?,
        app.generation,
        app.revision,
        app.deleted_through,
        row::nanos(app.created_at)?,
        row::nanos(app.updated_at)?,
        row::nanos(app.rollout_started_at)?,
        app.paused,
        app.fallback,
    ])?;
    Ok(())
}

/// Adds a revision, or writes down how a known one goes: what it is made of never changes.
fn write_revision(
    transaction: &Transaction<'_>,
    name: &AppName,
    revision: &Revision,
) -> Result<(), Failure> {
    let add = "\
        INSERT INTO revisions (app, revision, spec, image_id, created_at, rollout) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
        ON CONFLICT (app, revision) DO UPDATE SET rollout = ?6";
    transaction.prepare_cached(add)?.execute(params![
        name.as_str(),
        revision.revision,
        row::spec_text(&revision.spec)?,
        revision.image_id.as_ref().map(|image| &image.0),
        row::nanos(revision.created_at)?,
        row::rollout_text(&revision.rollout)?,
    ])?;
    Ok(())
}
