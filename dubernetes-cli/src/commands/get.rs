//! `get`: lists objects of one kind, once or with every change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::{App, Certificate, Event, Node, Pod, Revision, Route};
use dubernetes_core::app::AppName;
use dubernetes_core::selector::Selector;
use jiff::Timestamp;

use crate::args::{Format, GetArgs, Kind, ObjectName};
use crate::event_query::{MAX_EVENTS, events_about, is_about};
use crate::output::{self, Changes, ListStyle, Row};
use crate::report::{self, CliError, FAILED, Result, USAGE};
use crate::resolve::{ambiguous, find_any, names_with_selector, none_if_missing, not_found};
use crate::settings::Settings;
use crate::target::{Mode, Target};

/// Poll interval of `-w`.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn run(args: &GetArgs, settings: &Settings) -> Result {
    let selection = Selection::parse(args)?;
    let names = if let Selection::Named(names) = &selection { names.len() } else { 0 };
    let query = Query {
        style: ListStyle {
            single: names == 1 && matches!(args.resource.kind, Kind::Apps | Kind::Pods),
            ..args.list.style()
        },
        watch: args.watch,
        selection,
    };
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let client = &target.client;
        match args.resource.kind {
            Kind::Apps => query.run::<App>(client).await,
            Kind::Pods => query.run::<Pod>(client).await,
            Kind::Revisions => query.run::<Revision>(client).await,
            Kind::Events => query.run::<Event>(client).await,
            Kind::Routes => query.run::<Route>(client).await,
            Kind::Certificates => query.run::<Certificate>(client).await,
            Kind::Nodes => query.run::<Node>(client).await,
        }
    })
    .await
}

/// Which objects of a kind to list.
enum Selection {
    All,
    /// Objects with these names, given as `app/web`, as `app web`, or both.
    Named(Vec<String>),
    /// Objects of the apps with these labels.
    Selected(Selector),
}

/// Decides by the app of an object, and by whether the object has a given name.
type Filter<'a> = Box<dyn Fn(Option<&AppName>, &dyn Fn(&str) -> bool) -> bool + 'a>;

impl Selection {
    fn parse(args: &GetArgs) -> Result<Self> {
        // `pod/web-1` is a pod, while a bare name may also be that of an app.
        let first = args.resource.name.as_ref().map(|name| match args.resource.kind {
            Kind::Pods => format!("pod/{name}"),
            Kind::Apps
            | Kind::Revisions
            | Kind::Events
            | Kind::Routes
            | Kind::Certificates
            | Kind::Nodes => name.clone(),
        });
        let names: Vec<_> = first.into_iter().chain(args.names.iter().cloned()).collect();
        match &args.selector.selector {
            Some(_) if !names.is_empty() => Err(names_with_selector()),
            Some(selector) => Ok(Self::Selected(selector.clone())),
            None if names.is_empty() => Ok(Self::All),
            None => Ok(Self::Named(names)),
        }
    }

    /// Returns a filter for objects that were listed as a whole.
    async fn filter(&self, client: &Client) -> Result<Filter<'_>> {
        Ok(match self {
            Self::All => Box::new(|_, _| true),
            Self::Named(names) => {
                Box::new(move |_, has_name| names.iter().any(|name| has_name(name)))
            }
            Self::Selected(selector) => {
                let apps = client.select_apps(selector).await?;
                let apps: BTreeSet<_> = apps.into_iter().map(|app| app.name).collect();
                Box::new(move |app, _| app.is_some_and(|app| apps.contains(app)))
            }
        })
    }

    /// Picks the selected of all objects. A name that none has is an error about `what`.
    async fn pick<T>(
        &self,
        client: &Client,
        what: &str,
        mut items: Vec<T>,
        app: impl Fn(&T) -> Option<&AppName>,
        has_name: impl Fn(&T, &str) -> bool,
    ) -> Result<Listing<T>> {
        let names = if let Self::Named(names) = self { names.as_slice() } else { &[] };
        let missing = names.iter().filter(|name| !items.iter().any(|item| has_name(item, name)));
        let missing = missing.map(|name| CliError::new(format!("no {what} `{name}` found")));
        let missing = missing.collect();
        let filter = self.filter(client).await?;
        items.retain(|item| filter(app(item), &|name| has_name(item, name)));
        Ok(Listing { items, missing })
    }
}

/// A request for objects of any kind.
struct Query {
    selection: Selection,
    style: ListStyle,
    watch: bool,
}

/// Objects that were found, and an error for each missing name.
struct Listing<T> {
    items: Vec<T>,
    missing: Vec<CliError>,
}

impl<T> Listing<T> {
    fn complete(items: Vec<T>) -> Self {
        Self { items, missing: Vec::new() }
    }
}

/// A kind of object that can be listed by name.
trait Listed: Row + Clone {
    const PLURAL: &'static str;

    /// Fetches the selected objects.
    async fn fetch(client: &Client, selection: &Selection) -> Result<Listing<Self>>;
}

impl Query {
    async fn run<T: Listed>(&self, client: &Client) -> Result {
        let found = T::fetch(client, &self.selection).await?;
        if found.items.is_empty() && found.missing.is_empty() {
            self.print_none_found::<T>()?;
        } else if self.watch && self.style.format == Format::Json {
            for item in &found.items {
                output::print(&output::change("ADDED", item)?)?;
            }
        } else if !found.items.is_empty() {
            output::print(&output::list(&found.items, self.style, Timestamp::now())?)?;
        }
        for error in &found.missing {
            error.report();
        }
        if !found.missing.is_empty() {
            return Err(CliError::already_reported(FAILED));
        }
        if self.watch { self.watch(client, found.items).await } else { Ok(()) }
    }

