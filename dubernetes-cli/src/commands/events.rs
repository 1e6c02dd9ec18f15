//! `events`: shows events, newest first; with `-w` oldest first, followed by new ones.

use std::collections::BTreeSet;

use dubernetes_api::Client;
use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::Event;
use dubernetes_core::app::AppName;
use dubernetes_core::event::EventKind;
use dubernetes_core::selector::Selector;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use crate::args::{EventType, EventsArgs, Format};
use crate::event_query::{MAX_EVENTS, events_about, is_about};
use crate::output::{self, Changes, ListStyle};
use crate::report::{self, Result};
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &EventsArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let client = &target.client;
        // An event recorded between the two requests has a higher id, so the watch shows it.
        let last = EventsQuery { limit: Some(1), ..EventsQuery::default() };
        let newest = client.events(&last).await?.last().map(|event| event.id);
        let mut selected = SelectedApps::find(args, client).await?;
        let mut events = match (&args.name, &selected) {
            (Some(name), _) => events_about(client, &query(args), name.name()).await?,
            (None, Some(selected)) => selected.events(client, &query(args)).await?,
            (None, None) => client.events(&query(args)).await?,
        };
        let newest = events.last().map(|event| event.id).max(newest);
        if events.len() >= MAX_EVENTS.try_into().unwrap_or(usize::MAX) {
            report::note(&format!(
                "showing the newest {MAX_EVENTS} events; `--since`, `--type` or a name narrows them"
            ));
        }
        if !args.watch {
            events.reverse();
        }
        print_events(args, &events)?;
        if args.watch {
            follow(args, client, newest, &events, selected.as_mut()).await
        } else {
            Ok(())
        }
    })
    .await
}

fn print_events(args: &EventsArgs, events: &[Event]) -> Result {
    let style = args.list.style();
    if events.is_empty() && !args.watch && matches!(style.format, Format::Table | Format::Wide) {
        report::print_line("No events found.");
    }
    if args.watch && style.format == Format::Json {
        return events.iter().try_for_each(|event| output::print(&output::change("ADDED", event)?));
    }
    output::print(&output::list(events, style, Timestamp::now())?)
}

/// Returns the part of the request that the orchestrator can filter.
fn query(args: &EventsArgs) -> EventsQuery {
    EventsQuery {
        app: args.app.clone(),
        kind: args.kind.map(|kind| match kind {
            EventType::Normal => EventKind::Normal,
            EventType::Warning => EventKind::Warning,
        }),
        since: args.since.and_then(|since| Timestamp::now().checked_sub(since.to_std()).ok()),
        limit: Some(MAX_EVENTS),
        after: None,
    }
}

fn matches_name(args: &EventsArgs, event: &Event) -> bool {
    args.name.as_ref().is_none_or(|name| is_about(event, name.name()))
}

/// Apps that a selector has selected so far.
struct SelectedApps<'a> {
    selector: &'a Selector,
    apps: BTreeSet<AppName>,
}

impl<'a> SelectedApps<'a> {
    async fn find(args: &'a EventsArgs, client: &Client) -> Result<Option<Self>> {
        let Some(selector) = &args.selector.selector else { return Ok(None) };
        let mut selected = Self { selector, apps: BTreeSet::new() };
        selected.refresh(client).await?;
        Ok(Some(selected))
    }

    async fn refresh(&mut self, client: &Client) -> Result {
        let apps = client.select_apps(self.selector).await?;
        // Events of an app continue after the app was deleted or its labels changed.
        self.apps.extend(apps.into_iter().map(|app| app.name));
        Ok(())
    }

    /// Returns the newest events of all selected apps, oldest first.
    async fn events(&self, client: &Client, query: &EventsQuery) -> Result<Vec<Event>> {
        let mut found = Vec::new();
        for app in &self.apps {
            let query = EventsQuery { app: Some(app.clone()), ..query.clone() };
            found.extend(client.events(&query).await?);
        }
        found.sort_by_key(|event| event.id);
        let limit = query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Ok(found.split_off(found.len().saturating_sub(limit)))
    }

    /// Returns whether an event is about a selected app, also one that is new.
    async fn contains(&mut self, event: &Event, client: &Client) -> Result<bool> {
        let Some(app) = &event.app else { return Ok(false) };
        if !self.apps.contains(app) {
            self.refresh(client).await?;
        }
        Ok(self.apps.contains(app))
    }
}

async fn follow(
    args: &EventsArgs,
    client: &Client,
    newest: Option<u64>,
    shown: &[Event],
    mut selected: Option<&mut SelectedApps<'_>>,
) -> Result {
    let style = args.list.style();
    let headers = shown.is_empty() && style.headers;
    let mut changes = Changes::new(shown, ListStyle { headers, ..style });
    let query = EventsQuery { after: Some(newest.unwrap_or(0)), limit: None, ..query(args) };
    let mut events = client.follow_events(&query);
    while let Some(event) = events.next().await {
        let event = event?;
        if !matches_name(args, &event) {
            continue;
        }
        if let Some(selected) = &mut selected
            && !selected.contains(&event, client).await?
        {
            continue;
        }
        output::print(&changes.text("ADDED", &event)?)?;
    }
    Ok(())
}
