//! `events`: what happened, newest first; with `-w` oldest first, and on with new ones.

use std::collections::BTreeSet;

use dubernetes_api::Client;
use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::Event;
use dubernetes_core::app::AppName;
use dubernetes_core::event::EventKind;
use dubernetes_core::selector::Selector;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use super::get::{EVENTS, concerns, events_about};
use crate::args::{EventType, EventsArgs, Format};
use crate::output::{self, ListStyle};
use crate::report::{self, Result};
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &EventsArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let client = &target.client;
        // What is recorded between the two questions has a higher id, and so is not missed.
        let last = EventsQuery { limit: Some(1), ..EventsQuery::default() };
        let newest = client.events(&last).await?.last().map(|event| event.id);
        let mut chosen = Chosen::of(args, client).await?;
        let mut events = match (&args.name, &chosen) {
            (Some(name), _) => events_about(client, &query(args), name.name()).await?,
            (None, Some(chosen)) => chosen.events(client, &query(args)).await?,
            (None, None) => client.events(&query(args)).await?,
        };
        let newest = events.last().map(|event| event.id).max(newest);
        if events.len() >= EVENTS.try_into().unwrap_or(usize::MAX) {
            report::note(&format!(
                "these are the newest {EVENTS}; `--since`, `--type` or a name leads further back"
            ));
        }
        let watch = args.watch;
        if !watch {
            events.reverse();
        }
        let format = args.format.format();
        let lines = watch && format == Format::Json;
        if events.is_empty() && !watch && matches!(format, Format::Table | Format::Wide) {
            report::print_line("No events found.");
        }
        if lines {
            for event in &events {
                output::print(&output::change("ADDED", event)?)?;
            }
        } else {
            let style = ListStyle { format, headers: !args.no_headers, single: false };
            output::print(&output::list(&events, style, Timestamp::now())?)?;
        }
        if watch { follow(args, client, newest, &events, chosen.as_mut()).await } else { Ok(()) }
    })
    .await
}

/// What is asked for, as far as the orchestrator can tell it apart.
fn query(args: &EventsArgs) -> EventsQuery {
    EventsQuery {
        app: args.app.clone(),
        kind: args.kind.map(|kind| match kind {
            EventType::Normal => EventKind::Normal,
            EventType::Warning => EventKind::Warning,
        }),
        since: args.since.and_then(|since| Timestamp::now().checked_sub(since.to_std()).ok()),
        limit: Some(EVENTS),
        after: None,
    }
}

fn wanted(args: &EventsArgs, event: &Event) -> bool {
    args.name.as_ref().is_none_or(|name| concerns(event, name.name()))
}

/// The apps that a selector chooses, as far as they were seen.
struct Chosen<'a> {
    selector: &'a Selector,
    apps: BTreeSet<AppName>,
}

impl<'a> Chosen<'a> {
    async fn of(args: &'a EventsArgs, client: &Client) -> Result<Option<Self>> {
        let Some(selector) = &args.selector.selector else { return Ok(None) };
        let mut chosen = Self { selector, apps: BTreeSet::new() };
        chosen.look(client).await?;
        Ok(Some(chosen))
    }

    async fn look(&mut self, client: &Client) -> Result {
        let apps = client.select_apps(self.selector).await?;
        // Events go on after an app has gone or changed its labels.
        self.apps.extend(apps.into_iter().map(|app| app.name));
        Ok(())
    }

    /// The newest events of all of them, oldest first.
    async fn events(&self, client: &Client, query: &EventsQuery) -> Result<Vec<Event>> {
        let mut found = Vec::new();
        for app in &self.apps {
            let query = EventsQuery { app: Some(app.clone()), ..query.clone() };
            found.extend(client.events(&query).await?);
        }
        found.sort_by_key(|event| event.id);
        let most = query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Ok(found.split_off(found.len().saturating_sub(most)))
    }

    /// Whether an event is of one of them, or of one that has come since.
    async fn has(&mut self, event: &Event, client: &Client) -> Result<bool> {
        let Some(app) = &event.app else { return Ok(false) };
        if !self.apps.contains(app) {
            self.look(client).await?;
        }
        Ok(self.apps.contains(app))
    }
}

async fn follow(
    args: &EventsArgs,
    client: &Client,
    newest: Option<u64>,
    shown: &[Event],
    mut chosen: Option<&mut Chosen<'_>>,
) -> Result {
    let format = args.format.format();
    let wide = format == Format::Wide;
    let mut widths = output::table(shown, wide, Timestamp::now()).widths().to_vec();
    let mut headers = shown.is_empty() && !args.no_headers;
    let query = EventsQuery { after: Some(newest.unwrap_or(0)), limit: None, ..query(args) };
    let mut news = client.follow_events(&query);
    while let Some(event) = news.next().await {
        let event = event?;
        if !wanted(args, &event) {
            continue;
        }
        if let Some(chosen) = &mut chosen
            && !chosen.has(&event, client).await?
        {
            continue;
        }
        let text = match format {
            Format::Table | Format::Wide => {
                let mut table = output::table(std::slice::from_ref(&event), wide, Timestamp::now());
                table.at_least(&widths);
                widths = table.widths().to_vec();
                table.render(std::mem::take(&mut headers), output::width())
            }
            Format::Json => output::change("ADDED", &event)?,
            Format::Yaml => format!("---\n{}", output::value(&event, Format::Yaml)?),
            Format::Name => format!("event/{}\n", event.id),
        };
        output::print(&text)?;
    }
    Ok(())
}
