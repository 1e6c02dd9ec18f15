//! A socket in front of the engine's own. It can be shut: to the program, the engine is away then.
//! It can be silent, as an engine that hangs: connections are taken, and nobody answers. It can be
//! slow, and it keeps which calls have come.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A call of the program to the engine; it makes a connection for each.
#[derive(Debug, Clone)]
pub struct Call {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path without the version of the API and without the query.
    pub path: String,
    /// When it came.
    pub began: Instant,
}

impl Call {
    /// Whether it lists the containers.
    pub fn is_list(&self) -> bool {
        self.path == "/containers/json"
    }

    /// Whether it inspects a container.
    pub fn is_inspection(&self) -> bool {
        self.method == "GET"
            && self.path.starts_with("/containers/")
            && self.path.ends_with("/json")
            && !self.is_list()
    }

    /// Whether it changes something of containers.
    pub fn is_change(&self) -> bool {
        self.method != "GET"
            && self.path.starts_with("/containers/")
            && !self.path.ends_with("/exec")
    }
}

/// See the module. It is shut when it is dropped.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    engine: PathBuf,
    keeper: Option<JoinHandle<()>>,
    silent: watch::Sender<bool>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    delay: Mutex<Duration>,
    calls: Mutex<Vec<Call>>,
}

impl Door {
    /// A door at `path` to the socket `engine`, shut.
    pub(crate) fn new(path: PathBuf, engine: PathBuf) -> Self {
        let (silent, shared) = (watch::Sender::new(false), Arc::default());
        Self { path, engine, keeper: None, silent, shared }
    }

    /// Opens it.
    pub async fn open(&mut self) {
        self.shut().await;
        let listener = UnixListener::bind(&self.path).unwrap();
        let (engine, silent) = (self.engine.clone(), self.silent.subscribe());
        let shared = Arc::clone(&self.shared);
        self.keeper = Some(tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (engine, silent) = (engine.clone(), silent.clone());
                let shared = Arc::clone(&shared);
                open.spawn(async move { pass(near, &engine, silent, &shared).await });
                while open.try_join_next().is_some() {}
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

    /// How long each call is held back before the engine gets it, from now on.
    pub fn set_delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap() = delay;
    }

    /// The calls so far, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }
}

/// Lets one connection through, but while nothing may.
async fn pass(near: UnixStream, engine: &Path, mut silent: watch::Receiver<bool>, shared: &Shared) {
    let through = exchange(near, engine, shared);
    tokio::pin!(through);
    // The other end of the channel is dropped with the door.
    while silent.wait_for(|silent| !silent).await.is_ok() {
        tokio::select! {
            () = &mut through => return,
            _ = silent.wait_for(|silent| *silent) => {}
        }
    }
}

/// One call, until an end hangs up.
async fn exchange(mut near: UnixStream, engine: &Path, shared: &Shared) {
    let mut head = Vec::new();
    while !head.contains(&b'\n') {
        if near.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    shared.keep(&head);
    let delay = *shared.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    if let Ok(mut far) = UnixStream::connect(engine).await
        && far.write_all(&head).await.is_ok()
    {
        // Either end may hang up.
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}

impl Shared {
    /// Keeps which call it is.
    fn keep(&self, head: &[u8]) {
        let head = String::from_utf8_lossy(head);
        let mut words = head.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split('?').next().unwrap_or_default();
        let versioned = path.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
        let path = match versioned {
            Some((v, rest)) if v.starts_with(|c: char| c.is_ascii_digit()) => format!("/{rest}"),
            _ => path.to_owned(),
        };
        let mut calls = self.calls.lock().unwrap();
        calls.push(Call { method, path, began: Instant::now() });
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}
