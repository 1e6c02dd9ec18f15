//! `get`: lists objects of one kind, once or with every change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::{App, Event, Pod, Revision, Route};
use dubernetes_core::app::AppName;
use dubernetes_core::selector::Selector;
use jiff::Timestamp;

use crate::args::{Format, GetArgs, Kind, ObjectName};
use crate::output::{self, ListStyle, Row};
use crate::report::{self, CliError, FAILED, Result, USAGE};
use crate::resolve::{existing, missing};
use crate::settings::Settings;
use crate::target::{Mode, Target};

/// How often `-w` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So many events are listed.
pub(super) const EVENTS: u32 = 500;

pub(super) async fn run(args: &GetArgs, settings: &Settings) -> Result {
    let which = Which::of(args)?;
    let names = if let Which::Named(names) = &which { names.len() } else { 0 };
    let query = Query {
        style: ListStyle {
            format: args.format.format(),
            headers: !args.no_headers,
            single: names == 1 && matches!(args.resource.kind, Kind::Apps | Kind::Pods),
        },
        watch: args.watch,
        which,
    };
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let client = &target.client;
        match args.resource.kind {
            Kind::Apps => query.run::<App>(client).await,
            Kind::Pods => query.run::<Pod>(client).await,
            Kind::Revisions => query.run::<Revision>(client).await,
            Kind::Events => query.run::<Event>(client).await,
            Kind::Routes => query.run::<Route>(client).await,
        }
    })
    .await
}

/// Which objects of a kind are asked for.
enum Which {
    All,
    /// Those with these names, given as `app/web`, as `app web`, or both.
    Named(Vec<String>),
    /// Those of the apps with these labels.
    Selected(Selector),
}

impl Which {
    fn of(args: &GetArgs) -> Result<Self> {
        let names: Vec<_> = args.resource.name.iter().chain(&args.names).cloned().collect();
        match &args.selector.selector {
            Some(_) if !names.is_empty() => {
                let what = "names and a selector exclude each other";
                Err(CliError::with_exit(USAGE, what).help("leave out one of the two"))
            }
            Some(selector) => Ok(Self::Selected(selector.clone())),
            None if names.is_empty() => Ok(Self::All),
            None => Ok(Self::Named(names)),
        }
    }

    /// Whether something is asked for that belongs to this app, by the names that `fits` knows.
    async fn filter(
        &self,
        client: &Client,
    ) -> Result<Box<dyn Fn(Option<&AppName>, &dyn Fn(&str) -> bool) -> bool + '_>> {
        Ok(match self {
            Self::All => Box::new(|_, _| true),
            Self::Named(names) => Box::new(move |_, fits| names.iter().any(|name| fits(name))),
            Self::Selected(selector) => {
                let apps = client.select_apps(selector).await?;
                let apps: BTreeSet<_> = apps.into_iter().map(|app| app.name).collect();
                Box::new(move |app, _| app.is_some_and(|app| apps.contains(app)))
            }
        })
    }
}

/// What was asked for, of any kind.
struct Query {
    which: Which,
    style: ListStyle,
    watch: bool,
}

/// What was found.
struct Listing<T> {
    items: Vec<T>,
    missing: Vec<CliError>,
}

impl<T> Listing<T> {
    fn of(items: Vec<T>) -> Self {
        Self { items, missing: Vec::new() }
    }
}

/// A kind of object that can be listed by name.
trait Listed: Row + Clone {
    const PLURAL: &'static str;

    /// Those that are asked for.
    async fn fetch(client: &Client, which: &Which) -> Result<Listing<Self>>;
}

