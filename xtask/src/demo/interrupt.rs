//! Turns Ctrl-C and SIGTERM into a flag, so that the task can clean up before it exits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Set once SIGINT or SIGTERM has arrived.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to catch the signals, which then no longer end this process.
    pub(super) fn watch() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&flag);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let wait = move || {
            runtime.block_on(async move {
                tokio::select! {
                    // Cancel safe: both arms only wait for a signal.
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            raised.store(true, Ordering::Relaxed);
        };
        std::thread::Builder::new().spawn(wait).context("cannot wait for signals")?;
        Ok(Self(flag))
    }

    /// Fails once a signal has arrived.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }
}
