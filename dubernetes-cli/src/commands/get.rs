//! `get`: lists objects of one kind, once or with every change.

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::{App, Event, Pod, Revision, Route};
use jiff::Timestamp;

use crate::args::{Format, GetArgs, Kind, Named};
use crate::output::{self, ListStyle, Row};
use crate::report::{self, FAILED, Failure, Outcome};
use crate::resolve::{existing, missing};
use crate::settings::Settings;
use crate::target::{Intent, Target};

/// How often `-w` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So many events are listed.
const EVENTS: u32 = 500;

pub(super) async fn run(args: &GetArgs, settings: &Settings) -> Outcome {
    let names = names(args);
    let query = Query {
        style: ListStyle {
            format: args.format.format(),
            headers: !args.no_headers,
            single: names.len() == 1 && matches!(args.reference.kind, Kind::Apps | Kind::Pods),
        },
        watch: args.watch,
        names,
    };
    Target::with(settings, Intent::Read, async |target: &Target| {
        let client = &target.client;
        match args.reference.kind {
            Kind::Apps => query.run::<App>(client).await,
            Kind::Pods => query.run::<Pod>(client).await,
            Kind::Revisions => query.run::<Revision>(client).await,
            Kind::Events => query.run::<Event>(client).await,
            Kind::Routes => query.run::<Route>(client).await,
        }
    })
    .await
}

/// Names are given as `app/web`, as `app web`, or both.
fn names(args: &GetArgs) -> Vec<String> {
    args.reference.name.iter().chain(&args.names).cloned().collect()
}

/// What was asked for, of any kind.
struct Query {
    names: Vec<String>,
    style: ListStyle,
    watch: bool,
}

/// What was found.
struct Listing<T> {
    items: Vec<T>,
    missing: Vec<Failure>,
}

impl<T> Listing<T> {
    fn of(items: Vec<T>) -> Self {
        Self { items, missing: Vec::new() }
    }
}

/// A kind of object that can be listed by name.
trait Listed: Row + Clone {
    const PLURAL: &'static str;

    /// All of them, or those with these names.
    async fn fetch(client: &Client, names: &[String]) -> Outcome<Listing<Self>>;
}

impl Query {
    async fn run<T: Listed>(&self, client: &Client) -> Outcome {
        let found = T::fetch(client, &self.names).await?;
        if found.items.is_empty() && found.missing.is_empty() {
            self.say_none::<T>()?;
        } else if self.watch && self.style.format == Format::Json {
            for item in &found.items {
                output::print(&output::change("ADDED", item)?)?;
            }
        } else if !found.items.is_empty() {
            output::print(&output::list(&found.items, self.style, Timestamp::now())?)?;
        }
        for failure in &found.missing {
            failure.report(self.style.format == Format::Json);
        }
        if !found.missing.is_empty() {
            return Err(Failure::told(FAILED));
        }
        if self.watch { self.watch(client, found.items).await } else { Ok(()) }
    }

    fn say_none<T: Listed>(&self) -> Outcome {
        match self.style.format {
            Format::Json if self.watch => Ok(()),
            Format::Json | Format::Yaml => {
                let style = ListStyle { single: false, ..self.style };
                output::print(&output::list::<T>(&[], style, Timestamp::now())?)
            }
            Format::Table | Format::Wide | Format::Name => {
                report::say(&format!("No {} found.", T::PLURAL));
                Ok(())
            }
        }
    }

