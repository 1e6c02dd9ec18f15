//! Converts rows to values of the core, and back.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dubernetes_core::app::{AppName, AppSpec, Generation, PodName, RevisionId, Secret};
use dubernetes_core::error::SharedError;
use dubernetes_core::event::{Event, EventKind};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::{Revision, RevisionRollout, StoreError, StoredApp, Tombstone};
use jiff::Timestamp;
use rusqlite::Row;
use serde::de::DeserializeOwned;

use crate::error::TransactionError;
use crate::keyring::{Keyring, Place};

/// A row of `apps`, with the image of its revision.
#[derive(Debug)]
pub(crate) struct AppRow {
    pub(crate) app: StoredApp,
    /// Present if the row is a tombstone.
    pub(crate) deleted: Option<Tombstone>,
}

/// Selects an [`AppRow`]; a condition on `a` may follow.
pub(crate) const SELECT_APP: &str = "\
    SELECT a.spec, a.generation, a.revision, a.deleted_through, a.created_at, a.updated_at, \
    a.deleted_at, r.image_id, r.rollout, a.rollout_started_at, a.paused, a.fallback, a.evicted, \
    a.contents \
    FROM apps AS a LEFT JOIN revisions AS r ON r.app = a.name AND r.revision = a.revision";

/// Reads a row of [`SELECT_APP`].
pub(crate) fn read_app(row: &Row<'_>, keys: &Keyring) -> Result<AppRow, TransactionError> {
    let deleted: Option<i64> = row.get(6)?;
    let spec = parse_spec(&row.get::<_, String>(0)?)?;
    let name = spec.name.clone();
    let app = StoredApp {
        spec: restore_contents(keys, Place::App(name.as_str()), spec, row.get(13)?)?.into(),
        generation: row.get(1).map(Generation)?,
        revision: row.get(2).map(RevisionId)?,
        deleted_through: row.get(3).map(RevisionId)?,
        created_at: parse_time(row.get(4)?)?,
        updated_at: parse_time(row.get(5)?)?,
        image_id: row.get::<_, Option<String>>(7)?.map(ImageId),
        rollout: parse_rollout(row.get::<_, Option<String>>(8)?.as_deref())?,
        rollout_started_at: parse_time(row.get(9)?)?,
        paused: row.get(10)?,
        fallback: row.get::<_, Option<_>>(11)?.map(RevisionId),
        evicted: parse_json(&row.get::<_, String>(12)?)?,
    };
    let stop = &app.spec.stop;
    let deleted = deleted.map(parse_time).transpose()?;
    let deleted = deleted.map(|deleted_at| Tombstone { deleted_at, stop: stop.clone() });
    Ok(AppRow { app, deleted })
}

/// The columns of [`read_revision`].
pub(crate) const REVISION: &str = "revision, spec, image_id, created_at, rollout, contents";

/// Reads a row of [`REVISION`].
pub(crate) fn read_revision(row: &Row<'_>, keys: &Keyring) -> Result<Revision, TransactionError> {
    let revision: u64 = row.get(0)?;
    let spec = parse_spec(&row.get::<_, String>(1)?)?;
    let name = spec.name.clone();
    let place = Place::Revision(name.as_str(), revision);
    Ok(Revision {
        revision: RevisionId(revision),
        spec: restore_contents(keys, place, spec, row.get(5)?)?.into(),
        image_id: row.get::<_, Option<String>>(2)?.map(ImageId),
        created_at: parse_time(row.get(3)?)?,
        rollout: parse_rollout(row.get::<_, Option<String>>(4)?.as_deref())?,
    })
}

/// The columns of [`read_event`].
pub(crate) const EVENT: &str =
    "id, time, first_at, kind, app, pod, reason, message, count, revision";

/// Reads a row of [`EVENT`].
pub(crate) fn read_event(row: &Row<'_>) -> Result<Event, TransactionError> {
    let app: Option<String> = row.get(4)?;
    let app =
        app.map(|name| AppName::parse(&name)).transpose().map_err(TransactionError::unreadable)?;
    let pod: Option<String> = row.get(5)?;
    let pod =
        pod.map(|name| PodName::parse(&name)).transpose().map_err(TransactionError::unreadable)?;
    let kind: String = row.get(3)?;
    let kind = match kind.as_str() {
        "Normal" => EventKind::Normal,
        "Warning" => EventKind::Warning,
        _ => {
            return Err(TransactionError::unreadable(format!(
                "an event has the unknown type `{kind}`"
            )));
        }
    };
    Ok(Event {
        id: row.get(0)?,
        time: parse_time(row.get(1)?)?,
        first_at: parse_time(row.get(2)?)?,
        kind,
        app,
        pod,
        reason: row.get(6)?,
        message: row.get(7)?,
        count: row.get(8)?,
        revision: row.get::<_, Option<_>>(9)?.map(RevisionId),
    })
}

