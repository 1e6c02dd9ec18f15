//! `port-forward`: forwards local ports to a pod. Each connection is a tunnel through the API to a
//! pod that is ready at that moment.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dubernetes_api::client::Tunnel;
use dubernetes_api::{Client, ClientError};
use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::error::chain;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::{LineFormat, PortForwardArgs, PortPair};
use crate::output;
use crate::report::{self, CliError, Result};
use crate::resolve::{Found, find};
use crate::settings::Settings;
use crate::target::{Mode, Target};

/// Connections at a time; further ones wait until one ends.
const MAX_CONNECTIONS: usize = 512;

/// Pause after a failed accept, for example if file descriptors ran out.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

pub(super) async fn run(args: &PortForwardArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let backend = Arc::new(Backend::find(&target.client, args).await?);
        let mut listeners = Vec::new();
        for ports in &args.ports {
            listeners.push((listen(args.address, *ports).await?, ports.remote));
        }
        if !args.address.is_loopback() {
            let what = format!("anyone who can reach {} can connect to the pod", args.address);
            report::warn(&what);
        }
        for (listener, remote) in &listeners {
            print_listener(args.output, &backend, listener, *remote)?;
        }
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut serving = JoinSet::new();
        for (listener, remote) in listeners {
            serving.spawn(serve(listener, remote, Arc::clone(&backend), Arc::clone(&permits)));
        }
        // Runs until an interrupt drops this future, and with it all connections.
        while serving.join_next().await.is_some() {}
        Ok(())
    })
    .await
}

async fn listen(address: IpAddr, ports: PortPair) -> Result<TcpListener> {
    let local = SocketAddr::new(address, ports.local);
    TcpListener::bind(local).await.map_err(|error| {
        let cli_error = CliError::with_io_source(&format!("cannot listen on {local}"), &error);
        match error.kind() {
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied => {
                cli_error.help(format!("`:{}` uses a free port", ports.remote))
            }
            _ => cli_error,
        }
    })
}

#[derive(Serialize)]
struct Listening<'a> {
    name: &'a str,
    address: IpAddr,
    local_port: u16,
    remote_port: u16,
}

fn print_listener(
    format: LineFormat,
    backend: &Backend,
    listener: &TcpListener,
    remote: u16,
) -> Result {
    let local = listener.local_addr()?;
    let name = backend.name();
    match format {
        LineFormat::Text => output::print(&format!("Forwarding from {local} -> {name}:{remote}\n")),
        LineFormat::Json => {
            let line = Listening {
                name: &name,
                address: local.ip(),
                local_port: local.port(),
                remote_port: remote,
            };
            output::print(&format!("{}\n", serde_json::to_string(&line)?))
        }
    }
}

/// Accepts and forwards connections until dropped.
async fn serve(listener: TcpListener, remote: u16, backend: Arc<Backend>, permits: Arc<Semaphore>) {
    let mut open = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                report::note(&format!("cannot accept a connection: {error}"));
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let backend = Arc::clone(&backend);
        open.spawn(async move {
            forward(stream, remote, &backend).await;
            drop(permit);
        });
        while open.try_join_next().is_some() {}
    }
}

async fn forward(mut stream: TcpStream, remote: u16, backend: &Backend) {
    // The tunnel delivers whole writes. A failure here only costs time.
    let _ = stream.set_nodelay(true);
    let tunnel = match backend.connect(remote).await {
        Ok(tunnel) => tunnel,
        Err(reason) => {
            report::note(&format!("cannot forward a connection: {reason}"));
            return reset(&stream);
        }
    };
    if !tunnel.join(&mut stream).await {
        reset(&stream);
    }
}

/// Makes the peer see a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    // A peer that has already closed needs no reset.
    let _ = stream.set_zero_linger();
}

/// Where connections go.
#[derive(Debug)]
enum Backend {
    /// To this pod.
    Pod { client: Client, name: PodName },
    /// To a ready pod of this app: the last one as long as it is ready.
    App { client: Client, name: AppName, last: Mutex<PodName> },
}

impl Backend {
    async fn find(client: &Client, args: &PortForwardArgs) -> Result<Self> {
        let client = client.clone();
        match find(&client, &args.name).await? {
            Found::Pod(pod) if pod.started_at.is_none() => {
                Err(CliError::new(format!("pod `{}` is not running: {}", pod.name, pod.state))
                    .help(format!("`dubernetes why pod {}` explains the cause", pod.name)))
            }
            Found::Pod(pod) => Ok(Self::Pod { client, name: pod.name }),
            Found::App(app) => {
                let ready = ready_pods(&client, &app.name).await?;
                let Some(first) = ready.into_iter().next() else {
                    return Err(CliError::new(format!("app `{}` has no ready pod", app.name))
                        .help(format!("`dubernetes why {}` explains the cause", app.name)));
                };
                report::note(&format!("connections to app `{}` go to {first}", app.name));
                Ok(Self::App { client, name: app.name, last: Mutex::new(first) })
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Pod { name, .. } => name.to_string(),
            Self::App { name, .. } => name.to_string(),
        }
    }

    /// Opens a tunnel.
    ///
    /// # Errors
    ///
    /// Returns the reason as text.
    async fn connect(&self, port: u16) -> Result<Tunnel, String> {
        match self {
            Self::Pod { client, name } => {
                client.forward(name.as_str(), port).await.map_err(|error| pod_reason(name, &error))
            }
            Self::App { client, name, last } => {
                let mut pods = ready_pods(client, name).await.map_err(|error| chain(&error))?;
                let preferred = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                pods.sort_by_key(|pod| *pod != preferred);
                let mut reason = format!("app `{name}` has no ready pod");
                for pod in pods {
                    match client.forward(pod.as_str(), port).await {
                        Ok(tunnel) => {
                            remember(last, &pod);
                            return Ok(tunnel);
                        }
                        Err(error) => reason = pod_reason(&pod, &error),
                    }
                }
                Err(reason)
            }
        }
    }
}

/// Remembers the pod, and prints a note if it is a different one.
fn remember(last: &Mutex<PodName>, pod: &PodName) {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if *last != *pod {
        report::note(&format!("connections now go to {pod} instead of {last}"));
        pod.clone_into(&mut last);
    }
}

fn pod_reason(pod: &PodName, error: &ClientError) -> String {
    format!("{pod}: {}", chain(error))
}

/// Returns the names of the ready pods of an app.
async fn ready_pods(client: &Client, app: &AppName) -> Result<Vec<PodName>, ClientError> {
    let pods = client.pods(Some(app.as_str())).await?;
    Ok(pods.into_iter().filter(|pod| pod.ready).map(|pod| pod.name).collect())
}