    /// Prints what changes, until the command is interrupted.
    async fn watch<T: Listed>(&self, client: &Client, first: Vec<T>) -> Outcome {
        let wide = self.style.format == Format::Wide;
        let mut widths = output::table(&first, wide, Timestamp::now()).widths().to_vec();
        let mut known = by_name(first);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let seen = by_name(T::fetch(client, &self.names).await?.items);
            for (name, item) in &seen {
                let kind = match known.get(name) {
                    None => "ADDED",
                    Some(old) if old != item => "MODIFIED",
                    Some(_) => continue,
                };
                output::print(&self.changed(kind, item, &mut widths)?)?;
            }
            for (name, item) in known.iter().filter(|(name, _)| !seen.contains_key(*name)) {
                if self.style.format == Format::Json {
                    output::print(&output::change("DELETED", item)?)?;
                } else {
                    report::note(&format!("{name} is gone"));
                }
            }
            known = seen;
        }
    }

    fn changed<T: Listed>(&self, kind: &str, item: &T, widths: &mut Vec<usize>) -> Outcome<String> {
        let wide = self.style.format == Format::Wide;
        Ok(match self.style.format {
            Format::Table | Format::Wide => {
                let mut table = output::table(std::slice::from_ref(item), wide, Timestamp::now());
                table.at_least(widths);
                *widths = table.widths().to_vec();
                table.render(false, output::width())
            }
            Format::Json => output::change(kind, item)?,
            Format::Yaml => format!("---\n{}", output::value(item, Format::Yaml)?),
            Format::Name => format!("{}\n", item.full_name()),
        })
    }
}

fn by_name<T: Row>(items: Vec<T>) -> BTreeMap<String, T> {
    items.into_iter().map(|item| (item.full_name(), item)).collect()
}

impl Listed for App {
    const PLURAL: &'static str = "apps";

    async fn fetch(client: &Client, names: &[String]) -> Outcome<Listing<Self>> {
        if names.is_empty() {
            return Ok(Listing::of(client.list_apps().await?));
        }
        let mut found = Listing::of(Vec::new());
        for name in names {
            match existing(client.get_app(name).await)? {
                Some(app) => found.items.push(app),
                None => found.missing.push(missing(client, &Named::App(name.clone())).await),
            }
        }
        Ok(found)
    }
}

impl Listed for Pod {
    const PLURAL: &'static str = "pods";

    /// An app's name stands for all its pods.
    async fn fetch(client: &Client, names: &[String]) -> Outcome<Listing<Self>> {
        if names.is_empty() {
            return Ok(Listing::of(client.pods(None).await?));
        }
        let mut found = Listing::of(Vec::new());
        for name in names {
            if let Some(pod) = existing(client.get_pod(name).await)? {
                found.items.push(pod);
            } else if existing(client.get_app(name).await)?.is_some() {
                found.items.extend(client.pods(Some(name)).await?);
            } else {
                found.missing.push(missing(client, &Named::Pod(name.clone())).await);
            }
        }
        Ok(found)
    }
}

impl Listed for Revision {
    const PLURAL: &'static str = "revisions";

    async fn fetch(client: &Client, names: &[String]) -> Outcome<Listing<Self>> {
        let apps = Box::pin(<App as Listed>::fetch(client, names)).await?;
        let mut found = Listing { items: Vec::new(), missing: apps.missing };
        for app in apps.items {
            // It may have been deleted since.
            found
                .items
                .extend(existing(client.revisions(app.name.as_str()).await)?.into_iter().flatten());
        }
        Ok(found)
    }
}

impl Listed for Event {
    const PLURAL: &'static str = "events";

    /// The newest first; of apps and pods that may be gone, so a name without any is no error.
    async fn fetch(client: &Client, names: &[String]) -> Outcome<Listing<Self>> {
        let query = EventsQuery { limit: Some(EVENTS), ..EventsQuery::default() };
        let mut items = client.events(&query).await?;
        items.retain(|event| names.is_empty() || names.iter().any(|name| concerns(event, name)));
        items.reverse();
        Ok(Listing::of(items))
    }
}

/// Whether an event is about this app or pod.
pub(super) fn concerns(event: &Event, name: &str) -> bool {
    event.pod.as_deref() == Some(name) || event.app.as_ref().is_some_and(|app| app.as_str() == name)
}

impl Listed for Route {
    const PLURAL: &'static str = "routes";

    /// A name is an app's or a host.
    async fn fetch(client: &Client, names: &[String]) -> Outcome<Listing<Self>> {
        let mut items = client.routes().await?;
        let fits =
            |route: &Self, name: &String| route.app.as_str() == name || route.host.as_str() == name;
        let missing = names
            .iter()
            .filter(|name| !items.iter().any(|route| fits(route, name)))
            .map(|name| Failure::new(format!("no route belongs to `{name}`")))
            .collect();
        items.retain(|route| names.is_empty() || names.iter().any(|name| fits(route, name)));
        Ok(Listing { items, missing })
    }
}
