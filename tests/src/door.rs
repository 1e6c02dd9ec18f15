//! A socket in front of the engine's own. It can be shut: to the program, the engine is away then.
//! And it can be silent, as an engine that hangs: connections are taken, and nobody answers.

use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// See the module. It is shut when it is dropped.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    engine: PathBuf,
    keeper: Option<JoinHandle<()>>,
    silent: watch::Sender<bool>,
}

impl Door {
    /// A door at `path` to the socket `engine`, shut.
    pub(crate) fn new(path: PathBuf, engine: PathBuf) -> Self {
        Self { path, engine, keeper: None, silent: watch::Sender::new(false) }
    }

    /// Opens it.
    pub async fn open(&mut self) {
        self.shut().await;
        let listener = UnixListener::bind(&self.path).unwrap();
        let (engine, silent) = (self.engine.clone(), self.silent.subscribe());
        self.keeper = Some(tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (engine, silent) = (engine.clone(), silent.clone());
                open.spawn(async move { pass(near, &engine, silent).await });
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

    /// Whether nothing goes through it, from now on. What was held back goes on afterwards.
    pub fn set_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

/// Lets one connection through, but while nothing may.
async fn pass(mut near: UnixStream, engine: &Path, mut silent: watch::Receiver<bool>) {
    let through = async {
        if let Ok(mut far) = UnixStream::connect(engine).await {
            // Either end may hang up.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    };
    tokio::pin!(through);
    // The other end of the channel is dropped with the door.
    while silent.wait_for(|silent| !silent).await.is_ok() {
        tokio::select! {
            () = &mut through => return,
            _ = silent.wait_for(|silent| *silent) => {}
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
