//! An orchestrator in the process of one command.

use dubernetes_api::Client;
use dubernetes_api::server::SocketAccess;
use dubernetes_api::wire::Mode as Lifetime;
use dubernetes_controller::Mode;
use dubernetes_core::error::chain;
use dubernetes_core::runtime::RuntimeError;
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::{Adapters, ApiSocket, Purpose, RunningOrchestrator, refused};
use crate::args::{IngressArgs, IngressKind};
use crate::report::{CliError, Result};
use crate::settings::Settings;

/// An orchestrator in the process of one command, for that command only.
#[derive(Debug)]
pub(crate) struct InProcess {
    running: RunningOrchestrator,
    client: Client,
    /// Whether requests are routed after its end.
    outlived_by_ingress: bool,
    /// Holds the socket; private to this user, and removed when dropped.
    _folder: TempDir,
}

impl InProcess {
    /// Starts the orchestrator. In [`Mode::Act`] the engine must answer.
    pub(crate) async fn start(settings: &Settings, args: &IngressArgs, mode: Mode) -> Result<Self> {
        let purpose = match mode {
            Mode::Act => Purpose::Command,
            Mode::Observe => Purpose::Read,
        };
        let adapters = Adapters::open(settings, args, purpose).await?;
        if mode == Mode::Act {
            adapters.engine.runtime.info().await.map_err(|error| match error {
                RuntimeError::Rejected { .. } => refused(&error),
                error => CliError::new(chain(&error))
                    .help("start the engine, or name it with DOCKER_HOST or DUBERNETES_ENGINE"),
            })?;
            adapters.check_engine(&settings.instance).await?;
        }
        let failed =
            |error: std::io::Error| CliError::with_source("cannot create a private socket", &error);
        let folder = tempfile::Builder::new().prefix("dubernetes-").tempdir().map_err(failed)?;
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let client = Client::unix(socket)?;
        let socket = ApiSocket { listener, access: SocketAccess::SameUser };
        let running = adapters.start(settings, args, mode, Lifetime::InProcess, socket);
        let outlived_by_ingress = args.ingress() == IngressKind::Nginx;
        Ok(Self { running, client, outlived_by_ingress, _folder: folder })
    }

    /// Returns a client of the orchestrator.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns whether requests are routed after the end of the orchestrator.
    pub(crate) fn is_outlived_by_ingress(&self) -> bool {
        self.outlived_by_ingress
    }

    /// Stops the orchestrator. Pods keep running, and so does an ingress that is a container.
    pub(crate) async fn shut_down(self) {
        drop(self.client);
        self.running.shut_down().await;
    }
}
