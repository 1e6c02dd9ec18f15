//! The operations of the fake runtime.

/// An operation of [`FakeRuntime`](super::FakeRuntime), for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `ContainerRuntime::info`.
    Info,
    /// `ContainerRuntime::list`.
    List,
    /// `ContainerRuntime::inspect`.
    Inspect,
    /// `ContainerRuntime::resolve`.
    Resolve,
    /// `ContainerRuntime::create`.
    Create,
    /// `ContainerRuntime::start`.
    Start,
    /// `ContainerRuntime::stop`.
    Stop,
    /// `ContainerRuntime::remove`.
    Remove,
    /// `ContainerRuntime::claim`.
    Claim,
    /// `ContainerRuntime::signal`.
    Signal,
    /// `ContainerRuntime::events`.
    Events,
    /// `Networks::ensure`.
    EnsureNetwork,
    /// `Networks::find`.
    FindNetwork,
    /// `Networks::remove`.
    RemoveNetwork,
    /// `Networks::publish_names`.
    PublishNames,
    /// `Exec::exec`.
    Exec,
    /// `Files::put`.
    PutFiles,
    /// `Files::read`.
    ReadFiles,
    /// `Logs::read`.
    Logs,
    /// `StatsReader::read`.
    Stats,
    /// `Dialer::probe`.
    Probe,
    /// `Dialer::connect`.
    Connect,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 22] = [
        Self::Info,
        Self::List,
        Self::Inspect,
        Self::Resolve,
        Self::Create,
        Self::Start,
        Self::Stop,
        Self::Remove,
        Self::Claim,
        Self::Signal,
        Self::Events,
        Self::EnsureNetwork,
        Self::FindNetwork,
        Self::RemoveNetwork,
        Self::PublishNames,
        Self::Exec,
        Self::PutFiles,
        Self::ReadFiles,
        Self::Logs,
        Self::Stats,
        Self::Probe,
        Self::Connect,
    ];

    /// Returns the verb for the journal, such as `create`.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::List => "list",
            Self::Inspect => "inspect",
            Self::Resolve => "resolve",
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Claim => "claim",
            Self::Signal => "signal",
            Self::Events => "events",
            Self::EnsureNetwork => "network",
            Self::FindNetwork => "find network",
            Self::RemoveNetwork => "remove network",
            Self::PublishNames => "publish names",
            Self::Exec => "exec",
            Self::PutFiles => "put files",
            Self::ReadFiles => "read files",
            Self::Logs => "logs",
            Self::Stats => "stats",
            Self::Probe => "probe",
            Self::Connect => "connect",
        }
    }
}
