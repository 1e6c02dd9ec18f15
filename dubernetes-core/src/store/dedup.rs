//! Merges repeated events into one event with a count.

use jiff::SignedDuration;

use crate::event::{Event, NewEvent};

/// Equal events at most this far apart are merged.
pub const DEDUP_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// Returns the event that replaces `old`, with the id `id`, if `new` repeats it; `None` if the two
/// are different events.
///
/// Events may arrive slightly out of order, so the later of the two times is kept.
pub fn merge(old: &Event, new: &NewEvent, id: u64) -> Option<Event> {
    let same = old.kind == new.kind
        && old.app == new.app
        && old.pod == new.pod
        && old.revision == new.revision
        && old.reason == new.reason.as_str()
        && old.message == new.message;
    let near = old.time.duration_since(new.time).abs() <= DEDUP_WINDOW;
    (same && near).then(|| Event {
        id,
        time: old.time.max(new.time),
        count: old.count.saturating_add(1),
        ..old.clone()
    })
}

/// Returns the record of an event that repeats no other.
pub fn record(new: &NewEvent, id: u64) -> Event {
    Event {
        id,
        time: new.time,
        first_at: new.time,
        kind: new.kind,
        app: new.app.clone(),
        pod: new.pod.clone(),
        revision: new.revision,
        reason: new.reason.as_str().to_owned(),
        message: new.message.clone(),
        count: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use jiff::Timestamp;

    fn event(second: i64) -> NewEvent {
        NewEvent {
            time: Timestamp::from_second(second).unwrap(),
            kind: EventKind::Warning,
            app: None,
            pod: None,
            revision: None,
            reason: crate::event::EventReason::Exited,
            message: "exited with code 1".into(),
        }
    }

    #[test]
    fn equal_events_merge_within_an_hour_and_keep_latest_time() {
        let old = record(&event(10_000), 1);
        for (second, time) in [(10_000, 10_000), (13_600, 13_600), (9_000, 10_000)] {
            let merged = merge(&old, &event(second), 2).unwrap();
            assert_eq!((merged.id, merged.count), (2, 2));
            assert_eq!(merged.first_at, old.first_at);
            assert_eq!(merged.time, Timestamp::from_second(time).unwrap());
        }
        for second in [13_601, 6_399] {
            assert_eq!(merge(&old, &event(second), 2), None, "{second}");
        }
    }
}
