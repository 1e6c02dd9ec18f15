//! `top`: shows CPU and memory usage of apps and pods.

use std::collections::BTreeMap;

use dubernetes_api::Client;
use dubernetes_api::text::size_text;
use dubernetes_api::wire::PodStats;
use dubernetes_core::app::AppName;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Format, ObjectName, SortBy, TopArgs};
use crate::output::{self, Cell, Column, Row, column, or_none, wide};
use crate::report::{self, CliError, FAILED, Result, USAGE};
use crate::resolve::{names_with_selector, not_found};
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &TopArgs, settings: &Settings) -> Result {
    let view = View::parse(args)?;
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let client = &target.client;
        let stats = client.stats(args.selector.selector.as_ref()).await?;
        let (pods, unknown) = view.select(stats);
        if unknown.is_empty() || !pods.is_empty() {
            if view.apps { print_usage(args, app_usages(&pods))? } else { print_usage(args, pods)? }
        }
        for name in &unknown {
            unknown_name(client, &view, name).await.report();
        }
        if unknown.is_empty() { Ok(()) } else { Err(CliError::already_reported(FAILED)) }
    })
    .await
}

/// What to show.
#[derive(Debug, PartialEq, Eq)]
struct View {
    apps: bool,
    names: Vec<String>,
}

impl View {
    /// Parses `apps NAME…`, `pods NAME…`, names (their pods), or nothing (all apps).
    fn parse(args: &TopArgs) -> Result<Self> {
        let words = args.words.as_slice();
        let (apps, names) = match words.split_first() {
            None => (true, words),
            Some((kind, names)) => match kind.as_str() {
                "app" | "apps" => (true, names),
                "pod" | "pods" | "po" => (false, names),
                _ => (false, words),
            },
        };
        if args.selector.selector.is_some() && !names.is_empty() {
            return Err(names_with_selector());
        }
        let parse = |name: &String| {
            let named = ObjectName::parse(name).map_err(|text| CliError::with_exit(USAGE, text))?;
            Ok(named.name().to_owned())
        };
        Ok(Self { apps, names: names.iter().map(parse).collect::<Result<_>>()? })
    }

    /// Returns the stats of the named pods, and the names without a pod.
    fn select(&self, mut stats: Vec<PodStats>) -> (Vec<PodStats>, Vec<String>) {
        let has_name = |pod: &PodStats, name: &str| {
            pod.app.as_str() == name || (!self.apps && pod.name == name)
        };
        let unknown = self.names.iter().filter(|name| !stats.iter().any(|pod| has_name(pod, name)));
        let unknown = unknown.cloned().collect();
        if !self.names.is_empty() {
            stats.retain(|pod| self.names.iter().any(|name| has_name(pod, name)));
        }
        (stats, unknown)
    }
}

/// Creates the error for a name without a pod: an app without pods, or an unknown name.
async fn unknown_name(client: &Client, view: &View, name: &str) -> CliError {
    let exists = matches!(client.get_app(name).await, Ok(app) if app.name.as_str() == name);
    if exists {
        return CliError::new(format!("app `{name}` has no pod"))
            .help(format!("`dubernetes why {name}` explains the cause"));
    }
    let kind = if view.apps { ObjectName::App } else { ObjectName::Either };
    not_found(client, &kind(name.to_owned())).await
}

fn print_usage<T: Usage>(args: &TopArgs, mut items: Vec<T>) -> Result {
    match args.sort_by {
        None => {}
        Some(SortBy::Cpu) => items.sort_by_key(|item| std::cmp::Reverse(item.cpu().value)),
        Some(SortBy::Memory) => items.sort_by_key(|item| std::cmp::Reverse(item.memory().value)),
    }
    if items.is_empty() && matches!(args.list.format(), Format::Table | Format::Wide) {
        report::print_line("No pods found.");
        return Ok(());
    }
    output::print(&output::list(&items, args.list.style(), Timestamp::now())?)
}

/// Usage of all pods of an app. A sum is `None` if no pod reports a value; a sum of limits, if one
/// pod has no limit.
#[derive(Debug, PartialEq, Serialize)]
struct AppUsage {
    name: AppName,
    pods: usize,
    cpu: Option<u64>,
    cpu_limit: Option<u64>,
    memory: Option<u64>,
    memory_limit: Option<u64>,
}

