//! Which events belong to an app or a pod.

use dubernetes_api::Client;
use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::Event;
use dubernetes_core::app::{AppName, PodName};

use crate::report::Result;

/// Number of events that a list shows at most.
pub(crate) const MAX_EVENTS: u32 = 500;

/// Returns the events about an app or pod, oldest first: those of the app of that name, and those
/// of the app whose pod has that name. The pod may be long gone, so only events know it.
pub(crate) async fn events_about(
    client: &Client,
    query: &EventsQuery,
    name: &str,
) -> Result<Vec<Event>> {
    let of_pod = PodName::parse(name).ok().map(|pod| pod.app());
    let apps = [AppName::parse(name).ok(), of_pod];
    let mut found = Vec::new();
    for app in apps.into_iter().flatten() {
        let query = EventsQuery { app: Some(app), ..query.clone() };
        found.extend(client.events(&query).await?);
    }
    found.retain(|event| is_about(event, name));
    found.sort_by_key(|event| event.id);
    Ok(found)
}

/// Returns whether an event is about this app or pod.
pub(crate) fn is_about(event: &Event, name: &str) -> bool {
    event.pod.as_ref().is_some_and(|pod| pod == name)
        || event.app.as_ref().is_some_and(|app| app.as_str() == name)
}