/// Parses a stored specification. Its contents are apart: see [`restore_contents`].
pub(crate) fn parse_spec(text: &str) -> Result<AppSpec, TransactionError> {
    parse_json(text)
}

/// Parses JSON. From bytes, as everywhere else in the program: a type that is also read from `str`
/// has a second parser.
pub(crate) fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, TransactionError> {
    serde_json::from_slice(text.as_bytes()).map_err(failed)
}

/// Puts the encrypted contents of a specification back.
pub(crate) fn restore_contents(
    keys: &Keyring,
    place: Place<'_>,
    mut spec: AppSpec,
    sealed: Option<Vec<u8>>,
) -> Result<AppSpec, TransactionError> {
    if let Some(sealed) = sealed {
        spec.restore_contents(&parse_contents(&keys.open(place, &sealed)?)?);
    }
    Ok(spec)
}

/// Formats a specification, and encrypts its contents, if it has any.
///
/// # Errors
///
/// The specification cannot be read back. Stored, it would make every later read of the state
/// fail.
pub(crate) fn format_spec(
    keys: &Keyring,
    place: Place<'_>,
    written: &AppSpec,
) -> Result<(String, Option<Vec<u8>>), TransactionError> {
    let mut bare = written.clone();
    let contents = bare.take_contents();
    let text = serde_json::to_string(&bare).map_err(failed)?;
    let mut read = parse_spec(&text)?;
    read.restore_contents(&contents);
    if read != *written {
        let name = &written.name;
        return Err(TransactionError::unreadable(format!(
            "the specification of `{name}` is invalid"
        )));
    }
    if contents.is_empty() {
        return Ok((text, None));
    }
    Ok((text, Some(keys.seal(place, &format_contents(&contents)?)?)))
}

/// Formats contents by the path of their reference, in base64.
fn format_contents(contents: &BTreeMap<String, Secret>) -> Result<Vec<u8>, TransactionError> {
    let encoded: BTreeMap<&str, String> =
        contents.iter().map(|(path, c)| (path.as_str(), STANDARD.encode(c.reveal()))).collect();
    serde_json::to_vec(&encoded).map_err(failed)
}

fn parse_contents(bytes: &[u8]) -> Result<BTreeMap<String, Secret>, TransactionError> {
    // The errors of these parsers could repeat a part of the text.
    let unreadable = || TransactionError::unreadable("stored contents are unreadable");
    let encoded: BTreeMap<String, String> =
        serde_json::from_slice(bytes).map_err(|_| unreadable())?;
    let decode = |(path, text): (String, String)| {
        Ok((path, Secret::new(STANDARD.decode(text).map_err(|_| unreadable())?)))
    };
    encoded.into_iter().map(decode).collect()
}

/// Parses the rollout of a revision. Without a row, the rollout has not begun.
fn parse_rollout(text: Option<&str>) -> Result<RevisionRollout, TransactionError> {
    text.map_or_else(|| Ok(RevisionRollout::default()), parse_json)
}

/// Formats the rollout of a revision.
pub(crate) fn format_rollout(rollout: &RevisionRollout) -> Result<String, TransactionError> {
    serde_json::to_string(rollout).map_err(failed)
}

/// Formats the containers of evicted replicas.
pub(crate) fn format_evicted(evicted: &BTreeSet<ContainerId>) -> Result<String, TransactionError> {
    serde_json::to_string(evicted).map_err(failed)
}

/// Parses a stored time.
pub(crate) fn parse_time(nanos: i64) -> Result<Timestamp, TransactionError> {
    Timestamp::from_nanosecond(i128::from(nanos)).map_err(failed)
}

/// Formats a time as nanoseconds since 1970, which reach from 1677 to 2262.
pub(crate) fn format_time(time: Timestamp) -> Result<i64, TransactionError> {
    i64::try_from(time.as_nanosecond()).map_err(failed)
}

pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> TransactionError {
    TransactionError::Store(StoreError::Failed(SharedError::new(error)))
}
