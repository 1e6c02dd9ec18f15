//! The orchestrator that a command talks to: a running one, or the same router and controller in
//! this process. Commands use both in the same way.

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
use crate::host::Host;
use crate::report::{self, CliError, RETRY_HELP, Result, UNREACHABLE, io_reason};
use crate::settings::Settings;
use crate::ssh::Tunnel;
use crate::version::VERSION;
use crate::wiring::InProcess;

pub(crate) use dubernetes_controller::Mode;

/// How long an orchestrator that accepted the connection may take to report its version.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// An orchestrator to talk to.
#[derive(Debug)]
pub(crate) struct Target {
    /// Client of the orchestrator.
    pub(crate) client: Client,
    in_process: Option<InProcess>,
}

impl Target {
    /// Returns the target for a running orchestrator.
    pub(crate) fn running(client: Client) -> Self {
        Self { client, in_process: None }
    }

    /// Returns whether the orchestrator ends with this command.
    pub(crate) fn is_in_process(&self) -> bool {
        self.in_process.is_some()
    }

    /// Warns, if the orchestrator ends with this command, that nothing replaces replicas from now
    /// on. `files` are the files of the command, for the suggested `up`.
    pub(crate) fn warn_unsupervised(&self, files: &str) {
        if !self.is_in_process() {
            return;
        }
        let routes = self.in_process.as_ref().is_some_and(InProcess::is_outlived_by_ingress);
        report::warn(match routes {
            true => {
                "no orchestrator is running, so from now on nothing replaces a replica that dies"
            }
            false => {
                "no orchestrator is running, so from now on nothing routes requests, and nothing \
                 replaces a replica that dies"
            }
        });
        let foreground = match files {
            "" | "-" => String::new(),
            files => format!(", or in the foreground with `dubernetes up {files}`"),
        };
        report::help(&format!("keep it running with `dubernetes serve`{foreground}"));
    }

    /// Runs `work` with a running orchestrator, or with one in this process in the given mode.
    pub(crate) async fn with<T>(
        settings: &Settings,
        mode: Mode,
        work: impl AsyncFnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let target = match find_running(settings).await? {
            Some(client) => Self::running(client),
            None => match Self::start_in_process(settings, mode).await {
                Ok(target) => target,
                // An orchestrator may have started in the meantime.
                Err(error) => Self::running(find_running(settings).await?.ok_or(error)?),
            },
        };
        let result = work(&target).await;
        match target.in_process {
            Some(in_process) => {
                in_process.shut_down().await;
                result
            }
            None => match result {
                Ok(value) => Ok(value),
                Err(error) => Err(explain_versions(&target.client, error).await),
            },
        }
    }

    /// Runs `work` for a command that changes something. With `--detach`, fails if no orchestrator
    /// is running that could do the work.
    pub(crate) async fn with_wait<T>(
        settings: &Settings,
        wait: &WaitArgs,
        work: impl AsyncFnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        if wait.detach && find_running(settings).await?.is_none() {
            let what = "`--detach` needs a running orchestrator, and none is running";
            return Err(CliError::with_exit(UNREACHABLE, what)
                .help("start one with `dubernetes serve`, or omit `--detach`"));
        }
        Self::with(settings, Mode::Act, work).await
    }

    async fn start_in_process(settings: &Settings, mode: Mode) -> Result<Self> {
        let in_process = InProcess::start(settings, &ingress_args(settings)?, mode).await?;
        if mode == Mode::Observe {
            report::note("no orchestrator is running; this command runs in its own process");
        }
        Ok(Self { client: in_process.client(), in_process: Some(in_process) })
    }
}

/// Returns the settings of an orchestrator in this process, from environment and settings file.
pub(crate) fn ingress_args(settings: &Settings) -> Result<IngressArgs> {
    settings.file.ingress_args().map_err(|error| {
        let help = "the value of this flag of `dubernetes serve` comes from the environment or \
                    the settings file";
        CliError::from(error).help(help)
    })
}

/// Returns a client of the running orchestrator, if one is running. One named by `--host` must
/// answer.
pub(crate) async fn find_running(settings: &Settings) -> Result<Option<Client>> {
    if let Some(host) = &settings.host {
        return find_named(settings, host).await.map(Some);
    }
    let paths = &settings.paths;
    for socket in [Some(&paths.socket), paths.system_socket.as_ref()].into_iter().flatten() {
        if is_served(socket)? {
            let client = Client::unix(socket)?;
            check_instance(&client, settings).await?;
            return Ok(Some(client));
        }
    }
    Ok(None)
}

