//! What several callers at once are promised.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{at, get, list, name, put, request, spec, try_put, with_image, with_route};
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{EventQuery, PutApp, Store, StoreError};

const CALLERS: u64 = 8;

/// Runs `call` for each of several callers, each in a task of its own.
async fn at_once<T, F, Fut>(store: &Arc<dyn Store>, call: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(Arc<dyn Store>, u64) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
{
    let tasks = (1..=CALLERS).map(|caller| tokio::spawn(call(Arc::clone(store), caller)));
    let tasks: Vec<_> = tasks.collect();
    join_all(tasks).await.into_iter().map(|done| done.expect("the task ends")).collect()
}

pub(super) async fn one_of_several_with_the_same_view_wins(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let answers = at_once(store, |store, caller| async move {
        let put = request(with_image("web", 100 + caller));
        store.put(PutApp { expected_generation: Some(1), ..put }).await
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "of several with the same view exactly one wins");
    for lost in lost {
        let stale = matches!(lost, Err(StoreError::StaleGeneration { present: 2, .. }));
        assert!(stale, "the others learn the new generation; got {lost:?}");
    }
    let winner = won.into_iter().flatten().next().map(|put| put.app);
    assert_eq!(Some(get(store, "web").await), winner, "what is stored is the winner's");
}

pub(super) async fn one_of_several_gets_a_route(store: &Arc<dyn Store>) {
    let answers = at_once(store, |store, caller| async move {
        try_put(&store, with_route(&format!("app-{caller}"), "web.local", "/")).await
    })
    .await;
    assert_eq!(answers.iter().flatten().count(), 1, "one of several gets a route");
    assert_eq!(list(store).await.apps.len(), 1, "only the one that got it is stored");
}

pub(super) async fn no_event_is_lost(store: &Arc<dyn Store>) {
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
    assert!(answers.iter().all(Result::is_ok), "events are accepted; got {answers:?}");
    let query = EventQuery { limit: u32::MAX, ..EventQuery::default() };
    let events = store.events(&query).await.expect("events can be read");
    let count = |message: &str| {
        events.iter().filter(|event| event.message == message).map(|event| event.count).sum::<u64>()
    };
    assert_eq!(count("by all"), CALLERS, "no equal event is lost");
    for caller in 1..=CALLERS {
        assert_eq!(count(&format!("by {caller}")), 1, "no event is lost");
    }
}

pub(super) async fn a_list_is_of_one_moment(store: &Arc<dyn Store>) {
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
        let places = state.apps.len() + state.tombstones.len();
        assert_eq!(places, 1, "a name is live or being deleted, at every moment one of them");
        tokio::task::yield_now().await;
    }
    turns.await.expect("the task ends");
}
