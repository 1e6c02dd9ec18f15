//! A Unix socket in front of the engine's own, for fault injection and call recording.
//!
//! - Closed: connections are refused, as by a stopped engine.
//! - Hung: connections are accepted and never answered.
//! - Delayed: each call is held back before it reaches the engine.
//! - A rule decides the [`Fate`] of each call.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A call of the program to the engine. The program opens one connection per call.
#[derive(Debug, Clone)]
pub struct Call {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path without API version and query.
    pub path: String,
    /// Time of arrival.
    pub began: Instant,
}

impl Call {
    /// Whether the call lists containers.
    pub fn is_list(&self) -> bool {
        self.path == "/containers/json"
    }

    /// Whether the call inspects a container.
    pub fn is_inspect(&self) -> bool {
        self.method == "GET"
            && self.path.starts_with("/containers/")
            && self.path.ends_with("/json")
            && !self.is_list()
    }

    /// Whether the call changes anything on the engine, besides commands in containers.
    pub fn is_change(&self) -> bool {
        self.method != "GET" && !self.path.contains("exec") && !self.path.starts_with("/images")
    }

    /// Whether the call changes a container.
    pub fn is_mutation(&self) -> bool {
        self.method != "GET"
            && self.path.starts_with("/containers/")
            && !self.path.ends_with("/exec")
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It reaches the engine, and the answer the program.
    Forward,
    /// The same, later.
    Delay(Duration),
    /// It is answered with status 500, and does not reach the engine.
    Fail,
    /// It reaches the engine, and its connection ends without the answer.
    LoseAnswer,
    /// It is answered with status 200 and this JSON, and does not reach the engine.
    Answer(String),
    /// The program is killed, and the call does not reach the engine.
    KillBefore(Pid),
    /// It reaches the engine, and the program is killed before it has the answer.
    KillAfter(Pid),
}

type Rule = Box<dyn FnMut(&Call) -> Fate + Send>;

/// Proxy between the program and the engine; closes on drop. See the module documentation.
#[derive(Debug)]
pub struct EngineProxy {
    path: PathBuf,
    engine: PathBuf,
    accept_task: Option<JoinHandle<()>>,
    hung: watch::Sender<bool>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    delay: Mutex<Duration>,
    calls: Mutex<Vec<Call>>,
    rule: Mutex<Option<Rule>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl EngineProxy {
    /// Creates a closed proxy at `path` for the engine socket `engine`.
    pub(crate) fn new(path: PathBuf, engine: PathBuf) -> Self {
        Self {
            path,
            engine,
            accept_task: None,
            hung: watch::Sender::new(false),
            shared: Arc::default(),
        }
    }

    /// Starts to accept connections.
    pub async fn open(&mut self) {
        self.close().await;
        let listener = UnixListener::bind(&self.path).unwrap();
        let engine = self.engine.clone();
        let hung = self.hung.subscribe();
        let shared = Arc::clone(&self.shared);
        self.accept_task = Some(tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let engine = engine.clone();
                let hung = hung.clone();
                let shared = Arc::clone(&shared);
                open.spawn(async move { forward(client, &engine, hung, &shared).await });
                while open.try_join_next().is_some() {}
            }
        }));
    }

    /// Cuts open connections and refuses new ones.
    pub async fn close(&mut self) {
        if let Some(accept_task) = self.accept_task.take() {
            accept_task.abort();
            // The connections are tasks of this task, and end with it.
            let _ = accept_task.await;
            std::fs::remove_file(&self.path).unwrap();
        }
    }

    /// Stops or resumes all traffic. Held-back traffic continues on resume.
    pub fn set_hung(&self, hung: bool) {
        self.hung.send_replace(hung);
    }

    /// Sets the delay of each further call.
    pub fn set_delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap() = delay;
    }

    /// Lets `rule` decide what becomes of each further call.
    pub fn set_rule(&self, rule: impl FnMut(&Call) -> Fate + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// Forwards each further call.
    pub fn remove_rule(&self) {
        *self.shared.rule.lock().unwrap() = None;
    }

    /// Returns all calls so far, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }
}

/// Forwards one connection, except while the proxy is hung.
async fn forward(
    client: UnixStream,
    engine: &Path,
    mut hung: watch::Receiver<bool>,
    shared: &Shared,
) {
    let exchange = exchange(client, engine, shared);
    tokio::pin!(exchange);
    // The sender is dropped with the proxy, which ends the loop.
    while hung.wait_for(|hung| !hung).await.is_ok() {
        tokio::select! {
            () = &mut exchange => return,
            _ = hung.wait_for(|hung| *hung) => {}
        }
    }
}

/// Copies bytes between client and engine until either closes its end.
async fn exchange(mut client: UnixStream, engine: &Path, shared: &Shared) {
    let mut head = Vec::new();
    while !head.contains(&b'\n') {
        if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let call = shared.record(&head);
    let delay = *shared.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    let fate = shared.rule.lock().unwrap().as_mut().map_or(Fate::Forward, |rule| rule(&call));
    match fate {
        Fate::Forward | Fate::LoseAnswer | Fate::KillAfter(_) => {}
        Fate::KillBefore(program) => return kill(program),
        Fate::Delay(delay) => tokio::time::sleep(delay).await,
        Fate::Fail => {
            return answer(client, "500 Internal Server Error", r#"{"message":"injected"}"#).await;
        }
        Fate::Answer(body) => return answer(client, "200 OK", &body).await,
    }
    let Ok(mut server) = UnixStream::connect(engine).await else { return };
    if server.write_all(&head).await.is_err() {
        return;
    }
    match fate {
        Fate::LoseAnswer => return wait_for_effect(&mut client, &mut server).await,
        Fate::KillAfter(program) => {
            wait_for_effect(&mut client, &mut server).await;
            return kill(program);
        }
        _ => {}
    }
    // Either end may hang up.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

/// Kills the program, unless it has already ended.
fn kill(program: Pid) {
    let _ = kill_process(program, Signal::KILL);
}

/// Passes a request on, until the first byte of the answer, which comes after the effect.
async fn wait_for_effect(client: &mut UnixStream, server: &mut UnixStream) {
    let (mut from_client, _) = client.split();
    let (mut from_server, mut to_server) = server.split();
    // A request may end before or after its answer begins.
    tokio::select! {
        _ = from_server.read_u8() => {}
        _ = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            std::future::pending::<()>().await;
        } => {}
    }
}

/// Answers a request, whose body may not have been read.
async fn answer(mut client: UnixStream, status: &str, body: &str) {
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    // Either end may hang up.
    let _ = client.write_all(text.as_bytes()).await;
    let _ = client.shutdown().await;
}

impl Shared {
    /// Records the call from its request line, and returns it.
    fn record(&self, head: &[u8]) -> Call {
        let head = String::from_utf8_lossy(head);
        let mut words = head.split_whitespace().map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let versioned = path.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
        let path = match versioned {
            Some((v, rest)) if v.starts_with(|c: char| c.is_ascii_digit()) => format!("/{rest}"),
            _ => path.to_owned(),
        };
        let call = Call { method, path, began: Instant::now() };
        self.calls.lock().unwrap().push(call.clone());
        call
    }
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        if let Some(accept_task) = self.accept_task.take() {
            accept_task.abort();
        }
    }
}
