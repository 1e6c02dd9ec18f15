//! A tiny HTTP server that says who answers. The examples and the end-to-end tests run it, so it
//! has switches that make it start late, answer slowly, or end with a chosen code.

mod addresses;
mod answer;
mod count;
mod routes;
mod settings;

use std::io::Write as _;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::read(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(why) => {
            say(&format!("error: {why}"));
            return ExitCode::from(2);
        }
    };
    match run(settings).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal ends it, or until the time that the settings name has passed.
async fn run(settings: Settings) -> std::io::Result<u8> {
    // The first process of a container is deaf to every signal that it does not ask for, so this
    // comes before the first delay.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let deaf = settings.ignore_term;
    let stopped = async move {
        loop {
            tokio::select! {
                // Both only wait for a signal, so nothing is lost if the other one comes first.
                _ = terminate.recv() => if !deaf { break },
                _ = interrupt.recv() => break,
            }
        }
        say("stopping: requests under way are finished first");
    };
    let ended = async move {
        match settings.exit {
            Some((code, after)) => {
                tokio::time::sleep(after).await;
                code
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Serving is given up at once when the time to end has come: that is what the switch is for.
        served = serve(&settings, stopped) => served.map(|()| 0),
        code = ended => {
            say(&format!("ending with code {code}, as WHOAMI_EXIT says"));
            Ok(code)
        }
    }
}

/// Listens after the start delay, and returns when `stopped` has come and the requests under way are answered.
async fn serve(
    settings: &Settings,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let mut stopped = Box::pin(stopped);
    tokio::select! {
        // A stop during the delay ends it; the delay has nothing to lose.
        () = &mut stopped => return Ok(()),
        () = tokio::time::sleep(settings.start_delay) => {}
    }
    let listener = listen(settings.port).await?;
    say(&format!("listening on {}", listener.local_addr()?));
    let app = routes::router(settings.identity.clone(), settings.count_file.clone());
    let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

/// All addresses of both families where the machine has IPv6, else those of IPv4.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(("::", port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(("0.0.0.0", port)).await,
    }
}

/// One line to standard error. Where nobody reads it any more, serving goes on.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
