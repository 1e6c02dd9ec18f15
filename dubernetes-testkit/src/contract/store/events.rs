//! Checks of events.

use std::sync::Arc;

use super::{at, name};
use dubernetes_core::app::{PodName, RevisionId};
use dubernetes_core::event::{Event, EventKind, EventReason, NewEvent};
use dubernetes_core::store::{EventQuery, Store};

fn event(second: i64, message: &str) -> NewEvent {
    NewEvent {
        time: at(second),
        kind: EventKind::Warning,
        app: Some(name("web")),
        pod: Some(PodName::replica(&name("web"), 1)),
        revision: None,
        reason: EventReason::Exited,
        message: message.into(),
    }
}

async fn append(store: &Arc<dyn Store>, events: &[NewEvent]) {
    store.append(events).await.expect("events are accepted");
}

async fn read(store: &Arc<dyn Store>, app: Option<&str>, after: u64, limit: u32) -> Vec<Event> {
    let query = EventQuery { app: app.map(name), after, limit, ..EventQuery::default() };
    store.events(&query).await.expect("events can be read")
}

async fn all(store: &Arc<dyn Store>) -> Vec<Event> {
    read(store, None, 0, u32::MAX).await
}

fn messages(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.message.as_str()).collect()
}

pub(super) async fn events_come_back_in_order(store: &Arc<dyn Store>) {
    assert!(all(store).await.is_empty(), "a new store has no events");
    append(store, &[event(3, "a"), event(1, "b")]).await;
    append(store, &[event(2, "c 'quoted' ü")]).await;
    let events = all(store).await;
    assert_eq!(messages(&events), ["a", "b", "c 'quoted' ü"], "events come in order of recording");
    assert!(events[0].id > 0, "ids are above 0, so that `after: 0` means all");
    assert!(events.is_sorted_by(|a, b| a.id < b.id), "ids rise");
    let first = Event {
        id: events[0].id,
        time: at(3),
        first_at: at(3),
        kind: EventKind::Warning,
        app: Some(name("web")),
        pod: Some(PodName::replica(&name("web"), 1)),
        revision: None,
        reason: "Exited".to_owned(),
        message: "a".into(),
        count: 1,
    };
    assert_eq!(events[0], first, "an event comes back as it was recorded");
}

pub(super) async fn repeated_event_is_counted(store: &Arc<dyn Store>) {
    append(store, &[event(0, "a"), event(1, "b")]).await;
    let before = all(store).await;
    append(store, &[event(60, "a")]).await;
    let events = all(store).await;
    assert_eq!(messages(&events), ["b", "a"], "a repeated event moves to the end");
    assert!(events[1].id > before[1].id, "a repeated event gets a new id");
    assert_eq!(events[1].count, 2, "a repeated event is counted");
    assert_eq!((events[1].first_at, events[1].time), (at(0), at(60)), "both times are kept");

    let instance = |second| NewEvent { app: None, pod: None, ..event(second, "c") };
    append(store, &[instance(61)]).await;
    append(store, &[instance(62)]).await;
    let events = all(store).await;
    assert_eq!(messages(&events), ["b", "a", "c"], "events without an app are counted too");
    assert_eq!(events[2].count, 2, "events without an app are counted too");
}

pub(super) async fn repeated_events_of_one_call_are_counted(store: &Arc<dyn Store>) {
    append(store, &[event(0, "a"), event(1, "b"), event(2, "a"), event(3, "a")]).await;
    let events = all(store).await;
    assert_eq!(messages(&events), ["b", "a"], "equal events of one call are one");
    assert_eq!(events[1].count, 3, "equal events of one call are counted");
}

pub(super) async fn difference_in_any_field_is_another_event(store: &Arc<dyn Store>) {
    let base = event(0, "a");
    let different = [
        NewEvent { kind: EventKind::Normal, ..base.clone() },
        NewEvent { app: Some(name("other")), ..base.clone() },
        NewEvent { app: None, ..base.clone() },
        NewEvent { pod: Some(PodName::replica(&name("web"), 2)), ..base.clone() },
        NewEvent { pod: None, ..base.clone() },
        NewEvent { revision: Some(RevisionId(2)), ..base.clone() },
        NewEvent { reason: EventReason::Started, ..base.clone() },
        NewEvent { message: "A".into(), ..base.clone() },
    ];
    append(store, &[base]).await;
    append(store, &different).await;
    let events = all(store).await;
    assert_eq!(events.len(), 9, "different events are not merged");
    assert!(events.iter().all(|event| event.count == 1), "different events are not merged");
}

