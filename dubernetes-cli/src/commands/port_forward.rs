//! `port-forward`: ports of this machine that lead to a pod. Each connection is one through the
//! API to a pod that takes it now.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dubernetes_api::client::Tunnel;
use dubernetes_api::{Client, ClientError};
use dubernetes_core::app::AppName;
use dubernetes_core::error::chain;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::{ForwardFormat, PortForwardArgs, PortPair};
use crate::output;
use crate::report::{self, CliError, Result};
use crate::resolve::{Found, find};
use crate::settings::Settings;
use crate::target::{Mode, Target};

/// At most so many connections at a time; more wait until one has ended.
const CONNECTIONS: usize = 512;

/// The wait after a connection could not be taken, such as for a lack of file descriptors.
const TRY_AGAIN: Duration = Duration::from_millis(200);

pub(super) async fn run(args: &PortForwardArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let goal = Arc::new(Goal::find(&target.client, args).await?);
        let mut listeners = Vec::new();
        for ports in &args.ports {
            listeners.push((listen(args.address, *ports).await?, ports.remote));
        }
        if !args.address.is_loopback() {
            report::warn(&format!("everybody who reaches {} gets in", args.address));
        }
        for (listener, remote) in &listeners {
            tell(args.output, &goal, listener, *remote)?;
        }
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let mut serving = JoinSet::new();
        for (listener, remote) in listeners {
            serving.spawn(serve(listener, remote, Arc::clone(&goal), Arc::clone(&permits)));
        }
        // It ends by an interrupt, which drops this and with it all connections.
        while serving.join_next().await.is_some() {}
        Ok(())
    })
    .await
}

async fn listen(address: IpAddr, ports: PortPair) -> Result<TcpListener> {
    let wanted = SocketAddr::new(address, ports.local);
    TcpListener::bind(wanted).await.map_err(|error| {
        let failure = CliError::with_io_source(&format!("cannot listen on {wanted}"), &error);
        match error.kind() {
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied => {
                failure.help(format!("`:{}` takes a free port", ports.remote))
            }
            _ => failure,
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

fn tell(format: ForwardFormat, goal: &Goal, listener: &TcpListener, remote: u16) -> Result {
    let local = listener.local_addr()?;
    let name = goal.name();
    match format {
        ForwardFormat::Text => {
            output::print(&format!("Forwarding from {local} -> {name}:{remote}\n"))
        }
        ForwardFormat::Json => {
            let (address, local_port) = (local.ip(), local.port());
            let line = Listening { name: &name, address, local_port, remote_port: remote };
            output::print(&format!("{}\n", serde_json::to_string(&line)?))
        }
    }
}

/// Takes connections for ever.
async fn serve(listener: TcpListener, remote: u16, goal: Arc<Goal>, permits: Arc<Semaphore>) {
    let mut open = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                report::note(&format!("a connection was not taken: {error}"));
                tokio::time::sleep(TRY_AGAIN).await;
                continue;
            }
        };
        let goal = Arc::clone(&goal);
        open.spawn(async move {
            forward(stream, remote, &goal).await;
            drop(permit);
        });
        while open.try_join_next().is_some() {}
    }
}

async fn forward(mut stream: TcpStream, remote: u16, goal: &Goal) {
    // What is sent comes in whole parts already; that this fails costs only time.
    let _ = stream.set_nodelay(true);
    let tunnel = match goal.connect(remote).await {
        Ok(tunnel) => tunnel,
        Err(failure) => {
            report::note(&format!("a connection was refused: {failure}"));
            return reset(&stream);
        }
    };
    if !tunnel.join(&mut stream).await {
        reset(&stream);
    }
}

/// Has the other side see that something broke rather than an end.
fn reset(stream: &TcpStream) {
    // Whoever has gone already needs no hint.
    let _ = stream.set_zero_linger();
}

/// Where connections go.
#[derive(Debug)]
enum Goal {
    /// To just this pod.
    Pod { client: Client, name: String },
    /// To a ready pod of this app: the one that was taken last, as long as it is ready.
    App { client: Client, name: AppName, last: Mutex<String> },
}

impl Goal {
    async fn find(client: &Client, args: &PortForwardArgs) -> Result<Self> {
        let client = client.clone();
        match find(&client, &args.name).await? {
            Found::Pod(pod) if pod.started_at.is_none() => {
                Err(CliError::new(format!("pod `{}` does not run: it is {}", pod.name, pod.state))
                    .help(format!("`dubernetes describe {}` says why", pod.name)))
            }
            Found::Pod(pod) => Ok(Self::Pod { client, name: pod.name }),
            Found::App(app) => {
                let ready = ready(&client, &app.name).await?;
                let Some(first) = ready.into_iter().next() else {
                    return Err(CliError::new(format!("no pod of app `{}` is ready", app.name))
                        .help(format!("`dubernetes describe {}` says why", app.name)));
                };
                report::note(&format!("connections to app `{}` go to {first}", app.name));
                Ok(Self::App { client, name: app.name, last: Mutex::new(first) })
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Pod { name, .. } => name.clone(),
            Self::App { name, .. } => name.to_string(),
        }
    }

    /// A connection; why there is none, as a sentence.
    async fn connect(&self, port: u16) -> Result<Tunnel, String> {
        match self {
            Self::Pod { client, name } => {
                client.forward(name, port).await.map_err(|error| reason(name, &error))
            }
            Self::App { client, name, last } => {
                let mut pods = ready(client, name).await.map_err(|error| chain(&error))?;
                let before = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                pods.sort_by_key(|pod| *pod != before);
                let mut failed = format!("no pod of app `{name}` is ready");
                for pod in pods {
                    match client.forward(&pod, port).await {
                        Ok(tunnel) => {
                            prefer(last, &pod);
                            return Ok(tunnel);
                        }
                        Err(error) => failed = reason(&pod, &error),
                    }
                }
                Err(failed)
            }
        }
    }
}

/// Remembers the pod, and says so if it is another one.
fn prefer(last: &Mutex<String>, pod: &str) {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if *last != pod {
        report::note(&format!("connections go to {pod} now, no longer to {last}"));
        pod.clone_into(&mut last);
    }
}

fn reason(pod: &str, error: &ClientError) -> String {
    format!("{pod}: {}", chain(error))
}

/// The names of the ready pods of an app.
async fn ready(client: &Client, app: &AppName) -> Result<Vec<String>, ClientError> {
    let pods = client.pods(Some(app.as_str())).await?;
    Ok(pods.into_iter().filter(|pod| pod.ready).map(|pod| pod.name).collect())
}
