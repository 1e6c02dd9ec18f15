//! An engine on a Unix socket that replays recorded answers and records the requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use dubernetes_docker::DockerRuntime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// The answer to one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status and a body.
    Whole(u16, String),
    /// Status 200 and a part of a body, and then nothing.
    Stalled(String),
    /// No answer.
    Silence,
    /// A closed connection.
    HangUp,
}

/// An engine with recorded answers. Its socket is deleted on drop.
#[derive(Debug)]
pub(crate) struct RecordedEngine {
    folder: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

type Answers = Arc<Mutex<BTreeMap<String, VecDeque<Answer>>>>;

impl RecordedEngine {
    /// Answers each `METHOD /path` (without its query) in the given order, and repeats the last
    /// answer. Other requests are answered with 404.
    pub(crate) fn start(answers: &[(&str, Answer)]) -> Self {
        let mut queues: BTreeMap<String, VecDeque<Answer>> = BTreeMap::new();
        for (request, answer) in answers {
            queues.entry((*request).to_owned()).or_default().push_back(answer.clone());
        }
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(queues));
        let recorded = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers), Arc::clone(&recorded)));
            }
        });
        Self { folder, requests }
    }

    pub(crate) fn runtime(&self) -> DockerRuntime {
        let socket = self.folder.path().join("engine.sock");
        DockerRuntime::new(Some(socket.to_str().unwrap())).unwrap()
    }

    /// Returns the number of requests that begin with `request`.
    pub(crate) fn count(&self, request: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|sent| sent.starts_with(request)).count()
    }

    /// Returns the last request that begins with `request`, with its query and body.
    pub(crate) fn last(&self, request: &str) -> String {
        let requests = self.requests.lock().unwrap();
        requests.iter().rev().find(|sent| sent.starts_with(request)).cloned().unwrap_or_default()
    }
}

async fn serve(mut stream: UnixStream, answers: Answers, recorded: Arc<Mutex<Vec<String>>>) {
    let Some((line, body)) = read_request(&mut stream).await else { return };
    let target = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let name = target.split('?').next().unwrap_or_default().to_owned();
    recorded.lock().unwrap().push(format!("{target} {body}"));
    match next(&answers, &name) {
        Answer::HangUp => {}
        Answer::Silence => std::future::pending().await,
        Answer::Stalled(part) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
            stream.write_all(format!("{head}{part}\n").as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        }
        Answer::Whole(status, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Type: application/json\r\n"
            );
            // These two have no body.
            let length = if matches!(status, 204 | 304) {
                String::new()
            } else {
                format!("Content-Length: {length}\r\n")
            };
            // The client may close the connection early.
            let _ = stream.write_all(format!("{head}{length}\r\n{body}").as_bytes()).await;
        }
    }
}

fn next(answers: &Answers, name: &str) -> Answer {
    let mut answers = answers.lock().unwrap();
    let missing = Answer::Whole(404, r#"{"message":"no such thing"}"#.to_owned());
    let Some(queue) = answers.get_mut(name) else { return missing };
    if queue.len() > 1 {
        return queue.pop_front().unwrap_or(missing);
    }
    queue.front().cloned().unwrap_or(missing)
}

async fn read_request(stream: &mut UnixStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body).await.ok()?;
    Some((head.lines().next()?.to_owned(), String::from_utf8_lossy(&body).into_owned()))
}
