//! A registry that has one image, or nothing to give and says why. An engine takes one on the
//! loopback address without TLS.

mod image;

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub use image::Image;

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    state: Arc<Mutex<State>>,
    keeper: JoinHandle<()>,
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Says {
    /// It knows no such image.
    NoSuchImage,
    /// It wants to know who asks.
    WhoAsks,
    /// It knows who asks, and does not let them.
    Forbidden,
    /// It was asked too often.
    TooOften,
    /// It has something else to do.
    Busy,
    /// It has this image under whatever name, and cuts the first so many answers with its layer.
    Has(Arc<Image>, u32),
}

#[derive(Debug)]
struct State {
    says: Says,
    /// How often it was asked which image it has.
    asked: u32,
    /// How often it was asked for a layer.
    layers: u32,
}

impl Registry {
    /// Starts it.
    pub async fn start(says: Says) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { says, asked: 0, layers: 0 }));
        let shared = Arc::clone(&state);
        let keeper = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state, keeper }
    }

    /// An image of it.
    pub fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}:1", self.port)
    }

    /// From now on it answers otherwise.
    pub fn set(&self, says: Says) {
        self.state.lock().unwrap().says = says;
    }

    /// How often it was asked which image it has, and how often for a layer.
    pub fn asked(&self) -> (u32, u32) {
        let state = self.state.lock().unwrap();
        (state.asked, state.layers)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// A whole answer, and how much of it is sent.
struct Answer {
    head: String,
    body: Vec<u8>,
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    // A greeting of TLS never ends as a request does; whatever comes then is no TLS.
    while !request.ends_with(b"\r\n\r\n") && (request.is_empty() || request.is_ascii()) {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&part[..length]),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Answer { head, body } = state.lock().unwrap().answer(path, &request);
    let body = if method == "HEAD" { &[] } else { &body[..] };
    // Who asked may have gone.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
}

impl State {
    fn answer(&mut self, path: &str, request: &str) -> Answer {
        self.asked += u32::from(path.contains("/manifests/"));
        let (status, code) = match (&self.says, path) {
            _ if !path.starts_with("/v2/") => ("400 Bad Request", "UNSUPPORTED"),
            (Says::WhoAsks, _) => ("401 Unauthorized", "UNAUTHORIZED"),
            (_, "/v2/") => ("200 OK", ""),
            (Says::NoSuchImage, _) => ("404 Not Found", "MANIFEST_UNKNOWN"),
            (Says::Forbidden, _) => ("403 Forbidden", "DENIED"),
            (Says::TooOften, _) => ("429 Too Many Requests", "TOOMANYREQUESTS"),
            (Says::Busy, _) => ("503 Service Unavailable", "UNAVAILABLE"),
            (Says::Has(image, cuts), _) => {
                let (image, cuts) = (Arc::clone(image), *cuts);
                return self.part(&image, cuts, path, request);
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

    /// A part of the image.
    fn part(&mut self, image: &Image, cuts: u32, path: &str, request: &str) -> Answer {
        let (kind, digest, content) = image.part(path);
        let is_layer = digest == image.layer.0;
        self.layers += u32::from(is_layer);
        let range = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()?;
            (name.eq_ignore_ascii_case("range") && from < content.len()).then_some(from)
        });
        let (first, last) = (range.unwrap_or(0), content.len() - 1);
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
        let is_cut = is_layer && self.layers <= cuts;
        let end = if is_cut { first + (content.len() - first) / 2 } else { content.len() };
        Answer { head, body: content[first..end].to_vec() }
    }
}
