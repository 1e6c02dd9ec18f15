//! Reading of an app from a tree, shared by YAML and JSON: the only place that gives the keys
//! their meaning.

mod container;
mod contents;
mod health;
mod rollout;

use std::collections::BTreeMap;
use std::str::FromStr;

use super::fields::{Checker, Field, Fields, Reader};
use super::node::{Node, Place};
use super::raw_diagnostic::RawDiagnostic;
use dubernetes_core::app::escape::quote;
use dubernetes_core::app::rules;
use dubernetes_core::app::{
    Access, AppName, AppSpec, Artifact, Cpu, Duration, FilePath, HostPattern, ImageRef,
    MAX_REPLICAS, Memory, ParseError, PortMapping, PullPolicy, Resources, RoutePath, RouteProtocol,
    Signal, Stop, Volume,
};

/// A checked document and the index of its source.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) source: usize,
    pub(super) root: Node,
    pub(super) checked: Checked,
}

/// The result of a check.
#[derive(Debug)]
pub(super) struct Checked {
    /// `None` if there are diagnostics.
    pub(super) spec: Option<AppSpec>,
    /// The parts that are compared with other apps, even if the rest is invalid.
    pub(super) outline: Outline,
    pub(super) diagnostics: Vec<RawDiagnostic>,
    /// Values that were accepted in another form than they were written.
    pub(super) notes: Vec<(Place, String)>,
}

/// The parts of an app that are compared with those of other apps, as far as they are valid.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) name: Option<AppName>,
    pub(super) access: Vec<Access>,
    pub(super) ports: Vec<PortMapping>,
    /// None if any entry is not valid: positions would be wrong.
    pub(super) after: Vec<AppName>,
}

/// Checks one document. Without a `reader` the files that it refers to are not read.
pub(super) fn check(root: &Node, reader: Option<Reader<'_>>) -> Checked {
    let mut checker = Checker::new(root, reader);
    let mut outline = Outline::default();
    let spec = read_app(&mut checker, &mut outline);
    let (diagnostics, notes) = checker.finish();
    let spec = spec.filter(|_| diagnostics.is_empty());
    Checked { spec, outline, diagnostics, notes }
}

fn read_app(checker: &mut Checker<'_>, outline: &mut Outline) -> Option<AppSpec> {
    let fields = checker.root_object()?;
    let name = checker.required(&fields, "name");
    let name = name.and_then(|field| checker.parse(&field, AppName::parse));
    outline.name.clone_from(&name);
    let artifact = read_artifact(checker, &fields);
    let replicas = checker.optional_number(&fields, "replicas", 0..=MAX_REPLICAS, |found| {
        rules::too_many_replicas(found)
    });
    let access = read_access(checker, &fields);
    outline.access.clone_from(&access);
    let port = read_port(checker, &fields, "port");
    let ports = read_ports(checker, &fields);
    outline.ports.clone_from(&ports);
    let command = read_argv(checker, &fields, "command");
    let args = read_argv(checker, &fields, "args");
    let env = contents::read_env(checker, &fields);
    let env_file = contents::read_env_files(checker, &fields);
    let resources = read_resources(checker, &fields);
    let volumes = read_volumes(checker, &fields);
    let files = contents::read_files(checker, &fields, &volumes);
    let labels = read_labels(checker, &fields);
    let stop = read_stop(checker, &fields);
    let pull = checker.parse_optional(&fields, "pull", PullPolicy::parse);
    let health = health::read_health(checker, &fields);
    let rollout = rollout::read_rollout(checker, &fields);
    let pre_deploy = rollout::read_pre_deploy(checker, &fields);
    let after = read_after(checker, &fields, name.as_ref());
    outline.after.clone_from(&after);
    let options = container::read_options(checker, &fields);
    let default = AppSpec::of_artifact(name?, artifact?);
    let spec = AppSpec {
        replicas: replicas.unwrap_or(default.replicas),
        access,
        port,
        ports,
        command,
        args,
        env,
        env_file,
        files,
        resources,
        volumes,
        labels,
        stop,
        pull: pull.unwrap_or(default.pull),
        health,
        rollout,
        pre_deploy,
        after,
        options,
        ..default
    };
    checker.report_violations(rules::check_container(&spec));
    checker.report_violations(rules::check_contents(&spec));
    Some(spec)
}

/// Reads `image` or `program`, of which exactly one must exist.
fn read_artifact<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Option<Artifact> {
    if !fields.has("program") {
        let field = checker.required(fields, "image")?;
        return checker.parse(&field, ImageRef::parse).map(Artifact::Image);
    }
    if let Some(image) = checker.optional(fields, "image") {
        let message = "`image` cannot be combined with `program`";
        checker.report_value(&image, message, "write one of `image` and `program`");
    }
    checker.parse_optional(fields, "program", FilePath::parse).map(Artifact::Program)
}

/// Reads a list of texts; `None` if one is invalid: the positions of the others would be wrong.
fn read_all<'n, T: FromStr<Err = ParseError>>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
    key: &str,
) -> Option<Vec<T>> {
    let items = checker.optional(fields, key).and_then(|field| checker.items(&field));
    let items = items.unwrap_or_default();
    let parsed: Vec<_> = items.iter().map(|item| checker.parse(item, str::parse)).collect();
    parsed.into_iter().collect()
}

