//! Tree → specification, or everything that is wrong with it. YAML and JSON meet here, so this
//! is the only place that gives the keys their meaning.

mod contents;
mod health;
mod rollout;

use std::collections::BTreeMap;

use super::fields::{Checker, Field, Fields, Read};
use super::keys;
use super::node::{Node, Place, RawDiagnostic, Value};
use dubernetes_core::app::escape::quoted;
use dubernetes_core::app::rules::{self, Violation};
use dubernetes_core::app::{
    Access, AppName, AppSpec, Cpu, Duration, HostName, ImageRef, MAX_REPLICAS, Memory, PullPolicy,
    Resources, RoutePath, Signal, Stop, Volume,
};

/// One document after the check.
#[derive(Debug)]
pub(super) struct Checked {
    /// Present exactly if there are no faults.
    pub(super) spec: Option<AppSpec>,
    /// Name and routes alone, where they are right: apps are compared even if the rest is wrong.
    pub(super) outline: RouteOutline,
    pub(super) faults: Vec<RawDiagnostic>,
    /// What was accepted in another form than it was written, and where.
    pub(super) notes: Vec<(Place, String)>,
}

/// What must differ between apps.
#[derive(Debug, Default)]
pub(super) struct RouteOutline {
    pub(super) name: Option<AppName>,
    pub(super) access: Option<Access>,
}

/// Checks one document. `reader` reads the files that it refers to; without one they are not.
pub(super) fn check(root: &Node, reader: Option<&Read<'_>>) -> Checked {
    let mut checker = Checker::new(root, reader);
    let mut outline = RouteOutline::default();
    let read = app(&mut checker, root, &mut outline);
    let (faults, notes) = checker.done();
    let spec = if faults.is_empty() { read } else { None };
    Checked { spec, outline, faults, notes }
}

fn app<'n>(
    checker: &mut Checker<'n>,
    root: &'n Node,
    outline: &mut RouteOutline,
) -> Option<AppSpec> {
    let fields = checker.app_level(root)?;
    let name = checker.required(&fields, "name");
    let name = name.and_then(|field| checker.parsed(&field, AppName::parse));
    outline.name.clone_from(&name);
    let image = checker.required(&fields, "image");
    let image = image.and_then(|field| checker.parsed(&field, ImageRef::parse));
    let replicas = replicas(checker, &fields);
    let access = access(checker, &fields);
    outline.access.clone_from(&access);
    let port = port(checker, &fields);
    let command = argv(checker, &fields, "command");
    let args = argv(checker, &fields, "args");
    let env = contents::env(checker, &fields);
    let env_file = contents::env_file(checker, &fields);
    let resources = resources(checker, &fields);
    let volumes = volumes(checker, &fields);
    let files = contents::files(checker, &fields, &volumes);
    let labels = labels(checker, &fields);
    let stop = stop(checker, &fields);
    let pull = checker.given(&fields, "pull");
    let pull = pull.and_then(|field| checker.parsed(&field, parse_pull));
    let health = health::read(checker, &fields);
    let rollout = rollout::read(checker, &fields);
    let pre_deploy = rollout::pre_deploy(checker, &fields);
    let mut spec = AppSpec::new(name?, image?);
    spec.replicas = replicas.unwrap_or(spec.replicas);
    spec.port = port.unwrap_or(spec.port);
    spec.pull = pull.unwrap_or(spec.pull);
    let spec = AppSpec {
        access,
        command,
        args,
        env,
        env_file,
        files,
        resources,
        volumes,
        labels,
        stop,
        health,
        rollout,
        pre_deploy,
        ..spec
    };
    let mut broken = Vec::new();
    rules::contents(&spec, &mut broken);
    checker.broken(broken);
    Some(spec)
}

fn replicas<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Option<u16> {
    let field = checker.given(fields, "replicas")?;
    let digits = checker.whole(&field)?;
    let count = digits.parse().ok().filter(|count| *count <= MAX_REPLICAS);
    if count.is_none() {
        checker.broken(vec![rules::too_many_replicas(&quoted(digits))]);
    }
    count
}

fn port<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Option<u16> {
    let field = checker.given(fields, "port")?;
    let digits = checker.whole(&field)?;
    let port = digits.parse().ok().filter(|port| *port > 0);
    if port.is_none() {
        checker.broken(vec![rules::no_port(&quoted(digits))]);
    }
    port
}

fn access<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Option<Access> {
    let field = checker.given(fields, "access")?;
    let level = checker.level(&field, &keys::ACCESS)?;
    let hosts = checker.required(&level, "access.host").map(|field| hosts(checker, &field));
    let path = match checker.given(&level, "access.path") {
        Some(field) => checker.parsed(&field, RoutePath::parse)?,
        None => RoutePath::default(),
    };
    let access = Access { hosts: hosts??, path };
    let mut broken = Vec::new();
    rules::hosts(&access, &mut broken);
    checker.broken(broken);
    Some(access)
}

