//! A small HTTP server that answers with its identity.
//!
//! The examples and end-to-end tests run it, so it has settings to start late, to answer slowly,
//! and to exit with a chosen code.

mod addresses;
mod answer;
mod call;
mod count;
mod routes;
mod settings;

use std::io::Write as _;
use std::process::ExitCode;

use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::read(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(why) => {
            log(&format!("error: {why}"));
            return ExitCode::from(2);
        }
    };
    match run(settings).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal arrives or the time `WHOAMI_EXIT_AFTER` has passed. Returns the exit code.
async fn run(settings: Settings) -> std::io::Result<u8> {
    // The kernel ignores signals without a handler for the first process of a container, so install
    // the handlers before the start delay.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let ignore_term = settings.ignore_term;
    let stopped = async move {
        loop {
            tokio::select! {
                // Cancel safe: both arms only wait for a signal.
                _ = terminate.recv() => if !ignore_term { break },
                _ = interrupt.recv() => break,
            }
        }
        log("stopping: waiting for requests in flight");
    };
    let exit = async move {
        match settings.exit {
            Some((code, after)) => {
                tokio::time::sleep(after).await;
                code
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // `WHOAMI_EXIT` simulates a crash, so it drops requests in flight.
        served = serve(&settings, stopped) => served.map(|()| 0),
        code = exit => {
            log(&format!("ending with code {code}, as WHOAMI_EXIT says"));
            Ok(code)
        }
    }
}

/// Listens after the start delay. Returns once `stopped` has completed and the requests in flight
/// are answered.
async fn serve(
    settings: &Settings,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let mut stopped = Box::pin(stopped);
    tokio::select! {
        // Cancel safe: neither arm has side effects.
        () = &mut stopped => return Ok(()),
        () = tokio::time::sleep(settings.start_delay) => {}
    }
    if let Some(port) = settings.udp_port {
        let socket = UdpSocket::bind(("0.0.0.0", port)).await?;
        tokio::spawn(answer_datagrams(socket, settings.identity.replica.clone()));
    }
    let listener = listen(settings.port).await?;
    log(&format!("listening on {}", listener.local_addr()?));
    let app = routes::router(settings);
    let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

/// Answers each datagram with the name of the replica.
async fn answer_datagrams(socket: UdpSocket, replica: Option<String>) {
    let answer = replica.unwrap_or_default();
    let mut datagram = [0; 512];
    // A client that is gone is no reason to end.
    loop {
        if let Ok((_, client)) = socket.recv_from(&mut datagram).await {
            let _ = socket.send_to(answer.as_bytes(), client).await;
        }
    }
}

/// Listens on all IPv6 and IPv4 addresses, or only on IPv4 if the machine has no IPv6.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(("::", port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(("0.0.0.0", port)).await,
    }
}

/// Writes a line to standard error. Ignores errors: a closed standard error must not stop the
/// server.
fn log(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