    fn print_none_found<T: Listed>(&self) -> Result {
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

    /// Prints changes until the command is interrupted.
    async fn watch<T: Listed>(&self, client: &Client, first: Vec<T>) -> Result {
        let mut changes = Changes::new(&first, ListStyle { headers: false, ..self.style });
        let mut known = by_name(first);
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let current = by_name(T::fetch(client, &self.selection).await?.items);
            for (name, item) in &current {
                let kind = match known.get(name) {
                    None => "ADDED",
                    Some(old) if old != item => "MODIFIED",
                    Some(_) => continue,
                };
                output::print(&changes.text(kind, item)?)?;
            }
            for (name, item) in known.iter().filter(|(name, _)| !current.contains_key(*name)) {
                if self.style.format == Format::Json {
                    output::print(&output::change("DELETED", item)?)?;
                } else {
                    report::note(&format!("{name} was deleted"));
                }
            }
            known = current;
        }
    }
}

fn by_name<T: Row>(items: Vec<T>) -> BTreeMap<String, T> {
    items.into_iter().map(|item| (item.full_name(), item)).collect()
}

impl Listed for App {
    const PLURAL: &'static str = "apps";

    async fn fetch(client: &Client, selection: &Selection) -> Result<Listing<Self>> {
        let names = match selection {
            Selection::All => return Ok(Listing::complete(client.list_apps().await?)),
            Selection::Selected(selector) => {
                return Ok(Listing::complete(client.select_apps(selector).await?));
            }
            Selection::Named(names) => names,
        };
        let mut found = Listing::complete(Vec::new());
        for name in names {
            match none_if_missing(client.get_app(name).await)? {
                Some(app) => found.items.push(app),
                None => {
                    let error = not_found(client, &ObjectName::App(name.clone())).await;
                    found.missing.push(error);
                }
            }
        }
        Ok(found)
    }
}

impl Listed for Pod {
    const PLURAL: &'static str = "pods";

    /// The name of an app stands for all its pods.
    async fn fetch(client: &Client, selection: &Selection) -> Result<Listing<Self>> {
        let names = match selection {
            Selection::All => return Ok(Listing::complete(client.pods(None).await?)),
            Selection::Selected(selector) => {
                return Ok(Listing::complete(client.select_pods(selector).await?));
            }
            Selection::Named(names) => names,
        };
        let mut found = Listing::complete(Vec::new());
        for name in names {
            let name =
                ObjectName::parse(name).map_err(|error| CliError::with_exit(USAGE, error))?;
            match find_any(client, &name).await? {
                (Some(app), Some(pod)) => found.missing.push(ambiguous(&app, &pod)),
                (Some(app), None) => {
                    found.items.extend(client.pods(Some(app.name.as_str())).await?);
                }
                (None, Some(pod)) => found.items.push(pod),
                (None, None) => {
                    let name = ObjectName::Pod(name.name().to_owned());
                    found.missing.push(not_found(client, &name).await);
                }
            }
        }
        Ok(found)
    }
}

impl Listed for Revision {
    const PLURAL: &'static str = "revisions";

    async fn fetch(client: &Client, selection: &Selection) -> Result<Listing<Self>> {
        let apps = Box::pin(<App as Listed>::fetch(client, selection)).await?;
        let mut found = Listing { items: Vec::new(), missing: apps.missing };
        for app in apps.items {
            // The app may have been deleted meanwhile.
            let revisions = none_if_missing(client.revisions(app.name.as_str()).await)?;
            found.items.extend(revisions.into_iter().flatten());
        }
        Ok(found)
    }
}

impl Listed for Event {
    const PLURAL: &'static str = "events";

    /// Newest first. A name without events is not an error: events outlive apps and pods.
    async fn fetch(client: &Client, selection: &Selection) -> Result<Listing<Self>> {
        let query = EventsQuery { limit: Some(MAX_EVENTS), ..EventsQuery::default() };
        let mut items = Vec::new();
        match selection {
            Selection::Named(names) => {
                for name in names {
                    items.extend(events_about(client, &query, name).await?);
                }
                items.sort_by_key(|event| event.id);
                items.dedup_by_key(|event| event.id);
            }
            Selection::All | Selection::Selected(_) => items = client.events(&query).await?,
        }
        let filter = selection.filter(client).await?;
        items.retain(|event| filter(event.app.as_ref(), &|name| is_about(event, name)));
        items.reverse();
        Ok(Listing::complete(items))
    }
}

impl Listed for Route {
    const PLURAL: &'static str = "routes";

    /// A name is that of an app or a host.
    async fn fetch(client: &Client, selection: &Selection) -> Result<Listing<Self>> {
        let items = client.routes().await?;
        let has_name =
            |route: &Self, name: &str| route.app == name || route.host.to_string() == name;
        selection.pick(client, "route of", items, |route| Some(&route.app), has_name).await
    }
}

impl Listed for Certificate {
    const PLURAL: &'static str = "certificates";

    /// A name is that of an app or a host.
    async fn fetch(client: &Client, selection: &Selection) -> Result<Listing<Self>> {
        let items = client.certificates().await?;
        let has_name =
            |found: &Self, name: &str| found.app == name || found.host.to_string() == name;
        selection.pick(client, "certificate of", items, |found| Some(&found.app), has_name).await
    }
}

impl Listed for Node {
    const PLURAL: &'static str = "nodes";

    async fn fetch(client: &Client, selection: &Selection) -> Result<Listing<Self>> {
        let items = client.nodes().await?;
        selection.pick(client, "node", items, |_| None, |node, name| node.name == name).await
    }
}