fn read_after<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
    app: Option<&AppName>,
) -> Vec<AppName> {
    // The rules name positions, which are right only if every entry could be read.
    let Some(after) = read_all(checker, fields, "after") else { return Vec::new() };
    if let Some(app) = app {
        checker.report_violations(rules::check_after(app, &after));
    }
    after
}

fn read_port<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>, path: &str) -> Option<u16> {
    let out_of_range = |found: &str| rules::port_out_of_range(path, found);
    checker.optional_number(fields, "port", 1..=u16::MAX, out_of_range)
}

/// Reads the published ports. One invalid entry yields none: the others would be compared under
/// wrong positions.
fn read_ports<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Vec<PortMapping> {
    let ports = read_all(checker, fields, "ports").unwrap_or_default();
    checker.report_violations(rules::check_ports(&ports));
    ports
}

/// Reads one mapping or a list. One invalid entry yields no routes: those of the others would be
/// compared under wrong positions.
fn read_access<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Vec<Access> {
    let Some(field) = checker.optional(fields, "access") else { return Vec::new() };
    let items = field.items_or_self();
    if items.is_empty() {
        checker.report_violations([rules::no_entries("access")]);
    }
    let entries: Vec<_> = items.iter().map(|item| read_entry(checker, item)).collect();
    let Some(access) = entries.into_iter().collect::<Option<Vec<_>>>() else { return Vec::new() };
    checker.report_violations(rules::check_access(&access, field.is_list()));
    access
}

fn read_entry<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<Access> {
    let fields = checker.object(field)?;
    let hosts = match checker.optional(&fields, "host") {
        Some(field) => read_hosts(checker, &field),
        // A key without a value was reported.
        None => (!fields.has("host")).then(Vec::new),
    };
    let path = match checker.optional(&fields, "path") {
        Some(field) => checker.parse(&field, RoutePath::parse),
        None => Some(RoutePath::default()),
    };
    let port = read_port(checker, &fields, &format!("{}.port", field.path));
    let mut is_true = |key| {
        let field = checker.optional(&fields, key);
        field.and_then(|field| container::read_bool(checker, &field)).unwrap_or(false)
    };
    let (strip_prefix, keepalive) = (is_true("strip_prefix"), is_true("keepalive"));
    let buffer_requests = is_true("buffer_requests");
    let protocol = checker.parse_optional(&fields, "protocol", RouteProtocol::parse);
    let tls = match checker.optional(&fields, "tls") {
        Some(field) => Some(contents::read_tls(checker, &field)?),
        None => None,
    };
    Some(Access {
        hosts: hosts?,
        path: path?,
        port,
        strip_prefix,
        protocol: protocol.unwrap_or_default(),
        keepalive,
        buffer_requests,
        tls,
    })
}

/// Reads one host or a list. One invalid host yields `None`: the routes of the others would be
/// compared under wrong positions.
fn read_hosts<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<Vec<HostPattern>> {
    let items = field.items_or_self();
    if items.is_empty() {
        checker.report_violations([rules::no_entries(&field.path)]);
        return None;
    }
    let hosts: Vec<_> = items.iter().map(|item| read_host(checker, item)).collect();
    hosts.into_iter().collect()
}

fn read_host<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<HostPattern> {
    let host = checker.parse(field, HostPattern::parse)?;
    if let Some(written) = field.node.text()
        && host.to_string() != written
    {
        checker.note(field, format!("the host {} is read as `{host}`", quote(written)));
    }
    Some(host)
}

fn read_argv<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>, key: &str) -> Vec<String> {
    let words = checker.optional(fields, key).and_then(|field| checker.texts(&field));
    let words = words.unwrap_or_default();
    checker.report_violations(rules::check_argv(key, &words));
    words
}

fn read_labels<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some(field) = checker.optional(fields, "labels") else { return labels };
    for entry in checker.entries(&field) {
        let value = checker.text(&entry);
        let key = checker.parse_key(&entry, |key| Ok(key.to_owned()));
        if let (Some(key), Some(value)) = (key, value) {
            labels.insert(key, value.to_owned());
        }
    }
    checker.report_violations(rules::check_labels(&labels));
    labels
}

fn read_resources<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Resources {
    let field = checker.optional(fields, "resources");
    let Some(fields) = field.and_then(|field| checker.object(&field)) else {
        return Resources::default();
    };
    let cpu = checker.parse_optional(&fields, "cpu", Cpu::parse);
    let memory = checker.parse_optional(&fields, "memory", Memory::parse);
    Resources { cpu, memory }
}

fn read_volumes<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Vec<Volume> {
    let items = checker.optional(fields, "volumes").and_then(|field| checker.items(&field));
    let items = items.unwrap_or_default();
    let volumes: Vec<Volume> =
        items.iter().filter_map(|item| checker.parse(item, Volume::parse)).collect();
    if volumes.len() == items.len() {
        checker.report_violations(rules::check_volumes(&volumes));
    }
    volumes
}

fn read_stop<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Stop {
    let default = Stop::default();
    let field = checker.optional(fields, "stop");
    let Some(fields) = field.and_then(|field| checker.object(&field)) else { return default };
    let signal = checker.parse_optional(&fields, "signal", Signal::parse);
    let grace = checker.parse_optional(&fields, "grace", Duration::parse);
    let drain = checker.parse_optional(&fields, "drain", Duration::parse);
    Stop { signal, grace: grace.unwrap_or(default.grace), drain: drain.unwrap_or(default.drain) }
}
