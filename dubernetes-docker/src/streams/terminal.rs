//! Sizes of terminals.

use std::sync::Arc;
use std::time::Duration;

use bollard::exec::ResizeExecOptions;
use bollard::query_parameters::ResizeContainerTTYOptionsBuilder;
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{Resize, RuntimeError, TerminalSize};
use tokio::sync::watch;

use crate::engine::{Engine, READ};

/// Number of resizes. A terminal accepts one only a moment after the engine has started its
/// command.
const RESIZE_TRIES: u32 = 20;
/// Pause between two tries.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Whose terminal it is.
#[derive(Debug)]
pub(super) enum Terminal {
    /// That of a command in a container, by its id.
    Command(String),
    /// That of a container, by its id.
    Container(String),
}

impl Terminal {
    /// Sets the size now, if there is one, and again at each call of the returned function until
    /// that is dropped. Sizes that change faster than the engine applies them are skipped.
    pub(super) fn follow(self, engine: Arc<Engine>, size: Option<TerminalSize>) -> Resize {
        let (sender, mut sizes) = watch::channel(size);
        tokio::spawn(async move {
            loop {
                let size = *sizes.borrow_and_update();
                if let Some(size) = size
                    && let Err(error) = self.resize(&engine, size).await
                {
                    let error = chain(&error);
                    tracing::debug!(terminal = ?self, error, "resize of a terminal failed");
                }
                if sizes.changed().await.is_err() {
                    return;
                }
            }
        });
        Box::new(move |size| {
            sender.send_replace(Some(size));
        })
    }

    /// Resizes the terminal. A command that has exited before is no error.
    async fn resize(&self, engine: &Engine, size: TerminalSize) -> Result<(), RuntimeError> {
        let operation = "resize a terminal";
        let docker = engine.docker()?;
        for _ in 0..RESIZE_TRIES {
            let call = async {
                match self {
                    Self::Command(exec) => {
                        let size = ResizeExecOptions { width: size.columns, height: size.rows };
                        docker.resize_exec(exec, size).await
                    }
                    Self::Container(id) => {
                        let size = ResizeContainerTTYOptionsBuilder::default()
                            .w(size.columns.into())
                            .h(size.rows.into())
                            .build();
                        docker.resize_container_tty(id, size).await
                    }
                }
            };
            match engine.call(READ, operation, call).await {
                Ok(()) => return Ok(()),
                Err(error) if error.status().is_some() => tokio::time::sleep(RETRY_DELAY).await,
                Err(error) => return Err(error.into_runtime_error()),
            }
        }
        tracing::debug!(terminal = ?self, "terminal did not accept its size");
        Ok(())
    }
}