impl Query {
    async fn run<T: Listed>(&self, client: &Client) -> Result {
        let found = T::fetch(client, &self.which).await?;
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
            failure.report();
        }
        if !found.missing.is_empty() {
            return Err(CliError::already_reported(FAILED));
        }
        if self.watch { self.watch(client, found.items).await } else { Ok(()) }
    }

    fn say_none<T: Listed>(&self) -> Result {
        match self.style.format {
            Format::Json if self.watch => Ok(()),
            Format::Json | Format::Yaml => {
                let style = ListStyle { single: false, ..self.style };
                output::print(&output::list::<T>(&[], style, Timestamp::now())?)
            }
            Format::Table | Format::Wide | Format::Name => {
                report::print_line(&format!("No {} found.", T::PLURAL));
                Ok(())
            }
        }
    }

    /// Prints what changes, until the command is interrupted.
    async fn watch<T: Listed>(&self, client: &Client, first: Vec<T>) -> Result {
        let wide = self.style.format == Format::Wide;
        let mut widths = output::table(&first, wide, Timestamp::now()).widths().to_vec();
        let mut known = by_name(first);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let seen = by_name(T::fetch(client, &self.which).await?.items);
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

    fn changed<T: Listed>(&self, kind: &str, item: &T, widths: &mut Vec<usize>) -> Result<String> {
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

    async fn fetch(client: &Client, which: &Which) -> Result<Listing<Self>> {
        let names = match which {
            Which::All => return Ok(Listing::of(client.list_apps().await?)),
            Which::Selected(selector) => {
                return Ok(Listing::of(client.select_apps(selector).await?));
            }
            Which::Named(names) => names,
        };
        let mut found = Listing::of(Vec::new());
        for name in names {
            match existing(client.get_app(name).await)? {
                Some(app) => found.items.push(app),
                None => found.missing.push(missing(client, &ObjectName::App(name.clone())).await),
            }
        }
        Ok(found)
    }
}

impl Listed for Pod {
    const PLURAL: &'static str = "pods";

    /// An app's name stands for all its pods.
    async fn fetch(client: &Client, which: &Which) -> Result<Listing<Self>> {
        let names = match which {
            Which::All => return Ok(Listing::of(client.pods(None).await?)),
            Which::Selected(selector) => {
                return Ok(Listing::of(client.select_pods(selector).await?));
            }
            Which::Named(names) => names,
        };
        let mut found = Listing::of(Vec::new());
        for name in names {
            if let Some(pod) = existing(client.get_pod(name).await)? {
                found.items.push(pod);
            } else if existing(client.get_app(name).await)?.is_some() {
                found.items.extend(client.pods(Some(name)).await?);
            } else {
                found.missing.push(missing(client, &ObjectName::Pod(name.clone())).await);
            }
        }
        Ok(found)
    }
}

impl Listed for Revision {
    const PLURAL: &'static str = "revisions";

    async fn fetch(client: &Client, which: &Which) -> Result<Listing<Self>> {
        let apps = Box::pin(<App as Listed>::fetch(client, which)).await?;
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
    async fn fetch(client: &Client, which: &Which) -> Result<Listing<Self>> {
        let query = EventsQuery { limit: Some(EVENTS), ..EventsQuery::default() };
        let mut items = Vec::new();
        match which {
            Which::Named(names) => {
                for name in names {
                    items.extend(events_about(client, &query, name).await?);
                }
                items.sort_by_key(|event| event.id);
                items.dedup_by_key(|event| event.id);
            }
            _ => items = client.events(&query).await?,
        }
        let wanted = which.filter(client).await?;
        items.retain(|event| wanted(event.app.as_ref(), &|name| concerns(event, name)));
        items.reverse();
        Ok(Listing::of(items))
    }
}

/// Events about this app or pod, oldest first: those of the app of that name, and of the app whose
/// pod has it. Only the orchestrator sees all there are.
pub(super) async fn events_about(
    client: &Client,
    query: &EventsQuery,
    name: &str,
) -> Result<Vec<Event>> {
    let of_pod = name.rsplit_once('-').filter(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
    let apps = [Some(name), of_pod.map(|(app, _)| app)].into_iter().flatten();
    let mut found = Vec::new();
    for app in apps.filter_map(|app| AppName::parse(app).ok()) {
        let query = EventsQuery { app: Some(app), ..query.clone() };
        found.extend(client.events(&query).await?);
    }
    found.retain(|event| concerns(event, name));
    found.sort_by_key(|event| event.id);
    Ok(found)
}

/// Whether an event is about this app or pod.
pub(super) fn concerns(event: &Event, name: &str) -> bool {
    event.pod.as_deref() == Some(name) || event.app.as_ref().is_some_and(|app| app.as_str() == name)
}

impl Listed for Route {
    const PLURAL: &'static str = "routes";

    /// A name is an app's or a host.
    async fn fetch(client: &Client, which: &Which) -> Result<Listing<Self>> {
        let mut items = client.routes().await?;
        let fits =
            |route: &Self, name: &str| route.app.as_str() == name || route.host.as_str() == name;
        let names = if let Which::Named(names) = which { names.as_slice() } else { &[] };
        let missing = names
            .iter()
            .filter(|name| !items.iter().any(|route| fits(route, name)))
            .map(|name| CliError::new(format!("no route belongs to `{name}`")))
            .collect();
        let wanted = which.filter(client).await?;
        items.retain(|route| wanted(Some(&route.app), &|name| fits(route, name)));
        Ok(Listing { items, missing })
    }
}
