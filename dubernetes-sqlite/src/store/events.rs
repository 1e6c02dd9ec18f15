//! Events, as statements inside a transaction; and how many are kept, and for how long.

use dubernetes_core::app::{AppName, Duration};
use dubernetes_core::event::{Event, EventKind, NewEvent};
use dubernetes_core::store::{DEDUP_WINDOW, EventQuery, merge, record};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::error::Failure;
use crate::row;

/// The kept events are counted after so many records at most, since counting walks over all that
/// is kept.
const COUNT_EACH: u64 = 1_000;

/// With each new event so many that are too old are dropped. A quiet time's worth goes soon all
/// the same, and a clock that is wrong for a moment takes no history with it.
const DROP_EACH: usize = 4;

/// How many events are kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepEvents {
    /// The newest so many, and up to a tenth or 1,000 more.
    pub count: u64,
    /// Only those that happened in the last so much time; of those before, the oldest go first, up
    /// to 4 with each new event.
    pub age: Duration,
}

impl Default for KeepEvents {
    /// 100,000 of the last 30 days.
    fn default() -> Self {
        Self { count: 100_000, age: Duration::from_secs(30 * 24 * 3600) }
    }
}

impl KeepEvents {
    fn count_each(self) -> u64 {
        (self.count / 10).clamp(1, COUNT_EACH)
    }
}

pub(super) fn append(
    transaction: &Transaction<'_>,
    events: &[NewEvent],
    keep: KeepEvents,
) -> Result<(), Failure> {
    let mut last = 0;
    for event in events {
        last = append_one(transaction, event)?;
    }
    if let Some(newest) = events.iter().map(|event| event.time).max() {
        drop_old(transaction, newest, keep.age, events.len() * DROP_EACH)?;
    }
    let before = last.saturating_sub(u64::try_from(events.len()).unwrap_or(u64::MAX));
    if before / keep.count_each() != last / keep.count_each() {
        drop_surplus(transaction, keep.count)?;
    }
    Ok(())
}

pub(super) fn query(
    transaction: &Transaction<'_>,
    query: &EventQuery,
) -> Result<Vec<Event>, Failure> {
    // No id is above the largest number that a row can hold.
    let after = i64::try_from(query.after).unwrap_or(i64::MAX);
    let of_app = if query.app.is_some() { "app = ?3" } else { "?3 IS NULL" };
    let select = format!(
        "SELECT {} FROM events WHERE id > ?1 AND {of_app} AND (?4 IS NULL OR kind = ?4) \
         AND (?5 IS NULL OR time >= ?5) ORDER BY id DESC LIMIT ?2",
        row::EVENT
    );
    let app = query.app.as_ref().map(AppName::as_str);
    let kind = query.kind.map(EventKind::as_str);
    // A time before all that can be stored leaves nothing out.
    let since = query.since.map(|since| row::nanos(since).unwrap_or(i64::MIN));
    let mut newest = transaction
        .prepare_cached(&select)?
        .query_and_then(params![after, query.limit, app, kind, since], row::event)?
        .collect::<Result<Vec<_>, _>>()?;
    newest.reverse();
    Ok(newest)
}

/// Records an event, or counts it to an equal one, and returns its id.
fn append_one(transaction: &Transaction<'_>, new: &NewEvent) -> Result<u64, Failure> {
    // The database gives the id.
    let event = match alike(transaction, new)? {
        None => record(new, 0),
        Some((old, again)) => {
            transaction.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([old])?;
            again
        }
    };
    let add = "\
        INSERT INTO events (time, first_at, kind, app, pod, reason, message, count, revision) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id";
    let values = params![
        row::nanos(event.time)?,
        row::nanos(event.first_at)?,
        event.kind.as_str(),
        event.app.as_ref().map(AppName::as_str),
        event.pod,
        event.reason,
        event.message,
        event.count,
        event.revision,
    ];
    Ok(transaction.prepare_cached(add)?.query_row(values, |row| row.get(0))?)
}

/// The id of the event that `new` is counted to, and what takes its place.
fn alike(transaction: &Transaction<'_>, new: &NewEvent) -> Result<Option<(u64, Event)>, Failure> {
    let time = row::nanos(new.time)?;
    let window = i64::try_from(DEDUP_WINDOW.as_nanos()).unwrap_or(i64::MAX);
    let values = params![
        new.app.as_ref().map(AppName::as_str),
        new.pod,
        new.reason.as_str(),
        new.message,
        new.kind.as_str(),
        time.saturating_sub(window),
        time.saturating_add(window),
        new.revision,
    ];
    let mut select = transaction.prepare_cached(&select_alike())?;
    let found = select.query_and_then(values, row::event)?.next().transpose()?;
    Ok(found.and_then(|old| Some((old.id, merge(&old, new, 0)?))))
}

/// Selects the event that another may be counted to.
pub(super) fn select_alike() -> String {
    format!(
        "SELECT {} FROM events WHERE app IS ?1 AND pod IS ?2 AND reason = ?3 AND message = ?4 \
         AND kind = ?5 AND time BETWEEN ?6 AND ?7 AND revision IS ?8 ORDER BY id DESC LIMIT 1",
        row::EVENT
    )
}

fn drop_old(
    transaction: &Transaction<'_>,
    newest: Timestamp,
    age: Duration,
    most: usize,
) -> Result<(), Failure> {
    let oldest = newest.saturating_sub(age.to_std()).unwrap_or(Timestamp::MIN);
    // A time before all that can be stored drops nothing.
    let oldest = row::nanos(oldest).unwrap_or(i64::MIN);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let old = "\
        DELETE FROM events \
        WHERE id IN (SELECT id FROM events WHERE time < ?1 ORDER BY time LIMIT ?2)";
    transaction.prepare_cached(old)?.execute([oldest, most])?;
    Ok(())
}

fn drop_surplus(transaction: &Transaction<'_>, kept: u64) -> Result<(), Failure> {
    let surplus = "\
        DELETE FROM events \
        WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?1)";
    transaction.prepare_cached(surplus)?.execute([kept])?;
    Ok(())
}
