//! Sizes of terminals.

use std::sync::Arc;
use std::time::Duration;

use bollard::exec::ResizeExecOptions;
use bollard::query_parameters::ResizeContainerTTYOptionsBuilder;
use dubernetes_core::runtime::{Resize, TerminalSize};
use tokio::sync::watch;

use crate::engine::{Engine, READ};

/// Pause between two tries. A terminal accepts a size only a moment after the engine has started
/// its command.
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
    /// Sets the size as soon as the engine allows, and again at each call of the returned function
    /// until that is dropped. Sizes that change faster than the engine applies them are skipped.
    pub(super) fn follow(self, engine: Arc<Engine>, size: TerminalSize) -> Resize {
        let (sender, mut sizes) = watch::channel(size);
        tokio::spawn(async move {
            loop {
                let size = *sizes.borrow_and_update();
                if !self.resize(&engine, size).await {
                    tokio::time::sleep(RETRY_DELAY).await;
                    if sizes.has_changed().is_err() {
                        return;
                    }
                } else if sizes.changed().await.is_err() {
                    return;
                }
            }
        });
        Box::new(move |size| {
            sender.send_replace(size);
        })
    }

    /// Resizes the terminal. Returns false if that fails, as before the start of the command and
    /// after its end.
    async fn resize(&self, engine: &Engine, size: TerminalSize) -> bool {
        let Ok(docker) = engine.docker() else { return false };
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
        engine.call(READ, "resize a terminal", call).await.is_ok()
    }
}