fn app_usages(pods: &[PodStats]) -> Vec<AppUsage> {
    let mut by_app: BTreeMap<&AppName, Vec<&PodStats>> = BTreeMap::new();
    for pod in pods {
        by_app.entry(&pod.app).or_default().push(pod);
    }
    let sum_known = |pods: &[&PodStats], value: fn(&PodStats) -> Option<u64>| {
        pods.iter().filter_map(|pod| value(pod)).reduce(u64::saturating_add)
    };
    let sum_all = |pods: &[&PodStats], value: fn(&PodStats) -> Option<u64>| {
        pods.iter().map(|pod| value(pod)).sum::<Option<u64>>()
    };
    by_app
        .into_iter()
        .map(|(name, pods)| AppUsage {
            name: name.clone(),
            pods: pods.len(),
            cpu: sum_known(&pods, |pod| pod.cpu),
            cpu_limit: sum_all(&pods, |pod| pod.cpu_limit),
            memory: sum_known(&pods, |pod| pod.memory),
            memory_limit: sum_all(&pods, |pod| pod.memory_limit),
        })
        .collect()
}

/// A value and its limit.
#[derive(Debug, Clone, Copy)]
struct Limited {
    value: Option<u64>,
    limit: Option<u64>,
}

/// Rows of usage, which can be sorted by it.
trait Usage: Row {
    fn name(&self) -> &str;
    fn cpu(&self) -> Limited;
    fn memory(&self) -> Limited;
}

impl Usage for PodStats {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn cpu(&self) -> Limited {
        Limited { value: self.cpu, limit: self.cpu_limit }
    }

    fn memory(&self) -> Limited {
        Limited { value: self.memory, limit: self.memory_limit }
    }
}

impl Usage for AppUsage {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn cpu(&self) -> Limited {
        Limited { value: self.cpu, limit: self.cpu_limit }
    }

    fn memory(&self) -> Limited {
        Limited { value: self.memory, limit: self.memory_limit }
    }
}

impl Row for PodStats {
    fn columns() -> Vec<Column<Self>> {
        usage_columns(wide("APP", |pod, _| Cell::new(pod.app.as_str())))
    }

    fn full_name(&self) -> String {
        format!("pod/{}", self.name)
    }
}

impl Row for AppUsage {
    fn columns() -> Vec<Column<Self>> {
        usage_columns(wide("PODS", |app, _| Cell::new(app.pods.to_string())))
    }

    fn full_name(&self) -> String {
        format!("app/{}", self.name)
    }
}

fn usage_columns<T: Usage>(second: Column<T>) -> Vec<Column<T>> {
    vec![
        column("NAME", |item, _| Cell::new(item.name())),
        second,
        column("CPU", |item, _| millis(item.cpu().value)),
        wide("CPU LIMIT", |item, _| millis(item.cpu().limit)),
        column("MEMORY", |item, _| size(item.memory().value)),
        column("MEMORY LIMIT", |item, _| size(item.memory().limit)),
        wide("MEMORY USED", |item, _| {
            let Limited { value, limit } = item.memory();
            let used = value.zip(limit.filter(|limit| *limit > 0));
            let used = used.map(|(used, limit)| format!("{}%", used.saturating_mul(100) / limit));
            Cell::new(or_none(used))
        }),
    ]
}

fn millis(value: Option<u64>) -> Cell {
    Cell::new(or_none(value.map(|value| format!("{value}m"))))
}

fn size(value: Option<u64>) -> Cell {
    Cell::new(or_none(value.map(size_text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, app: &str, cpu: Option<u64>, limit: Option<u64>) -> PodStats {
        PodStats {
            name: name.parse().unwrap(),
            app: AppName::parse(app).unwrap(),
            cpu,
            cpu_limit: None,
            memory: cpu.map(|cpu| cpu << 20),
            memory_limit: limit.map(|limit| limit << 20),
        }
    }

    #[test]
    fn app_usage_sums_pods() {
        let pods = [
            pod("web-1", "web", Some(10), Some(64)),
            pod("web-2", "web", Some(15), Some(64)),
            pod("api-1", "api", None, Some(64)),
            pod("api-2", "api", Some(7), None),
            pod("idle-1", "idle", None, None),
        ];
        let sums: Vec<_> = app_usages(&pods)
            .into_iter()
            .map(|app| (app.name.to_string(), app.pods, app.cpu, app.memory_limit))
            .collect();
        let expected = [
            ("api".to_owned(), 2, Some(7), None),
            ("idle".to_owned(), 1, None, None),
            ("web".to_owned(), 2, Some(25), Some(128 << 20)),
        ];
        assert_eq!(sums, expected);
    }
}
