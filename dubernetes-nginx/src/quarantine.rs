//! Files on their way in: put, read back, checked; and what is done with an app whose files
//! nginx refuses.
//!
//! Nothing here activates a generation.

use std::collections::{BTreeMap, BTreeSet};

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{IngressError, Route, RouteTable};
use dubernetes_core::runtime::exec_to_end;

use crate::config::{self, Generation, Site};
use crate::error::{failed, refusal, warnings};
use crate::proxy::{Nginx, Run};

/// A generation whose files are in the container and passed nginx's own check.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The files.
    pub(crate) generation: Generation,
    /// Apps whose routes are not, or not as wanted, in it, and why.
    pub(crate) quarantined: BTreeMap<AppName, String>,
    /// What nginx warned of.
    pub(crate) warnings: Vec<String>,
}

/// `Err` is the text with which the table was refused.
type Checked = Result<(Generation, Vec<String>), String>;

impl Nginx {
    /// Finds the files that serve `wanted` as far as nginx accepts it. An app that it refuses
    /// keeps its routes of `served`, or has none.
    pub(crate) async fn candidate(
        &self,
        run: &Run,
        site: &Site,
        wanted: &RouteTable,
        served: &RouteTable,
    ) -> Result<Candidate, IngressError> {
        let (single, mut quarantined) = without_duplicates(wanted);
        let message = match self.check(run, site, &single).await? {
            Ok((generation, warnings)) => {
                return Ok(Candidate { generation, quarantined, warnings });
            }
            Err(message) => message,
        };
        let mut bad = BTreeMap::new();
        for app in apps(&single) {
            let alone = only(&single, |route| route.app == app);
            if let Err(message) = self.check(run, site, &alone).await? {
                bad.insert(app, message);
            }
        }
        if bad.is_empty() {
            return Err(IngressError::Refused { message });
        }
        let good = only(&single, |route| !bad.contains_key(&route.app));
        let with_last = with_last_good(&good, served, &bad);
        quarantined.extend(bad);
        for table in [with_last, good] {
            if let Ok((generation, warnings)) = self.check(run, site, &table).await? {
                return Ok(Candidate { generation, quarantined, warnings });
            }
        }
        Err(IngressError::Refused { message })
    }

    /// Puts the files of one table into a folder of their own and lets nginx read them.
    async fn check(
        &self,
        run: &Run,
        site: &Site,
        table: &RouteTable,
    ) -> Result<Checked, IngressError> {
        let generation = match config::write(table, site) {
            Ok(generation) => generation,
            Err(illegal) => return Ok(Err(illegal.to_string())),
        };
        self.runtime.put_files(&run.id, &generation.entries()).await?;
        let folder = Generation::folder(&generation.digest);
        let main = format!("{folder}/nginx.conf");
        // Also prints every file as nginx read it: a file that was cut short can still be legal.
        let result = exec_to_end(&*self.runtime, &run.id, &["nginx", "-T", "-c", &main]).await?;
        let said = String::from_utf8_lossy(&result.stderr);
        if matches!(result.code, 126 | 127) {
            return Err(failed("the image has no program `nginx`"));
        }
        if result.code != 0 {
            return Ok(Err(refusal(&said)));
        }
        if let Some(path) = first_unread(&generation, &folder, &result.stdout) {
            return Err(failed(format!("`{path}` is not in the container as it was put there")));
        }
        Ok(Ok((generation, warnings(&said))))
    }
}

/// The first configuration file that nginx did not read exactly as it was written.
fn first_unread<'a>(generation: &'a Generation, folder: &str, dump: &[u8]) -> Option<&'a str> {
    let dump = String::from_utf8_lossy(dump);
    let read = |path: &str, contents: &[u8]| {
        let contents = String::from_utf8_lossy(contents);
        dump.contains(&format!("# configuration file {folder}/{path}:\n{contents}\n"))
    };
    let mut files = generation.files.iter().filter(|(path, _)| path.ends_with(".conf"));
    files.find(|(path, contents)| !read(path, contents)).map(|(path, _)| path.as_str())
}

/// Of several routes with one host and path the first stays; the others' apps are named.
fn without_duplicates(table: &RouteTable) -> (RouteTable, BTreeMap<AppName, String>) {
    let mut owners = BTreeMap::new();
    let mut losers = BTreeMap::new();
    let mut routes = Vec::new();
    for route in &table.routes {
        let owner = owners.entry((&route.host, &route.path)).or_insert(&route.app);
        if routes.iter().any(|kept| same_place(kept, route)) {
            let text = format!("`{}{}` belongs to app `{owner}`", route.host, route.path);
            losers.entry(route.app.clone()).or_insert(text);
        } else {
            routes.push(route.clone());
        }
    }
    (RouteTable { routes }, losers)
}

/// The good apps' routes, and those that the bad apps had and nobody else has now.
fn with_last_good(
    good: &RouteTable,
    served: &RouteTable,
    bad: &BTreeMap<AppName, String>,
) -> RouteTable {
    let free = |route: &Route| !good.routes.iter().any(|kept| same_place(kept, route));
    let last = only(served, |route| bad.contains_key(&route.app) && free(route));
    let mut routes = good.routes.clone();
    routes.extend(last.routes);
    RouteTable { routes }
}

fn same_place(a: &Route, b: &Route) -> bool {
    (&a.host, &a.path) == (&b.host, &b.path)
}

fn apps(table: &RouteTable) -> BTreeSet<AppName> {
    table.routes.iter().map(|route| route.app.clone()).collect()
}

fn only(table: &RouteTable, keep: impl Fn(&Route) -> bool) -> RouteTable {
    RouteTable { routes: table.routes.iter().filter(|route| keep(route)).cloned().collect() }
}
