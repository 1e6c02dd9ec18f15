//! Checks of concurrent callers.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{at, get, list, name, put, request, spec, try_put, with_image, with_route};
use dubernetes_core::app::Generation;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{Change, EventQuery, PutApp, Store, StoreError};

const CALLERS: u64 = 8;

/// Runs `call` for several callers at once: half of them in tasks, and half of them in turns.
async fn at_once<T, F, Fut>(store: &Arc<dyn Store>, call: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(Arc<dyn Store>, u64) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
{
    let calls = (1..=CALLERS).map(|caller| {
        let call = call(Arc::clone(store), caller);
        match caller % 2 {
            0 => tokio::spawn(call).map(|done| done.expect("the task ends")).boxed(),
            _ => call.boxed(),
        }
    });
    join_all(calls).await
}

pub(super) async fn one_of_several_puts_wins(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let answers = at_once(store, |store, caller| async move {
        let put = request(with_image("web", 100 + caller));
        store.put(PutApp { expected_generation: Some(Generation(1)), ..put }).await
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "exactly one of several puts of one generation wins");
    for lost in lost {
        let stale = matches!(lost, Err(StoreError::StaleGeneration { present: Generation(2), .. }));
        assert!(stale, "the others get the new generation; seen: {lost:?}");
    }
    let winner = won.into_iter().flatten().next().map(|put| put.app);
    assert_eq!(Some(get(store, "web").await), winner, "the stored app is the winner's");
}

pub(super) async fn one_of_several_apps_gets_a_route(store: &Arc<dyn Store>) {
    let answers = at_once(store, |store, caller| async move {
        try_put(&store, with_route(&format!("app-{caller}"), "web.local", "/")).await
    })
    .await;
    assert_eq!(answers.iter().flatten().count(), 1, "one of several apps gets the route");
    assert_eq!(list(store).await.apps.len(), 1, "only that app is stored");
}

pub(super) async fn concurrent_changes_are_all_counted(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let answers = at_once(store, |store, caller| async move {
        let other = put(&store, spec(&format!("app-{caller}"))).await;
        (put(&store, with_image("web", 100 + caller)).await.app.generation.0, other.app.generation)
    })
    .await;
    let mut generations: Vec<_> = answers.iter().map(|(generation, _)| *generation).collect();
    generations.sort_unstable();
    let expected: Vec<_> = (2..2 + CALLERS).collect();
    assert_eq!(generations, expected, "each change has a generation of its own");
    let state = list(store).await;
    let count = usize::try_from(CALLERS).map_or(0, |callers| callers + 1);
    assert_eq!(state.apps.len(), count, "every app is stored; seen: {:?}", state.apps.keys());
    assert_eq!(state.apps[&name("web")].generation, Generation(1 + CALLERS), "all are counted");
}

/// Polls a call some times, and drops it.
pub(super) async fn poll<T>(times: u32, call: impl Future<Output = T>) {
    let mut call = pin!(call);
    for _ in 0..times {
        if poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn dropped_put_is_whole_or_absent(store: &Arc<dyn Store>) {
    for polls in 1..6 {
        let app = format!("app-{polls}");
        poll(polls, try_put(store, spec(&app))).await;
        // Methods are serialized, so this one finds the effect of the dropped one, or none.
        put(store, spec("other")).await;
        let is_there = list(store).await.apps.contains_key(&name(&app));
        let again = put(store, spec(&app)).await;
        let expected = if is_there { Change::Unchanged } else { Change::Created };
        assert_eq!(again.change, expected, "a dropped put is whole or absent");
        assert_eq!(again.app.generation, Generation(1), "a dropped put counts once");
        assert_eq!(store.revisions(&name(&app)).await.map_or(0, |all| all.len()), 1);
    }
}

pub(super) async fn concurrent_events_are_all_kept(store: &Arc<dyn Store>) {
    let answers = at_once(store, |store, caller| async move {
        let event = |message: &str| NewEvent {
            time: at(0),
            kind: EventKind::Normal,
            app: Some(name("web")),
            pod: None,
            revision: None,
            reason: EventReason::Started,
            message: message.into(),
        };
        store.append(&[event("by all"), event(&format!("by {caller}"))]).await
    })
    .await;
    assert!(answers.iter().all(Result::is_ok), "events are accepted; seen: {answers:?}");
    let query = EventQuery { limit: u32::MAX, ..EventQuery::default() };
    let events = store.events(&query).await.expect("events can be read");
    let count = |message: &str| {
        events.iter().filter(|event| event.message == message).map(|event| event.count).sum::<u64>()
    };
    assert_eq!(count("by all"), CALLERS, "every repeated event is counted");
    for caller in 1..=CALLERS {
        assert_eq!(count(&format!("by {caller}")), 1, "every event is kept");
    }
}

pub(super) async fn list_shows_one_moment(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let writer = Arc::clone(store);
    let turns = tokio::spawn(async move {
        for _ in 0..20 {
            writer.delete(&name("web"), at(1)).await.expect("a stored app can be deleted");
            put(&writer, spec("web")).await;
        }
    });
    while !turns.is_finished() {
        let state = list(store).await;
        let entries = state.apps.len() + state.tombstones.len();
        assert_eq!(entries, 1, "an app is either live or being deleted");
        tokio::task::yield_now().await;
    }
    turns.await.expect("the task ends");
}
