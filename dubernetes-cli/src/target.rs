//! With whom a command speaks: a running orchestrator, or, where none runs, the same router and
//! controller inside this process. The commands cannot tell the two apart but by asking.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use dubernetes_api::client::Endpoint;
use dubernetes_api::wire::{Problem, ProblemKind};
use dubernetes_api::{Client, ClientError};
use dubernetes_core::app::InstanceName;
use dubernetes_core::error::chain;

use crate::args::{IngressArgs, WaitArgs};
use crate::report::{self, CliError, RETRY_HELP, Result, UNREACHABLE, USAGE, io_reason};
use crate::settings::Settings;
use crate::wiring::InProcess;

pub(crate) use dubernetes_controller::Mode;

/// How long an orchestrator that took the connection may take to say who it is.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// An orchestrator to speak with.
#[derive(Debug)]
pub(crate) struct Target {
    /// Speaks with it.
    pub(crate) client: Client,
    in_process: Option<InProcess>,
}

impl Target {
    /// One that runs.
    pub(crate) fn of(client: Client) -> Self {
        Self { client, in_process: None }
    }

    /// Whether it ends with this command.
    pub(crate) fn is_in_process(&self) -> bool {
        self.in_process.is_some()
    }

    /// Finds or makes one, does the work, and lets go of it.
    pub(crate) async fn with<T>(
        settings: &Settings,
        mode: Mode,
        work: impl AsyncFnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let target = match running(settings).await? {
            Some(client) => Self::of(client),
            None => Self::in_process(settings, mode).await?,
        };
        let result = work(&target).await;
        if let Some(in_process) = target.in_process {
            in_process.close().await;
        }
        result
    }

    /// The same for a command that may leave before the work is done.
    pub(crate) async fn with_wait<T>(
        settings: &Settings,
        wait: &WaitArgs,
        work: impl AsyncFnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        if wait.detach && running(settings).await?.is_none() {
            return Err(CliError::with_exit(
                UNREACHABLE,
                "`--detach` leaves the work to an orchestrator, and none is running",
            )
            .help("start one with `dubernetes serve`, or leave out `--detach`"));
        }
        Self::with(settings, Mode::Act, work).await
    }

    async fn in_process(settings: &Settings, mode: Mode) -> Result<Self> {
        let in_process = InProcess::start(settings, &without_flags(settings)?, mode).await?;
        if mode == Mode::Observe {
            report::note("no orchestrator is running; this command works by itself");
        }
        Ok(Self { client: in_process.client(), in_process: Some(in_process) })
    }
}

/// The settings of an orchestrator that no flag of this command names.
pub(crate) fn without_flags(settings: &Settings) -> Result<IngressArgs> {
    IngressArgs::without_flags(&settings.file).map_err(|error| {
        CliError::from(error)
            .help("this flag of `dubernetes serve` was read from its variable `DUBERNETES_…`")
    })
}

/// The client of the orchestrator that runs, if one does. One that was named must answer.
pub(crate) async fn running(settings: &Settings) -> Result<Option<Client>> {
    if let Some(host) = &settings.host {
        let client = named(host)?;
        let help = "start it with `dubernetes serve`, or leave out `--host`";
        reach(&client, settings).await.map_err(|failure| {
            if failure.exit_code() == UNREACHABLE { failure.help(help) } else { failure }
        })?;
        return Ok(Some(client));
    }
    let paths = &settings.paths;
    for socket in [Some(&paths.socket), paths.system_socket.as_ref()].into_iter().flatten() {
        if is_served(socket)? {
            let client = Client::unix(socket)?;
            hello(&client, settings).await?;
            return Ok(Some(client));
        }
    }
    Ok(None)
}

fn named(host: &str) -> Result<Client> {
    let usage = |what: String| {
        CliError::with_exit(USAGE, what)
            .help("for example `--host unix:///run/dubernetes/dubernetes.sock`")
    };
    if let Some(path) = host.strip_prefix("unix://") {
        if !path.starts_with('/') {
            let what = "the path of the socket in `--host` must begin with `/`, not";
            return Err(usage(format!("{what} `{}`", path.escape_debug())));
        }
        return Ok(Client::unix(path)?);
    }
    Client::http(host).map_err(|_| {
        usage(format!(
            "`--host` is `unix:///path` or `http://address:port`, not `{}`",
            host.escape_debug()
        ))
    })
}

/// Whether somebody listens at a socket.
fn is_served(socket: &Path) -> Result<bool> {
    match UnixStream::connect(socket) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::PermissionDenied => Err(CliError::with_exit(
                UNREACHABLE,
                format!("this user may not speak with the orchestrator at `{}`", socket.display()),
            )
            .help("run it as the orchestrator's user, or choose your own `--state-dir`")),
            _ => Ok(false),
        },
    }
}

/// A named orchestrator must answer. What the system says of its socket is the best reason.
async fn reach(client: &Client, settings: &Settings) -> Result {
    if let Endpoint::Unix(socket) = client.endpoint()
        && let Err(error) = UnixStream::connect(socket)
    {
        let endpoint = client.endpoint();
        let what = format!("no orchestrator answers at {endpoint}: {}", io_reason(&error));
        return Err(CliError::with_exit(UNREACHABLE, what));
    }
    hello(client, settings).await
}

async fn hello(client: &Client, settings: &Settings) -> Result {
    match tokio::time::timeout(HELLO_LIMIT, client.version()).await {
        // Who did not name an instance means whichever is there.
        Ok(Ok(version))
            if settings.instance != InstanceName::default()
                && version.instance != settings.instance =>
        {
            Err(CliError::new(format!(
                "the orchestrator at {} runs the instance `{}`, not `{}`",
                client.endpoint(),
                version.instance,
                settings.instance
            )))
        }
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(CliError::with_exit(
            UNREACHABLE,
            format!("no orchestrator answers at {}: it is silent", client.endpoint()),
        )),
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable { .. } => Self::with_exit(UNREACHABLE, chain(&error)),
            ClientError::Problem(problem) => {
                let mut failure = Self::new(problem.to_string());
                for field in &problem.errors {
                    let path =
                        if field.path.is_empty() { "" } else { &format!("{}: ", field.path) };
                    failure = failure.line(format!("{path}{}", field.message));
                }
                for hint in problem.errors.iter().filter_map(|field| field.hint.clone()) {
                    failure = failure.help(hint);
                }
                for help in ways_out(&problem) {
                    failure = failure.help(help);
                }
                failure.problem(*problem)
            }
            ClientError::Protocol { message } => Self::new(message),
        }
    }
}

/// What can be done about a problem that says no more than what it is.
fn ways_out(problem: &Problem) -> Vec<String> {
    if problem.is(ProblemKind::PreviouslyFailed) {
        return vec![RETRY_HELP.to_owned()];
    }
    if problem.is(ProblemKind::RouteTaken) {
        return vec!["give it another host or path in `access`".to_owned()];
    }
    match problem.extra.get("revisions").and_then(serde_json::Value::as_array) {
        Some(kept) => {
            let kept: Vec<_> = kept.iter().map(ToString::to_string).collect();
            vec![format!("there are: {}", kept.join(", "))]
        }
        None => Vec::new(),
    }
}
