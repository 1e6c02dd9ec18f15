//! Ctrl-C and SIGTERM as a flag, so that what was made can be removed before the chore ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody wants this to end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the signals are noted, and no longer end this process.
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
                    // Both only wait for a signal, so nothing is lost if the other one comes first.
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            raised.store(true, Ordering::Relaxed);
        };
        std::thread::Builder::new().spawn(wait).context("cannot wait for signals")?;
        Ok(Self(flag))
    }

    /// An error once a signal has come.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }
}
