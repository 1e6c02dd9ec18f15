//! Events and their retention: statements inside a transaction.

use dubernetes_core::app::{AppName, Duration, PodName};
use dubernetes_core::event::{Event, EventKind, NewEvent};
use dubernetes_core::store::{DEDUP_WINDOW, EventQuery, merge, record};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::error::TransactionError;
use crate::row;

/// Maximum number of new events between two counts, since counting scans all events.
const COUNT_EVERY: u64 = 1_000;

/// Maximum number of expired events that are dropped with each new one. Expired events still go
/// soon, and a clock that is wrong for a moment does not erase the history.
const DROPS_PER_EVENT: usize = 4;

/// How many events are kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRetention {
    /// Maximum number of events. Up to a tenth, at most 1,000, more are kept for a while.
    pub count: u64,
    /// Maximum age. Each new event drops up to 4 older events, the oldest first.
    pub age: Duration,
}

impl Default for EventRetention {
    /// Returns 100,000 events of the last 30 days.
    fn default() -> Self {
        Self { count: 100_000, age: Duration::from_secs(30 * 24 * 3600) }
    }
}

impl EventRetention {
    /// Returns the number of new events between two counts.
    fn count_every(self) -> u64 {
        (self.count / 10).clamp(1, COUNT_EVERY)
    }
}

pub(super) fn append(
    transaction: &Transaction<'_>,
    events: &[NewEvent],
    retention: EventRetention,
) -> Result<(), TransactionError> {
    let mut last = 0;
    for event in events {
        last = append_one(transaction, event)?;
    }
    if let Some(newest) = events.iter().map(|event| event.time).max() {
        drop_expired(transaction, newest, retention.age, events.len() * DROPS_PER_EVENT)?;
    }
    let before = last.saturating_sub(u64::try_from(events.len()).unwrap_or(u64::MAX));
    if before / retention.count_every() != last / retention.count_every() {
        drop_surplus(transaction, retention.count)?;
    }
    Ok(())
}

pub(super) fn query(
    transaction: &Transaction<'_>,
    query: &EventQuery,
) -> Result<Vec<Event>, TransactionError> {
    // No id exceeds the largest number of a row.
    let after = i64::try_from(query.after).unwrap_or(i64::MAX);
    let app_filter = if query.app.is_some() { "app = ?3" } else { "?3 IS NULL" };
    let select = format!(
        "SELECT {} FROM events WHERE id > ?1 AND {app_filter} AND (?4 IS NULL OR kind = ?4) \
         AND (?5 IS NULL OR time >= ?5) ORDER BY id DESC LIMIT ?2",
        row::EVENT
    );
    let app = query.app.as_ref().map(AppName::as_str);
    let kind = query.kind.map(EventKind::as_str);
    // A time before the first that can be stored excludes nothing.
    let since = query.since.map(|since| row::format_time(since).unwrap_or(i64::MIN));
    let mut newest = transaction
        .prepare_cached(&select)?
        .query_and_then(params![after, query.limit, app, kind, since], row::read_event)?
        .collect::<Result<Vec<_>, _>>()?;
    newest.reverse();
    Ok(newest)
}

/// Inserts an event, or merges it into an equal one, and returns its id.
fn append_one(transaction: &Transaction<'_>, new: &NewEvent) -> Result<u64, TransactionError> {
    // The database assigns the id.
    let event = match find_duplicate(transaction, new)? {
        None => record(new, 0),
        Some((old, merged)) => {
            transaction.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([old])?;
            merged
        }
    };
    let add = "\
        INSERT INTO events (time, first_at, kind, app, pod, reason, message, count, revision) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id";
    let values = params![
        row::format_time(event.time)?,
        row::format_time(event.first_at)?,
        event.kind.as_str(),
        event.app.as_ref().map(AppName::as_str),
        event.pod.as_ref().map(PodName::as_str),
        event.reason,
        event.message,
        event.count,
        event.revision.map(|revision| revision.0),
    ];
    Ok(transaction.prepare_cached(add)?.query_row(values, |row| row.get(0))?)
}

/// Returns the id of the event that `new` repeats, and the merged event that replaces it.
fn find_duplicate(
    transaction: &Transaction<'_>,
    new: &NewEvent,
) -> Result<Option<(u64, Event)>, TransactionError> {
    let time = row::format_time(new.time)?;
    let window = i64::try_from(DEDUP_WINDOW.as_nanos()).unwrap_or(i64::MAX);
    let values = params![
        new.app.as_ref().map(AppName::as_str),
        new.pod.as_ref().map(PodName::as_str),
        new.reason.as_str(),
        new.message,
        new.kind.as_str(),
        time.saturating_sub(window),
        time.saturating_add(window),
        new.revision.map(|revision| revision.0),
    ];
    let mut select = transaction.prepare_cached(&select_duplicate())?;
    let found = select.query_and_then(values, row::read_event)?.next().transpose()?;
    Ok(found.and_then(|old| Some((old.id, merge(&old, new, 0)?))))
}

/// Selects the event that a new one may repeat.
pub(super) fn select_duplicate() -> String {
    format!(
        "SELECT {} FROM events WHERE app IS ?1 AND pod IS ?2 AND reason = ?3 AND message = ?4 \
         AND kind = ?5 AND time BETWEEN ?6 AND ?7 AND revision IS ?8 ORDER BY id DESC LIMIT 1",
        row::EVENT
    )
}

fn drop_expired(
    transaction: &Transaction<'_>,
    newest: Timestamp,
    age: Duration,
    limit: usize,
) -> Result<(), TransactionError> {
    let oldest = newest.saturating_sub(age.to_std()).unwrap_or(Timestamp::MIN);
    // A time before the first that can be stored drops nothing.
    let oldest = row::format_time(oldest).unwrap_or(i64::MIN);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let old = "\
        DELETE FROM events \
        WHERE id IN (SELECT id FROM events WHERE time < ?1 ORDER BY time LIMIT ?2)";
    transaction.prepare_cached(old)?.execute([oldest, limit])?;
    Ok(())
}

fn drop_surplus(transaction: &Transaction<'_>, kept: u64) -> Result<(), TransactionError> {
    let surplus = "\
        DELETE FROM events \
        WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?1)";
    transaction.prepare_cached(surplus)?.execute([kept])?;
    Ok(())
}