/// Returns a client of the orchestrator that `--host` or a context names.
async fn find_named(settings: &Settings, host: &str) -> Result<Client> {
    let client = match Host::parse(host)? {
        Host::Unix(socket) => Client::unix(socket)?,
        Host::Http(url) => Client::http(&url)?,
        Host::Ssh(host) => {
            let open = || Tunnel::open(&settings.ssh, &host, &settings.instance);
            let tunnel = settings.tunnel.get_or_try_init(open).await?;
            let client = tunnel.client()?;
            check_instance(&client, settings).await.map_err(|error| tunnel.explain(error))?;
            return Ok(client);
        }
    };
    let help = "start it with `dubernetes serve`, or omit `--host`";
    check_named(&client, settings)
        .await
        .map_err(|error| if error.exit_code() == UNREACHABLE { error.help(help) } else { error })?;
    Ok(client)
}

/// Returns whether a process listens at a socket.
fn is_served(socket: &Path) -> Result<bool> {
    match UnixStream::connect(socket) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::PermissionDenied => Err(CliError::with_exit(
                UNREACHABLE,
                format!("cannot connect to `{}`: permission denied", socket.display()),
            )
            .help(
                "run the command as the orchestrator's user or as a member of the socket's group \
                 (`serve --socket-group`), or use your own `--state-dir`",
            )),
            _ => Ok(false),
        },
    }
}

/// Checks that a named orchestrator answers. The system's error for its socket is the best reason.
async fn check_named(client: &Client, settings: &Settings) -> Result {
    if let Endpoint::Unix(socket) = client.endpoint()
        && let Err(error) = UnixStream::connect(socket)
    {
        let endpoint = client.endpoint();
        let what = format!("no orchestrator answers at {endpoint}: {}", io_reason(&error));
        return Err(CliError::with_exit(UNREACHABLE, what));
    }
    check_instance(client, settings).await
}

/// Checks that the orchestrator answers and serves the instance that was named.
async fn check_instance(client: &Client, settings: &Settings) -> Result {
    match tokio::time::timeout(HELLO_TIMEOUT, client.version()).await {
        // Without `--instance` any instance will do.
        Ok(Ok(version))
            if settings.instance != InstanceName::default()
                && version.instance != settings.instance =>
        {
            Err(CliError::new(format!(
                "the orchestrator at {} serves instance `{}`, not `{}`",
                client.endpoint(),
                version.instance,
                settings.instance
            )))
        }
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(CliError::with_exit(
            UNREACHABLE,
            format!("no orchestrator answers at {}: connection timed out", client.endpoint()),
        )),
    }
}

/// Adds to an error that the orchestrator has another version than this program, which may be the
/// cause: a command or an answer that only one of them knows.
async fn explain_versions(client: &Client, error: CliError) -> CliError {
    if !error.is_misunderstood() {
        return error;
    }
    match tokio::time::timeout(HELLO_TIMEOUT, client.version()).await {
        Ok(Ok(found)) if found.version != VERSION => error.help(format!(
            "this program is version {VERSION}, and the orchestrator {}: use the same version",
            found.version
        )),
        Ok(_) | Err(_) => error,
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable { .. } => Self::with_exit(UNREACHABLE, chain(&error)),
            ClientError::Problem(problem) => {
                let mut cli_error = Self::new(problem.to_string());
                for field in &problem.errors {
                    let path =
                        if field.path.is_empty() { "" } else { &format!("{}: ", field.path) };
                    cli_error = cli_error.line(format!("{path}{}", field.message));
                }
                for hint in problem.errors.iter().filter_map(|field| field.hint.clone()) {
                    cli_error = cli_error.help(hint);
                }
                if let Some(help) = help_for(&problem) {
                    cli_error = cli_error.help(help);
                }
                let unknown = [
                    ProblemKind::InvalidJson,
                    ProblemKind::InvalidQuery,
                    ProblemKind::InvalidSpec,
                    ProblemKind::MethodNotAllowed,
                ];
                let misunderstood = unknown.into_iter().any(|kind| problem.is(kind));
                cli_error.misunderstood(misunderstood).problem(*problem)
            }
            ClientError::Protocol { message } => Self::new(message).misunderstood(true),
        }
    }
}

/// Returns what to do about a problem without a hint of its own.
fn help_for(problem: &Problem) -> Option<String> {
    if problem.is(ProblemKind::PreviouslyFailed) {
        return Some(RETRY_HELP.to_owned());
    }
    if problem.is(ProblemKind::StandsBy) {
        let help = "run the command there, or name it, such as by `--host ssh://NODE`";
        return Some(help.to_owned());
    }
    if problem.is(ProblemKind::TearingDown) {
        return Some("`dubernetes down` waits until that is done".to_owned());
    }
    if problem.is(ProblemKind::RouteTaken) {
        return Some("use another host or path in `access`, or another port in `ports`".to_owned());
    }
    if problem.is(ProblemKind::SwitchedOff) {
        let help = "start `dubernetes serve` with the ingress nginx and `--access-log`, or \
                    DUBERNETES_ACCESS_LOG=true";
        return Some(help.to_owned());
    }
    let revisions = problem.extra.get("revisions")?.as_array()?;
    let revisions: Vec<_> = revisions.iter().map(ToString::to_string).collect();
    Some(format!("existing revisions: {}", revisions.join(", ")))
}
