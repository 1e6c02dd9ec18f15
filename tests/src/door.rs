//! A socket in front of the engine's own that can be shut: to the program, the engine is away
//! then, while everything else goes on.

use std::path::PathBuf;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// See the module. It is shut when it is dropped.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    engine: PathBuf,
    keeper: Option<JoinHandle<()>>,
}

impl Door {
    /// A door at `path` to the socket `engine`, shut.
    pub(crate) fn new(path: PathBuf, engine: PathBuf) -> Self {
        Self { path, engine, keeper: None }
    }

    /// Opens it.
    pub async fn open(&mut self) {
        self.shut().await;
        let listener = UnixListener::bind(&self.path).unwrap();
        let engine = self.engine.clone();
        self.keeper = Some(tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let engine = engine.clone();
                open.spawn(async move {
                    if let Ok(mut far) = UnixStream::connect(&engine).await {
                        // Either end may hang up.
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        }));
    }

    /// Shuts it: what is under way is cut, and nothing answers at the socket.
    pub async fn shut(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
            // Its connections end with it.
            let _ = keeper.await;
            std::fs::remove_file(&self.path).unwrap();
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}
