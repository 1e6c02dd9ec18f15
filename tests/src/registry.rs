//! A fake image registry that serves one image or a fixed error.
//!
//! It speaks plain HTTP: engines accept that from a registry on the loopback address.

mod image;

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub use image::Image;

/// A running registry; stops on drop.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    state: Arc<Mutex<State>>,
    accept_task: JoinHandle<()>,
}

/// What the registry answers to requests for images.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 404, no such image.
    NotFound,
    /// 401, credentials required.
    Unauthorized,
    /// 403, access denied.
    Forbidden,
    /// 429, rate limited.
    TooManyRequests,
    /// 503, overloaded.
    Unavailable,
    /// This image under any name, with the first N layer downloads cut off midway.
    Serve(Arc<Image>, u32),
}

#[derive(Debug)]
struct State {
    reply: Reply,
    manifest_requests: u32,
    layer_requests: u32,
}

impl Registry {
    /// Starts a registry on a free port.
    pub async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { reply, manifest_requests: 0, layer_requests: 0 }));
        let shared = Arc::clone(&state);
        let accept_task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state, accept_task }
    }

    /// Returns the reference of an image in this registry.
    pub fn image_ref(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}:1", self.port)
    }

    /// Changes the answer to further requests.
    pub fn set_reply(&self, reply: Reply) {
        self.state.lock().unwrap().reply = reply;
    }

    /// Returns the number of requests for manifests.
    pub fn manifest_requests(&self) -> u32 {
        self.state.lock().unwrap().manifest_requests
    }

    /// Returns the number of requests for layers.
    pub fn layer_requests(&self) -> u32 {
        self.state.lock().unwrap().layer_requests
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.accept_task.abort();
    }
}

/// A head with the full content length, and a body that may be cut.
struct Answer {
    head: String,
    body: Vec<u8>,
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    // The engine tries TLS first. A TLS hello is not ASCII and has no empty line, so reading stops
    // at once; the plain answer makes the engine fall back to HTTP.
    while !request.ends_with(b"\r\n\r\n") && (request.is_empty() || request.is_ascii()) {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&part[..length]),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let mut words = request.split_whitespace();
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let Answer { head, body } = state.lock().unwrap().answer(path, &request);
    let body = if method == "HEAD" { &[] } else { &body[..] };
    // The client may have disconnected.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
}

impl State {
    fn answer(&mut self, path: &str, request: &str) -> Answer {
        self.manifest_requests += u32::from(path.contains("/manifests/"));
        let (status, code) = match (&self.reply, path) {
            _ if !path.starts_with("/v2/") => ("400 Bad Request", "UNSUPPORTED"),
            (Reply::Unauthorized, _) => ("401 Unauthorized", "UNAUTHORIZED"),
            (_, "/v2/") => ("200 OK", ""),
            (Reply::NotFound, _) => ("404 Not Found", "MANIFEST_UNKNOWN"),
            (Reply::Forbidden, _) => ("403 Forbidden", "DENIED"),
            (Reply::TooManyRequests, _) => ("429 Too Many Requests", "TOOMANYREQUESTS"),
            (Reply::Unavailable, _) => ("503 Service Unavailable", "UNAVAILABLE"),
            (Reply::Serve(image, cuts), _) => {
                let image = Arc::clone(image);
                let cuts = *cuts;
                return self.answer_part(&image, cuts, path, request);
            }
        };
        let body =
            format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"come back later\"}}]}}");
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             WWW-Authenticate: Basic realm=\"test\"\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Answer { head, body: body.into_bytes() }
    }

    /// Answers with a manifest, configuration or layer of the image.
    fn answer_part(&mut self, image: &Image, cuts: u32, path: &str, request: &str) -> Answer {
        let (kind, digest, content) = image.part(path);
        let is_layer = digest == image.layer.0;
        self.layer_requests += u32::from(is_layer);
        let range = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()?;
            (name.eq_ignore_ascii_case("range") && from < content.len()).then_some(from)
        });
        let first = range.unwrap_or(0);
        let last = content.len() - 1;
        let status = match range {
            Some(_) => format!(
                "206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}",
                content.len()
            ),
            None => "200 OK".to_owned(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Docker-Content-Digest: {digest}\r\nConnection: close\r\n\r\n",
            content.len() - first
        );
        let is_cut = is_layer && self.layer_requests <= cuts;
        let end = if is_cut { first + (content.len() - first) / 2 } else { content.len() };
        Answer { head, body: content[first..end].to_vec() }
    }
}
