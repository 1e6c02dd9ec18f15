//! A registry that has nothing to give, and says why. An engine takes one on the loopback address
//! without TLS.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    keeper: JoinHandle<()>,
}

/// What it answers.
#[derive(Debug, Clone, Copy)]
pub enum Says {
    /// It knows no such image.
    NoSuchImage,
    /// It wants to know who asks.
    WhoAsks,
    /// It knows who asks, and does not let them.
    Forbidden,
}

impl Registry {
    /// Starts it.
    pub async fn start(says: Says) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let keeper = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, says));
            }
        });
        Self { port, keeper }
    }

    /// An image of it.
    pub fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}:1", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn answer(mut stream: TcpStream, says: Says) {
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
    let (status, code) = match (says, path) {
        _ if !path.starts_with("/v2/") => ("400 Bad Request", "UNSUPPORTED"),
        (Says::WhoAsks, _) => ("401 Unauthorized", "UNAUTHORIZED"),
        (_, "/v2/") => ("200 OK", ""),
        (Says::NoSuchImage, _) => ("404 Not Found", "MANIFEST_UNKNOWN"),
        (Says::Forbidden, _) => ("403 Forbidden", "DENIED"),
    };
    let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"no\"}}]}}");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         WWW-Authenticate: Basic realm=\"test\"\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if method == "HEAD" { "" } else { &body };
    // Who asked may have gone.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}
