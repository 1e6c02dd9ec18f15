//! Rows to values of the core, and back.

use dubernetes_core::app::{AppName, AppSpec, to_json_with_contents};
use dubernetes_core::error::Cause;
use dubernetes_core::event::{Event, EventKind};
use dubernetes_core::runtime::ImageId;
use dubernetes_core::store::{Revision, RevisionRollout, StoreError, StoredApp, Tombstone};
use jiff::Timestamp;
use rusqlite::Row;

use crate::error::Failure;

/// A row of `apps`, with the image of its revision.
#[derive(Debug)]
pub(crate) struct AppRow {
    pub(crate) app: StoredApp,
    /// Set if the row is a tombstone.
    pub(crate) deleted: Option<Tombstone>,
}

/// Selects an [`AppRow`]; a condition on `a` may follow.
pub(crate) const SELECT_APP: &str = "\
    SELECT a.spec, a.generation, a.revision, a.deleted_through, a.created_at, a.updated_at, \
    a.deleted_at, r.image_id, r.rollout, a.rollout_started_at, a.paused, a.fallback \
    FROM apps AS a LEFT JOIN revisions AS r ON r.app = a.name AND r.revision = a.revision";

/// Reads a row of [`SELECT_APP`].
pub(crate) fn app(row: &Row<'_>) -> Result<AppRow, Failure> {
    let deleted: Option<i64> = row.get(6)?;
    let app = StoredApp {
        spec: spec(&row.get::<_, String>(0)?)?,
        generation: row.get(1)?,
        revision: row.get(2)?,
        deleted_through: row.get(3)?,
        created_at: time(row.get(4)?)?,
        updated_at: time(row.get(5)?)?,
        image_id: row.get::<_, Option<String>>(7)?.map(ImageId),
        rollout: rollout(row.get::<_, Option<String>>(8)?.as_deref())?,
        rollout_started_at: time(row.get(9)?)?,
        paused: row.get(10)?,
        fallback: row.get(11)?,
    };
    let stop = &app.spec.stop;
    let deleted = deleted.map(time).transpose()?;
    let deleted = deleted.map(|deleted_at| Tombstone { deleted_at, stop: stop.clone() });
    Ok(AppRow { app, deleted })
}

/// The columns of [`revision`].
pub(crate) const REVISION: &str = "revision, spec, image_id, created_at, rollout";

/// Reads a row of [`REVISION`].
pub(crate) fn revision(row: &Row<'_>) -> Result<Revision, Failure> {
    Ok(Revision {
        revision: row.get(0)?,
        spec: spec(&row.get::<_, String>(1)?)?,
        image_id: row.get::<_, Option<String>>(2)?.map(ImageId),
        created_at: time(row.get(3)?)?,
        rollout: rollout(row.get::<_, Option<String>>(4)?.as_deref())?,
    })
}

/// The columns of [`event`].
pub(crate) const EVENT: &str =
    "id, time, first_at, kind, app, pod, reason, message, count, revision";

/// Reads a row of [`EVENT`].
pub(crate) fn event(row: &Row<'_>) -> Result<Event, Failure> {
    let app: Option<String> = row.get(4)?;
    let app = app.map(|name| AppName::parse(&name)).transpose().map_err(Failure::unreadable)?;
    let kind: String = row.get(3)?;
    let kind = match kind.as_str() {
        "Normal" => EventKind::Normal,
        "Warning" => EventKind::Warning,
        _ => return Err(Failure::unreadable(format!("an event has the type `{kind}`"))),
    };
    Ok(Event {
        id: row.get(0)?,
        time: time(row.get(1)?)?,
        first_at: time(row.get(2)?)?,
        kind,
        app,
        pod: row.get(5)?,
        reason: row.get(6)?,
        message: row.get(7)?,
        count: row.get(8)?,
        revision: row.get(9)?,
    })
}

/// Reads a stored specification.
pub(crate) fn spec(text: &str) -> Result<AppSpec, Failure> {
    serde_json::from_str(text).map_err(failed)
}

/// Writes a specification with the contents of its files. One that could not be read back is refused: stored, it would make
/// every later read of the state fail.
pub(crate) fn spec_text(written: &AppSpec) -> Result<String, Failure> {
    let text = to_json_with_contents(written).map_err(failed)?.to_string();
    if spec(&text)? != *written {
        let name = &written.name;
        return Err(Failure::unreadable(format!("the specification of `{name}` is not legal")));
    }
    Ok(text)
}

/// Reads how a revision went; an app whose revision has no row is at its beginning.
fn rollout(text: Option<&str>) -> Result<RevisionRollout, Failure> {
    text.map_or_else(
        || Ok(RevisionRollout::default()),
        |text| serde_json::from_str(text).map_err(failed),
    )
}

/// Writes how a revision went.
pub(crate) fn rollout_text(rollout: &RevisionRollout) -> Result<String, Failure> {
    serde_json::to_string(rollout).map_err(failed)
}

/// Reads a stored time.
pub(crate) fn time(nanos: i64) -> Result<Timestamp, Failure> {
    Timestamp::from_nanosecond(i128::from(nanos)).map_err(failed)
}

/// Writes a time: nanoseconds since 1970, which reach from 1677 to 2262.
pub(crate) fn nanos(time: Timestamp) -> Result<i64, Failure> {
    i64::try_from(time.as_nanosecond()).map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Store(StoreError::Failed(Cause::new(error)))
}
