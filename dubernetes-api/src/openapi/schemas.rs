//! Schemas of the core's types for the OpenAPI document.
//!
//! The core does not depend on utoipa, so its types are mirrored here; a test compares the fields.
//! The types are never instantiated.
#![expect(dead_code, reason = "these types are read by the derive macro only")]

use utoipa::ToSchema;

/// Spec of an app. The document replaces this schema by [`dubernetes_manifest::reference::schema`].
#[derive(ToSchema)]
pub(crate) struct AppSpec;

/// Phase of an app.
#[derive(ToSchema)]
pub(crate) enum Phase {
    Pending,
    Progressing,
    Ready,
    Degraded,
    Failed,
    Deleting,
}

/// State of a pod.
#[derive(ToSchema)]
pub(crate) enum PodState {
    Pending,
    Starting,
    Running,
    BackOff,
    Draining,
    Stopping,
    Exited,
    Unknown,
}

/// What an apply changed.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Change {
    Created,
    Configured,
    Unchanged,
}

/// A recorded event.
#[derive(ToSchema)]
pub(crate) struct Event {
    /// Increases with every record.
    id: u64,
    /// Time of the last occurrence.
    #[schema(format = DateTime)]
    time: String,
    /// Time of the first occurrence in a series of equal events.
    #[schema(format = DateTime)]
    first_at: String,
    /// Whether the event needs attention.
    #[schema(rename = "type")]
    kind: EventKind,
    /// App that the event is about; null for the instance itself.
    app: Option<String>,
    /// Pod that the event is about, if any.
    pod: Option<String>,
    /// Revision that the event is about, if any.
    revision: Option<u64>,
    /// Reason in upper camel case, such as `PullFailed`.
    reason: String,
    /// Human-readable description.
    message: String,
    /// Number of occurrences in a series of equal events.
    count: u64,
}

/// A request to an app, as the ingress has logged it when its answer was complete.
#[derive(ToSchema)]
pub(crate) struct AccessLogEntry {
    /// Time of the end.
    #[schema(format = DateTime)]
    time: String,
    /// App.
    app: String,
    /// Pod that got the request; null if none did, and the ingress answered itself.
    pod: Option<String>,
    /// Address of the client, also behind trusted proxies.
    client: String,
    /// Method.
    method: String,
    /// Host, without a port.
    host: String,
    /// Path as the client wrote it, without the query.
    path: String,
    /// Version of HTTP between client and ingress, such as `HTTP/1.1`.
    protocol: String,
    /// Status of the answer. 499: the client closed the connection before.
    status: u16,
    /// Size of the body of the answer.
    bytes: u64,
    /// Time from the first byte of the request to the end of the answer.
    duration_ms: u64,
}

/// Whether an event needs attention.
#[derive(ToSchema)]
pub(crate) enum EventKind {
    Normal,
    Warning,
}

/// Name and version of the container engine.
#[derive(ToSchema)]
pub(crate) struct RuntimeInfo {
    /// Name, such as `Docker Engine`.
    name: String,
    /// Version, such as `20.10.24`.
    version: String,
    /// Version of the engine's API in use.
    api_version: String,
    /// Operating system and architecture, such as `linux/amd64`.
    platform: String,
}

/// Predicted steps of one app.
#[derive(ToSchema)]
pub(crate) struct Forecast {
    /// Steps in order.
    steps: Vec<Step>,
    /// Lowest number of ready replicas during the steps.
    fewest_ready: u32,
    /// Highest number of live replicas during the steps.
    most_live: u32,
    /// Whether the desired state is reached after the steps.
    converges: bool,
}

/// One predicted step.
#[derive(ToSchema)]
pub(crate) struct Step {
    /// Action: `create`, `start`, `stop`, `remove`, `route`, `wait`, …
    action: String,
    /// Pod that the step acts on.
    pod: Option<String>,
    /// Reason for the action, or what is waited for.
    reason: String,
    /// Number of ready replicas after the step.
    ready: u32,
}

/// Explanation of the state of an app or a pod.
#[derive(ToSchema)]
pub(crate) struct Why {
    /// Kind of the explained object.
    kind: SubjectKind,
    /// Name of the explained object.
    name: String,
    /// Its phase or state.
    state: String,
    /// Root cause; empty if there is no problem.
    cause: String,
    /// Causal chain, from the desired state to the next action.
    chain: Vec<WhyLink>,
    /// Last output of the container that explains the state.
    output: Option<WhyOutput>,
    /// Suggested remedies.
    help: Vec<String>,
}

/// Kind of an explained object.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum SubjectKind {
    App,
    Pod,
}

/// One link of a causal chain.
#[derive(ToSchema)]
pub(crate) struct WhyLink {
    /// Kind of the link.
    step: WhyStep,
    /// Statement.
    text: String,
    /// Further details; may be empty.
    detail: String,
    /// Time of the statement, if known.
    #[schema(format = DateTime)]
    at: Option<String>,
}

/// Kinds of links, in the order of the chain.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum WhyStep {
    Desired,
    Observed,
    Rule,
    Decision,
    Result,
    Next,
}

/// Last output of a container.
#[derive(ToSchema)]
pub(crate) struct WhyOutput {
    /// Pod of the container.
    pod: String,
    /// Lines, oldest first.
    #[schema(max_items = 20)]
    lines: Vec<String>,
}
