//! Puts the files of a generation into the container, checks them, and quarantines apps whose
//! files nginx refuses.
//!
//! Never activates a generation.

use std::collections::{BTreeMap, BTreeSet};

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{IngressError, Route, RouteTable};

use crate::config::{self, Generation, RenderContext};
use crate::error::{failure, parse_refusal, parse_warnings};
use crate::proxy::{Nginx, RunningNginx};
use crate::version::Version;

/// A generation that nginx accepts.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The files.
    pub(crate) generation: Generation,
    /// Apps whose requested routes are not in the generation, and why.
    pub(crate) quarantined: BTreeMap<AppName, String>,
    /// nginx's warnings.
    pub(crate) warnings: Vec<String>,
}

impl Candidate {
    /// Returns a generation whose directives nginx accepted before.
    pub(crate) fn accepted(generation: Generation) -> Self {
        Self { generation, quarantined: BTreeMap::new(), warnings: Vec::new() }
    }
}

/// The checked files of a table, with nginx's warnings; or nginx's refusal of the table.
type CheckResult = Result<(Generation, Vec<String>), String>;

impl Nginx {
    /// Returns checked files that serve `table`, as far as nginx accepts it. An app that nginx
    /// refuses keeps its routes of `served`, or has none.
    pub(crate) async fn find_candidate(
        &self,
        nginx: &RunningNginx,
        context: &RenderContext,
        table: &RouteTable,
        served: &RouteTable,
    ) -> Result<Candidate, IngressError> {
        let (table, mut quarantined) = remove_duplicates(table);
        let message = match self.check(nginx, context, &table).await? {
            Ok((generation, warnings)) => {
                return Ok(Candidate { generation, quarantined, warnings });
            }
            Err(message) => message,
        };
        let mut refused = BTreeMap::new();
        for app in app_names(&table) {
            let alone = filter_apps(&table, |name| *name == app);
            if let Err(message) = self.check(nginx, context, &alone).await? {
                refused.insert(app, message);
            }
        }
        if refused.is_empty() {
            return Err(IngressError::Refused { message });
        }
        let accepted = filter_apps(&table, |app| !refused.contains_key(app));
        let with_last_good = add_last_good(&accepted, served, &refused);
        quarantined.extend(refused);
        for table in [with_last_good, accepted] {
            if let Ok((generation, warnings)) = self.check(nginx, context, &table).await? {
                return Ok(Candidate { generation, quarantined, warnings });
            }
        }
        Err(IngressError::Refused { message })
    }

    /// Puts the files of a table into a directory of their own, and has nginx check them.
    async fn check(
        &self,
        nginx: &RunningNginx,
        context: &RenderContext,
        table: &RouteTable,
    ) -> Result<CheckResult, IngressError> {
        let lacks_h2c = context.version.and_then(Version::lacks_h2c);
        if let Some(message) = lacks_h2c.filter(|_| config::needs_h2c(table)) {
            return Ok(Err(message));
        }
        let generation = match config::write(table, context) {
            Ok(generation) => generation,
            Err(illegal) => return Ok(Err(illegal.to_string())),
        };
        self.put_files(&nginx.id, &generation.entries_with_directories()).await?;
        let folder = Generation::folder(&generation.digest);
        let main = format!("{folder}/nginx.conf");
        // `-T` also prints each file as nginx read it: a truncated file may still be valid.
        let command = ["nginx", "-T", "-c", &main];
        let result = self.run_command(&nginx.id, &command, None).await?;
        let messages = String::from_utf8_lossy(&result.stderr);
        if matches!(result.code, 126 | 127) {
            return Err(failure("the image has no program `nginx`"));
        }
        if result.code != 0 {
            return Ok(Err(parse_refusal(&messages)));
        }
        if let Some(path) = first_mismatch(&generation, &folder, &result.stdout) {
            return Err(failure(format!("`{path}` in the container differs from what was put")));
        }
        Ok(Ok((generation, parse_warnings(&messages))))
    }
}

/// Returns the first configuration file that nginx did not read exactly as it was rendered.
fn first_mismatch<'a>(generation: &'a Generation, folder: &str, dump: &[u8]) -> Option<&'a str> {
    let dump = String::from_utf8_lossy(dump);
    let was_read = |path: &str, contents: &[u8]| {
        let contents = String::from_utf8_lossy(contents);
        dump.contains(&format!("# configuration file {folder}/{path}:\n{contents}\n"))
    };
    let mut files = generation.files.iter().filter(|(path, _)| path.ends_with(".conf"));
    files.find(|(path, contents)| !was_read(path, contents)).map(|(path, _)| path.as_str())
}

/// Keeps the first of several routes with the same host and path, and returns the apps of the
/// others.
fn remove_duplicates(table: &RouteTable) -> (RouteTable, BTreeMap<AppName, String>) {
    let mut owners = BTreeMap::new();
    let mut losers = BTreeMap::new();
    let mut routes = Vec::new();
    for route in &table.routes {
        let owner = owners.entry((&route.host, &route.path)).or_insert(&route.app);
        if routes.iter().any(|kept: &Route| kept.is_at_place_of(route)) {
            let text = format!("`{}{}` belongs to app `{owner}`", route.host, route.path);
            losers.entry(route.app.clone()).or_insert(text);
        } else {
            routes.push(route.clone());
        }
    }
    (RouteTable { routes, ..table.clone() }, losers)
}

/// Adds the served routes of refused apps, unless an accepted app has their place now.
fn add_last_good(
    accepted: &RouteTable,
    served: &RouteTable,
    refused: &BTreeMap<AppName, String>,
) -> RouteTable {
    let is_free = |route: &Route| !accepted.routes.iter().any(|kept| kept.is_at_place_of(route));
    let last = filter_apps(served, |app| refused.contains_key(app));
    let mut table = accepted.clone();
    table.routes.extend(last.routes.into_iter().filter(is_free));
    table.listeners.extend(last.listeners);
    table.ports.extend(last.ports);
    table.tls.extend(last.tls.into_iter().filter(|tls| accepted.tls_of(&tls.host).is_none()));
    table
}

fn app_names(table: &RouteTable) -> BTreeSet<AppName> {
    let routed = table.routes.iter().map(|route| &route.app);
    routed.chain(table.listeners.iter().map(|listener| &listener.app)).cloned().collect()
}

/// Returns the part of a table that belongs to the kept apps.
fn filter_apps(table: &RouteTable, keep: impl Fn(&AppName) -> bool) -> RouteTable {
    let mut table = table.clone();
    table.routes.retain(|route| keep(&route.app));
    table.listeners.retain(|listener| keep(&listener.app));
    table.ports.retain(|port| keep(&port.app));
    table.tls.retain(|tls| keep(&tls.app));
    table
}
