//! How the values of the core look in the OpenAPI document.
//!
//! The core knows nothing of HTTP, so its types are described here once more; a test holds both
//! descriptions together. Nothing is ever made of these types. An app alone is described in the core.
#![expect(dead_code, reason = "these types are read by the derive macro only")]

use utoipa::ToSchema;

/// Everything a user says about one app. In the document it is replaced by what
/// [`dubernetes_manifest::reference::schema`] gives.
#[derive(ToSchema)]
pub(crate) struct AppSpec;

/// How an app is, in one word.
#[derive(ToSchema)]
pub(crate) enum Phase {
    Pending,
    Progressing,
    Ready,
    Degraded,
    Failed,
    Deleting,
}

/// How a pod is, in one word.
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
    /// Rises with every record.
    id: u64,
    /// When it last happened.
    #[schema(format = DateTime)]
    time: String,
    /// When it first happened, in a row of equal ones.
    #[schema(format = DateTime)]
    first_at: String,
    /// Whether a person should look.
    #[schema(rename = "type")]
    kind: EventKind,
    /// The app; none for the instance itself.
    app: Option<String>,
    /// The pod, if it is about one.
    pod: Option<String>,
    /// The revision, if it is about one.
    revision: Option<u64>,
    /// One word in upper camel case.
    reason: String,
    /// What happened.
    message: String,
    /// How often, in a row of equal ones.
    count: u64,
}

/// Whether a person should look.
#[derive(ToSchema)]
pub(crate) enum EventKind {
    Normal,
    Warning,
}

/// Who the engine is.
#[derive(ToSchema)]
#[schema(as = EngineVersion)]
pub(crate) struct RuntimeInfo {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// The version of the API that is spoken with it.
    api_version: String,
    /// Operating system and architecture.
    platform: String,
}

/// What would happen to one app.
#[derive(ToSchema)]
pub(crate) struct Forecast {
    /// The steps in their order.
    steps: Vec<Step>,
    /// The smallest number of ready replicas on the way.
    fewest_ready: u32,
    /// The largest number of live replicas on the way.
    most_live: u32,
    /// Whether the wanted state is reached at the end of the steps.
    converges: bool,
}

/// One step.
#[derive(ToSchema)]
pub(crate) struct Step {
    /// What is done: `create`, `start`, `stop`, `remove`, `route`, `wait`, …
    action: String,
    /// To which pod.
    pod: Option<String>,
    /// Why, or for what.
    reason: String,
    /// So many replicas are ready after it.
    ready: u32,
}

/// Why an app or a pod is as it is.
#[derive(ToSchema)]
pub(crate) struct Why {
    /// What it is about.
    kind: SubjectKind,
    /// Its name.
    name: String,
    /// How it is, in one word: that of its phase or state.
    state: String,
    /// The true cause; empty if all is well.
    cause: String,
    /// From what is wanted to what comes next.
    chain: Vec<WhyLink>,
    /// The last output of the container that explains it.
    output: Option<WhyOutput>,
    /// What a person can do.
    help: Vec<String>,
}

/// What a question is about.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum SubjectKind {
    App,
    Pod,
}

/// One step of a causal chain.
#[derive(ToSchema)]
pub(crate) struct WhyLink {
    /// Which step it is.
    step: WhyStep,
    /// What is so.
    text: String,
    /// More about it; may be empty.
    detail: String,
    /// When it was or will be so, where that is known.
    #[schema(format = DateTime)]
    at: Option<String>,
}

/// The steps of a causal chain, in their order.
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

/// The last output of a container.
#[derive(ToSchema)]
pub(crate) struct WhyOutput {
    /// Its pod.
    pod: String,
    /// The lines, oldest first.
    #[schema(max_items = 20)]
    lines: Vec<String>,
}
