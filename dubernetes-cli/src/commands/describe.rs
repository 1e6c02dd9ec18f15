//! `describe`: shows the details of an app or a pod.

use std::fmt::Write as _;

use dubernetes_api::Client;
use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::{App, EndpointState, Event, Pod, Route};
use dubernetes_core::app::{AppName, Check, EnvValue, Health, HostPattern, PodName, RoutePath};
use dubernetes_core::error::one_line;
use jiff::Timestamp;

use crate::args::{DescribeArgs, ObjectName};
use crate::event_query::is_about;
use crate::output::{self, Cell, Table, age, or_none, short_id};
use crate::report::{CliError, Result, USAGE};
use crate::resolve::{Found, find};
use crate::settings::Settings;
use crate::style;
use crate::target::{Mode, Target};

/// Number of last events to show.
const EVENTS: usize = 10;
/// Number of last probe results per pod to show.
const PROBES: usize = 5;

pub(super) async fn run(args: &DescribeArgs, settings: &Settings) -> Result {
    let name =
        ObjectName::parse_words(&args.name).map_err(|text| CliError::with_exit(USAGE, text))?;
    let text = Target::with(settings, Mode::Observe, async |target: &Target| {
        let client = &target.client;
        let now = Timestamp::now();
        Ok(match find(client, &name).await? {
            Found::App(app) => {
                let pods = client.pods(Some(app.name.as_str())).await?;
                let mut routes = client.routes().await?;
                routes.retain(|route| route.app == app.name);
                let events = last_events(client, &app.name, app.name.as_str()).await?;
                describe_app(&app, &pods, &routes, now) + &events_text(&events, now)
            }
            Found::Pod(pod) => {
                let events = last_events(client, &pod.app, pod.name.as_str()).await?;
                describe_pod(&pod, now) + &events_text(&events, now)
            }
        })
    })
    .await?;
    output::print(&text)
}

async fn last_events(client: &Client, app: &AppName, name: &str) -> Result<Vec<Event>> {
    let query = EventsQuery { app: Some(app.clone()), ..EventsQuery::default() };
    let mut events = client.events(&query).await?;
    events.retain(|event| is_about(event, name));
    events.reverse();
    events.truncate(EVENTS);
    Ok(events)
}

/// Lines of label and value.
#[derive(Default)]
struct Fields {
    text: String,
}

impl Fields {
    fn add(&mut self, label: &str, value: impl AsRef<str>) {
        let value = one_line(value.as_ref());
        let value = if value.is_empty() { "<none>" } else { &value };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{:<13}{value}", format!("{label}:"));
    }
}

fn describe_app(app: &App, pods: &[Pod], routes: &[Route], now: Timestamp) -> String {
    let spec = &app.spec;
    let mut lines = Fields::default();
    lines.add("Name", app.name.as_str());
    lines.add("Status", status_text(app, now));
    if let Some(text) = rollout_text(app) {
        lines.add("Rollout", text);
    }
    let image_id = app.image_id.as_ref().map(|id| format!(" ({})", short_id(&id.0)));
    lines.add("Image", format!("{}{}", spec.artifact, image_id.unwrap_or_default()));
    lines.add("Created", format!("{} ago", age(app.created_at, now)));
    lines
        .add("Changed", format!("{} ago, generation {}", age(app.updated_at, now), app.generation));
    for route in routes {
        lines.add("Route", route_text(app, route));
    }
    if routes.is_empty() {
        lines.add("Route", "");
    }
    for mapping in &spec.ports {
        lines.add("Published", mapping.to_string());
    }
    if !spec.command.is_empty() {
        lines.add("Command", spec.command.join(" "));
    }
    if !spec.args.is_empty() {
        lines.add("Arguments", spec.args.join(" "));
    }
    for (name, value) in &spec.env {
        lines.add(
            "Environment",
            match value {
                EnvValue::Text(text) => format!("{name}={text}"),
                EnvValue::From(file) => format!("{name} from {file}"),
            },
        );
    }
    for file in &spec.env_file {
        lines.add("Environment", format!("all of {file}"));
    }
    for (target, file) in &spec.files {
        lines.add("File", format!("{target} from {}", file.source));
    }
    for volume in &spec.volumes {
        lines.add("Volume", volume.to_string());
    }
    if let Some(cpu) = spec.resources.cpu {
        lines.add("CPU", cpu.to_string());
    }
    if let Some(memory) = spec.resources.memory {
        lines.add("Memory", memory.to_string());
    }
    if let Some(health) = &spec.health {
        lines.add("Health", health_text(health, spec.port()));
    }
    lines.text + &failure_text(app) + &pods_text(pods, now)
}

/// Returns the state of the rollout, unless it completed long ago.
fn rollout_text(app: &App) -> Option<String> {
    let status = &app.status;
    let paused = if status.paused { ", paused" } else { "" };
    match status.rollout.as_str() {
        "" => None,
        "stable" if !status.paused => None,
        word => Some(format!("revision {} is {word}{paused}", status.revision)),
    }
}

