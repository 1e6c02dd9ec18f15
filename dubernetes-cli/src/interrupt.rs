//! SIGINT and SIGTERM as a future.

use tokio::signal::unix::{SignalKind, signal};

use crate::report::{CliError, INTERRUPTED, Result};

/// Runs `work` until it ends or the process is asked to end.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let interrupted = interrupted();
    // Dropping the work is safe at any point: it only reads, or the orchestrator continues alone.
    tokio::select! {
        result = work => result,
        // The user knows what a command that only shows something leaves behind.
        () = interrupted => Err(CliError::already_reported(INTERRUPTED)),
    }
}

/// Resolves when this process is asked to end.
///
/// Listens from this call on, not from the first poll. Must be called within the runtime.
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        let waits = signals.map(|signal| {
            Box::pin(async move {
                match signal {
                    Ok(mut signal) => {
                        signal.recv().await;
                    }
                    // Without a handler the signal's default action ends the process.
                    Err(_) => std::future::pending().await,
                }
            })
        });
        futures_util::future::select_all(waits).await;
    }
}
