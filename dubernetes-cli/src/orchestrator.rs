//! Starts an orchestrator in the foreground, for `serve` and `up`.

use std::sync::Arc;
use std::time::Duration;

use dubernetes_api::server::SocketAccess;
use dubernetes_api::wire::Mode as Lifetime;
use dubernetes_controller::Approver;

use crate::approval::Prompt;
use crate::args::{IngressArgs, IngressKind};
use crate::metrics::MetricsServer;
use crate::output;
use crate::report::{CliError, Result, USAGE};
use crate::settings::Settings;
use crate::socket_group::SocketGroup;
use crate::state_dir::{self, SocketGuard};
use crate::target::{Mode, find_running};
use crate::wiring::{Adapters, ApiSocket, Purpose, RunningOrchestrator, SharedState};

/// How long a shutdown waits for the list of pods.
const LIST_LIMIT: Duration = Duration::from_millis(500);

/// Locks the state folder, starts the controller and listens for commands. With a state that all
/// managers share, waits until this one may act.
pub(crate) async fn start(
    settings: &Settings,
    args: &IngressArgs,
    adopt: bool,
    group: Option<&str>,
    prompt: Option<&Arc<Prompt>>,
    shared: Option<&mut SharedState>,
) -> Result<(RunningOrchestrator, SocketGuard)> {
    if settings.host.is_some() {
        let what = "this command starts an orchestrator, so it takes no host";
        return Err(CliError::with_exit(USAGE, what).help(
            "omit `--host` and `--context`, and unset DUBERNETES_HOST; `--state-dir` moves the \
                 socket",
        ));
    }
    let approver = prompt.map(|prompt| -> Arc<dyn Approver> { Arc::<Prompt>::clone(prompt) });
    let group = group.map(SocketGroup::find).transpose()?;
    let metrics = match args.metrics_listen {
        Some(address) => Some(MetricsServer::listen(address).await?),
        None => None,
    };
    let adapters = match shared {
        Some(shared) => shared.open(settings, args, adopt, group).await?,
        None => Adapters::open(settings, args, Purpose::Serve { adopt }).await?,
    };
    let adapters = adapters.with_approver(approver).with_metrics(metrics);
    adapters.check_engine(&settings.instance).await?;
    if let Some(everyone) = args.trusted_proxies.everyone() {
        tracing::warn!("`{everyone}` is trusted, so any client can forge its address and scheme");
    }
    let (listener, guard) = state_dir::listen(&settings.paths.socket, group)?;
    let access = match group {
        Some(_) => SocketAccess::Permissions,
        None => SocketAccess::SameUser,
    };
    let socket = ApiSocket { listener, access };
    Ok((adapters.start(settings, args, Mode::Act, Lifetime::Serve, socket), guard))
}

/// Returns the line that says that the orchestrator is ready, and where.
pub(crate) fn ready_line(settings: &Settings, args: &IngressArgs) -> String {
    let lifetime = match args.ingress() {
        IngressKind::Nginx => "",
        IngressKind::Proxy => ", which ends with it",
    };
    let metrics = args.metrics_listen;
    let metrics = metrics.map_or_else(String::new, |at| format!(", metrics http://{at}/metrics"));
    format!(
        "dubernetes is ready: instance {}, socket {}, ingress {}{lifetime}{metrics}",
        settings.instance,
        settings.paths.socket.display(),
        output::urls(&args.http_bind.with_port(args.http_port)),
    )
}

/// Returns what keeps running without the orchestrator, or `None` if the instance has no pods.
/// Asks the orchestrator, which must still run; one that does not answer counts as having pods.
pub(crate) async fn what_keeps_running(
    settings: &Settings,
    args: &IngressArgs,
) -> Option<&'static str> {
    let pods = async { find_running(settings).await.ok()??.pods(None).await.ok() };
    let pods = tokio::time::timeout(LIST_LIMIT, pods).await;
    if pods.is_ok_and(|pods| pods.is_some_and(|pods| pods.is_empty())) {
        return None;
    }
    Some(match args.ingress() {
        IngressKind::Nginx => "pods and ingress keep running",
        IngressKind::Proxy => "pods keep running",
    })
}

/// Resolves when the user quits at the prompt of `--step`.
pub(crate) async fn quit_requested(prompt: Option<&Prompt>) {
    match prompt {
        Some(prompt) => prompt.quit_requested().await,
        None => std::future::pending().await,
    }
}