/// Returns the output of the pod that made a revision fail.
fn failure_text(app: &App) -> String {
    let Some(failure) = app.status.failure.as_ref().filter(|failure| !failure.log.is_empty())
    else {
        return String::new();
    };
    let pod = failure.pod.as_ref().map_or("a pod", PodName::as_str);
    let head = format!("Last lines of {pod} (revision {}):\n", failure.revision);
    let lines = failure.log.iter().map(|line| format!("  | {}\n", one_line(line)));
    lines.fold(head, |text, line| text + &line)
}

/// Returns the probe, its interval and its limits.
fn health_text(health: &Health, port: u16) -> String {
    let port = health.port.unwrap_or(port);
    let probe = match &health.check {
        Check::Http(path) => format!("GET :{port}{path}"),
        Check::Tcp => format!("TCP connect to :{port}"),
        Check::Exec(command) => format!("`{}`", command.join(" ")),
    };
    format!(
        "{probe} every {}; not ready after {} failures, replaced after {}",
        health.interval, health.failures, health.replace_after
    )
}

/// Returns the last probe results of the pods.
fn probes_text(pods: &[Pod], now: Timestamp) -> String {
    let mut table = Table::new(&["POD", "AGE", "OK", "RESULT"]);
    let mut is_empty = true;
    for pod in pods {
        for probe in pod.probes.iter().rev().take(PROBES) {
            is_empty = false;
            table.push(vec![
                Cell::new(&pod.name),
                Cell::new(age(probe.at, now)),
                Cell::new(if probe.good { "yes" } else { "no" }),
                Cell::new(&probe.text),
            ]);
        }
    }
    if is_empty {
        return String::new();
    }
    format!("Probes:\n{}", table.render_indented(output::width()))
}

fn status_text(app: &App, now: Timestamp) -> String {
    let status = &app.status;
    let updated = if status.updated == status.desired {
        format!("all on revision {}", status.revision)
    } else {
        format!("{} on revision {}", status.updated, status.revision)
    };
    let reason = match output::reason(status, now).as_str() {
        "" => String::new(),
        reason => format!("; {reason}"),
    };
    format!("{}: {} of {} ready, {updated}{reason}", status.phase, status.ready, status.desired)
}

fn route_text(app: &App, route: &Route) -> String {
    let active = route.endpoints.iter().filter(|e| e.state == EndpointState::Active).count();
    // The URLs of the app, one per host and path, hold the port of the ingress.
    let routes = app.spec.routes().into_iter();
    let is_here =
        |(host, path): &(HostPattern, &RoutePath)| (host, *path) == (&route.host, &route.path);
    let known = { routes }.zip(&app.urls).find(|(place, _)| is_here(place));
    let url = match known {
        Some((_, url)) => url.clone(),
        // The spec no longer has this host, and the ingress still routes it.
        None => format!("http://{}", route.host),
    };
    format!("{url} -> {}, port {}", output::replicas(active), route.port)
}

fn pods_text(pods: &[Pod], now: Timestamp) -> String {
    if pods.is_empty() {
        return "Pods:        <none>\n".to_owned();
    }
    let columns = ["NAME", "STATE", "READY", "RESTARTS", "REVISION", "ADDRESS", "AGE", "MESSAGE"];
    let mut table = Table::new(&columns);
    for pod in pods {
        table.push(vec![
            Cell::new(&pod.name),
            Cell::styled(pod.state.as_str(), style::pod_state(pod.state, pod.ready)),
            Cell::new(if pod.ready { "yes" } else { "no" }),
            Cell::new(pod.restarts.to_string()),
            Cell::new(pod.revision.to_string()),
            Cell::new(or_none(pod.address)),
            Cell::new(or_none(pod.created_at.map(|created| age(created, now)))),
            Cell::new(&pod.message),
        ]);
    }
    format!("Pods:\n{}{}", table.render_indented(output::width()), probes_text(pods, now))
}

fn describe_pod(pod: &Pod, now: Timestamp) -> String {
    let mut lines = Fields::default();
    lines.add("Name", &pod.name);
    lines.add("App", pod.app.as_str());
    let ready = if pod.ready { "ready" } else { "not ready" };
    let reason = if pod.message.is_empty() { "" } else { &format!("; {}", pod.message) };
    lines.add("State", format!("{}, {ready}{reason}", pod.state));
    lines.add("Revision", pod.revision.to_string());
    lines.add("Restarts", pod.restarts.to_string());
    lines.add("Image", or_none(pod.image.as_ref()));
    lines.add("Address", or_none(pod.address));
    lines.add("Container", or_none(pod.container_id.as_ref()));
    let ago = |time: Option<Timestamp>| or_none(time.map(|time| format!("{} ago", age(time, now))));
    lines.add("Created", ago(pod.created_at));
    lines.add("Started", ago(pod.started_at));
    lines.text + &probes_text(std::slice::from_ref(pod), now)
}

fn events_text(events: &[Event], now: Timestamp) -> String {
    if events.is_empty() {
        return "Events:      <none>\n".to_owned();
    }
    format!("Events:\n{}", output::table(events, false, now).render_indented(output::width()))
}
