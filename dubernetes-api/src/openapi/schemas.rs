//! How the values of the core look in the OpenAPI document.
//!
//! The core knows nothing of HTTP, so its types are described here once more; a test holds both
//! descriptions together. Nothing is ever made of these types.
#![expect(dead_code, reason = "these types are read by the derive macro only")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// Everything a user says about one app. Only `name` and `image` are required.
#[derive(ToSchema)]
pub(crate) struct AppSpec {
    /// The app's name: 1 to 63 of `a-z`, `0-9` and `-`.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    name: String,
    /// The image that every replica runs.
    #[schema(min_length = 1, max_length = 255)]
    image: String,
    /// How many replicas to keep running.
    #[schema(required = false, default = 1, maximum = 250)]
    replicas: u16,
    /// How requests reach the app. Without it, nothing is routed.
    access: Option<Access>,
    /// The port on which each replica listens.
    #[schema(required = false, default = 80, minimum = 1, maximum = 65535)]
    port: u16,
    /// Replaces the image's entry point. Never passed through a shell.
    #[schema(required = false)]
    command: Vec<String>,
    /// Replaces the image's default arguments. Never passed through a shell.
    #[schema(required = false)]
    args: Vec<String>,
    /// Environment variables.
    #[schema(required = false)]
    env: BTreeMap<String, EnvValue>,
    /// Files with lines `KEY=VALUE`; later ones win, and `env` over all.
    #[schema(required = false)]
    env_file: Vec<FileRef>,
    /// Files that are put into every container, by their path there.
    #[schema(required = false)]
    files: BTreeMap<String, ConfigFile>,
    /// Limits on what one replica may use.
    resources: Option<Resources>,
    /// Named volumes and folders of the host, such as `cache:/var/cache/web`.
    #[schema(required = false)]
    volumes: Vec<String>,
    /// Labels for the user's own use.
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
    /// How a replica is stopped.
    stop: Option<Stop>,
    /// When the image is pulled.
    pull: Option<PullPolicy>,
    /// How a replica is asked whether it takes requests.
    health: Option<HealthSpec>,
    /// How one revision takes the place of another.
    rollout: Option<RolloutSpec>,
    /// A command that has to succeed once, before a new revision replaces anything.
    pre_deploy: Option<PreDeploy>,
}

/// How a replica is asked: exactly one of `http`, `tcp` and `exec`.
#[derive(ToSchema)]
pub(crate) struct HealthSpec {
    /// `GET` this path: a status from 200 to 399 is a good answer.
    http: Option<String>,
    /// Open a connection; `true`.
    tcp: Option<bool>,
    /// Run this command in the container: exit code 0 is a good answer.
    exec: Option<Vec<String>>,
    /// The port that is asked; the app's own unless given.
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    /// The time between two questions to a replica that is ready.
    #[schema(required = false, default = "5s")]
    interval: String,
    /// How long an answer may take.
    #[schema(required = false, default = "2s")]
    timeout: String,
    /// Failures until then do not count for `replace_after`, unless it was ready before.
    #[schema(required = false, default = "1m")]
    start_period: String,
    /// So many good answers in a row make a replica ready.
    #[schema(required = false, default = 1, minimum = 1, maximum = 1000)]
    success: u16,
    /// So many bad answers in a row take it out of the routes.
    #[schema(required = false, default = 2, minimum = 1, maximum = 1000)]
    failures: u16,
    /// So many bad answers in a row have it replaced.
    #[schema(required = false, default = 6, minimum = 1, maximum = 1000)]
    replace_after: u16,
}

/// How one revision takes the place of another.
#[derive(ToSchema)]
pub(crate) struct RolloutSpec {
    /// So many replicas more than wanted may be live on the way; 1 unless given.
    max_surge: Option<Share>,
    /// So many of the wanted replicas may be missing on the way; 0 unless given.
    max_unavailable: Option<Share>,
    /// A new replica counts once it was ready for so long.
    #[schema(required = false, default = "2s")]
    min_ready: String,
    /// A revision that makes no progress for so long has failed.
    #[schema(required = false, default = "2m")]
    progress_deadline: String,
    /// Which of the two comes first.
    order: Option<Order>,
    /// What happens when the revision fails.
    on_failure: Option<OnFailure>,
    /// So many revisions are kept to go back to.
    #[schema(required = false, default = 10, minimum = 1, maximum = 100)]
    history: u16,
}

/// A number of replicas, or a percentage of them.
#[derive(ToSchema)]
pub(crate) enum Share {
    /// So many.
    #[schema(title = "Count")]
    Count(u16),
    /// Such as `25%`.
    #[schema(title = "Percent")]
    Percent(String),
}

/// Which comes first at a replacement.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum Order {
    StartFirst,
    StopFirst,
}

/// What happens when a revision fails.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum OnFailure {
    Rollback,
    Pause,
}

/// A command that has to succeed before a new revision replaces anything.
#[derive(ToSchema)]
pub(crate) struct PreDeploy {
    /// The command and its arguments.
    command: Vec<String>,
    /// How long it may take.
    #[schema(required = false, default = "5m")]
    timeout: String,
}

/// A text, or a file that holds it.
#[derive(ToSchema)]
pub(crate) enum EnvValue {
    /// As it is written.
    #[schema(title = "Text")]
    Text(String),
    /// What stands in a file.
    #[schema(title = "File")]
    File(FileRef),
}

/// A file of the one who applies.
#[derive(ToSchema)]
pub(crate) struct FileRef {
    /// Its path, as it is written.
    file: String,
    /// The first 16 digits of its content's SHA-256. It stands for a content that is stored.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    sha256: Option<String>,
    /// Its content in base64. No answer has it.
    #[schema(write_only)]
    content: Option<String>,
}

/// A file that is put into every container.
#[derive(ToSchema)]
pub(crate) struct ConfigFile {
    /// Its path where it comes from, as it is written.
    file: String,
    /// The first 16 digits of its content's SHA-256. It stands for a content that is stored.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    sha256: Option<String>,
    /// Its content in base64. No answer has it.
    #[schema(write_only)]
    content: Option<String>,
    /// Who may read it, as `chmod` writes it. Its owner is root.
    #[schema(required = false, default = "0644")]
    mode: String,
}

/// The hosts under which an app answers, and the path prefix.
#[derive(ToSchema)]
pub(crate) struct Access {
    /// One host or several.
    host: Hosts,
    /// Requests whose path begins with these segments are the app's.
    #[schema(required = false, default = "/")]
    path: String,
}

/// One host or several.
#[derive(ToSchema)]
pub(crate) enum Hosts {
    /// One.
    #[schema(title = "One")]
    One(String),
    /// Several.
    #[schema(title = "Several")]
    Several(Vec<String>),
}

/// Limits on what one replica may use.
#[derive(ToSchema)]
pub(crate) struct Resources {
    /// Processor time in cores, such as `0.5` or `500m`.
    cpu: Option<String>,
    /// Memory, such as `256Mi`.
    memory: Option<String>,
}

/// How a replica is stopped.
#[derive(ToSchema)]
pub(crate) struct Stop {
    /// The signal, such as `SIGTERM`; the image's own unless given.
    signal: Option<String>,
    /// The time between the signal and the kill, such as `10s`.
    #[schema(required = false, default = "10s")]
    grace: String,
    /// How long requests under way may take before the signal.
    #[schema(required = false, default = "30s")]
    drain: String,
}

/// When the image of a new revision is pulled.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum PullPolicy {
    Missing,
    Always,
    Never,
}

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
pub(crate) struct EngineVersion {
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
pub(crate) struct Foresight {
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