/// One host, or a list of them. With one wrong host there is no list: routes of the others
/// would be compared under wrong positions.
fn hosts<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<Vec<HostName>> {
    let items = match checker.list_or_one(field) {
        Ok(items) => items,
        Err(one) => vec![one],
    };
    let read: Vec<Option<HostName>> = items.iter().map(|item| host(checker, item)).collect();
    read.into_iter().collect()
}

fn host<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<HostName> {
    let host = checker.parsed(field, HostName::parse)?;
    if let Some(written) = field.node.text()
        && written != host.as_str()
    {
        checker.note(field, format!("the host {} is taken as `{host}`", quoted(written)));
    }
    Some(host)
}

fn argv<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>, key: &str) -> Vec<String> {
    let Some(field) = checker.given(fields, key) else { return Vec::new() };
    let items = checker.list(&field);
    let words: Vec<String> =
        items.iter().filter_map(|item| checker.text(item).map(str::to_owned)).collect();
    let mut broken = Vec::new();
    if words.len() == items.len() {
        rules::argv(key, &words, &mut broken);
    }
    checker.broken(broken);
    words
}

fn labels<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some(field) = checker.given(fields, "labels") else { return labels };
    for entry in checker.entries(&field) {
        let value = checker.text(&entry);
        let key = checker.key(&entry, |key| Ok(key.to_owned()));
        if let (Some(key), Some(value)) = (key, value) {
            labels.insert(key, value.to_owned());
        }
    }
    let mut broken = Vec::new();
    rules::labels(&labels, &mut broken);
    checker.broken(broken);
    labels
}

fn resources<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Resources {
    let mut resources = Resources::default();
    let Some(field) = checker.given(fields, "resources") else { return resources };
    let Some(level) = checker.level(&field, &keys::RESOURCES) else { return resources };
    if let Some(field) = checker.given(&level, "resources.cpu") {
        resources.cpu = checker.parsed(&field, Cpu::parse);
    }
    if let Some(field) = checker.given(&level, "resources.memory") {
        resources.memory = checker.parsed(&field, Memory::parse);
    }
    resources
}

fn volumes<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Vec<Volume> {
    let Some(field) = checker.given(fields, "volumes") else { return Vec::new() };
    let items = checker.list(&field);
    let volumes: Vec<Volume> =
        items.iter().filter_map(|item| checker.parsed(item, Volume::parse)).collect();
    let mut broken = Vec::new();
    if volumes.len() == items.len() {
        rules::volumes(&volumes, &mut broken);
    }
    checker.broken(broken);
    volumes
}

fn stop<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Stop {
    let mut stop = Stop::default();
    let Some(field) = checker.given(fields, "stop") else { return stop };
    let Some(level) = checker.level(&field, &keys::STOP) else { return stop };
    if let Some(field) = checker.given(&level, "stop.signal") {
        stop.signal = checker.parsed(&field, parse_signal);
    }
    if let Some(field) = checker.given(&level, "stop.grace") {
        stop.grace = checker.parsed(&field, Duration::parse).unwrap_or(stop.grace);
    }
    if let Some(field) = checker.given(&level, "stop.drain") {
        stop.drain = checker.parsed(&field, Duration::parse).unwrap_or(stop.drain);
    }
    stop
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    Signal::ALL.into_iter().find(|signal| signal.as_str() == text).ok_or_else(|| {
        let names = Signal::ALL.map(|signal| format!("`{}`", signal.as_str()));
        format!("`stop.signal` is one of {}, not {}", names.join(", "), quoted(text))
    })
}

fn parse_pull(text: &str) -> Result<PullPolicy, String> {
    match text {
        "missing" => Ok(PullPolicy::Missing),
        "always" => Ok(PullPolicy::Always),
        "never" => Ok(PullPolicy::Never),
        _ => Err(format!("`pull` is `missing`, `always` or `never`, not {}", quoted(text))),
    }
}

impl Checker<'_> {
    /// Reports rules over whole lists, at the places of the entries that break them.
    fn broken(&mut self, broken: Vec<Violation>) {
        for Violation { problem, first } in broken {
            let hint = problem
                .hint
                .unwrap_or_else(|| format!("for example `{}`", keys::example(&problem.path)));
            let place = self.place_of_rule(&problem.path);
            let mut fault = RawDiagnostic::new(place, problem.path, problem.message, hint);
            if let Some(first) = first {
                fault = fault.with_other(self.root.place_of(&first), "first given here");
            }
            self.fault(fault);
        }
    }

    /// A rule over a whole list or over a key stands at the key, any other at the value.
    fn place_of_rule(&self, path: &str) -> Place {
        let Some((key, node)) = self.root.find(path) else { return self.root.place };
        let of_key =
            path.starts_with("labels.") || matches!(node.value, Value::Map(_) | Value::List(_));
        if of_key { key } else { node.place }
    }
}