pub(super) async fn repeat_after_an_hour_is_another_event(store: &Arc<dyn Store>) {
    for second in [0, 3_600, 7_200] {
        append(store, &[event(second, "a")]).await;
    }
    let events = all(store).await;
    assert_eq!(events.len(), 1, "the hour begins with the last repetition");
    assert_eq!((events[0].count, events[0].first_at), (3, at(0)), "the first time is kept");
    append(store, &[event(7_200 + 3_601, "a")]).await;
    let counts: Vec<_> = all(store).await.iter().map(|event| event.count).collect();
    assert_eq!(counts, [3, 1], "after an hour it is another event");
}

pub(super) async fn event_ids_are_never_reused(store: &Arc<dyn Store>) {
    let mut last = 0;
    for second in 0..5 {
        append(store, &[event(second, "a")]).await;
        let id = all(store).await[0].id;
        assert!(id > last, "an id is above all earlier ones, also of replaced events");
        last = id;
    }
}

pub(super) async fn query_returns_newest_matches(store: &Arc<dyn Store>) {
    let many: Vec<_> = (0..6_i64).map(|n| event(n, &n.to_string())).collect();
    append(store, &many).await;
    let events = all(store).await;
    let newest = read(store, None, 0, 2).await;
    assert_eq!(messages(&newest), ["4", "5"], "the newest are returned, in order");
    assert!(read(store, None, 0, 0).await.is_empty(), "a limit of 0 returns nothing");
    let after = read(store, None, events[2].id, 9).await;
    assert_eq!(messages(&after), ["3", "4", "5"], "only later events are returned");
    let both = read(store, None, events[2].id, 1).await;
    assert_eq!(messages(&both), ["5"], "`after` and `limit` apply together");
    assert!(read(store, None, events[5].id, 9).await.is_empty(), "nothing follows the last event");
    assert!(read(store, None, u64::MAX, 9).await.is_empty(), "nothing follows the last event");
}

pub(super) async fn query_selects_by_time_and_kind(store: &Arc<dyn Store>) {
    let normal =
        NewEvent { kind: EventKind::Normal, revision: Some(RevisionId(7)), ..event(5, "b") };
    append(store, &[event(1, "a"), normal, event(9, "c")]).await;
    let ask = async |query: EventQuery| {
        let query = EventQuery { limit: 9, ..query };
        store.events(&query).await.expect("events can be read")
    };
    let since = ask(EventQuery { since: Some(at(5)), ..EventQuery::default() }).await;
    assert_eq!(messages(&since), ["b", "c"], "events at or after the time are returned");
    assert_eq!(since[0].revision, Some(RevisionId(7)), "an event keeps its revision");
    let kind = Some(EventKind::Warning);
    assert_eq!(messages(&ask(EventQuery { kind, ..EventQuery::default() }).await), ["a", "c"]);
    let both = EventQuery { kind, since: Some(at(2)), ..EventQuery::default() };
    assert_eq!(messages(&ask(both).await), ["c"], "kind and time apply together");
    let none = EventQuery { since: Some(at(10)), ..EventQuery::default() };
    assert!(ask(none).await.is_empty(), "no event is later");
}

pub(super) async fn query_selects_by_app(store: &Arc<dyn Store>) {
    let event_of =
        |app: Option<&str>, message| NewEvent { app: app.map(name), ..event(0, message) };
    let events = [
        event_of(Some("web"), "a"),
        event_of(Some("api"), "b"),
        event_of(None, "c"),
        event_of(Some("web"), "d"),
    ];
    append(store, &events).await;
    assert_eq!(
        messages(&read(store, Some("web"), 0, 9).await),
        ["a", "d"],
        "only events of that app"
    );
    assert_eq!(
        messages(&read(store, Some("web"), 0, 1).await),
        ["d"],
        "the limit counts events of that app"
    );
    assert_eq!(messages(&read(store, Some("api"), 0, 1).await), ["b"], "older events are found");
    assert!(read(store, Some("none"), 0, 9).await.is_empty(), "an unknown app has no events");
    assert_eq!(read(store, None, 0, 9).await.len(), 4, "without an app, all events are returned");
}
