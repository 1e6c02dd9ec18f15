//! A strict HTTP/1.1 client: a missing byte is an error, and no request is sent twice.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time limit for an answer, longer than any answer that a test expects.
const LIMIT: Duration = Duration::from_secs(20);

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Value of the `Host` header.
    pub host: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Additional headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Request body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Returns a `GET` request.
    pub fn get(host: &'a str, path: &'a str) -> Self {
        Self { method: "GET", host, path, headers: &[], body: &[] }
    }

    /// Returns a `POST` request with a body.
    pub fn post(host: &'a str, path: &'a str, body: &'a [u8]) -> Self {
        Self { method: "POST", host, path, headers: &[], body }
    }
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Response body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the value of the body's first line `key: value`.
    pub fn field(&self, key: &str) -> Option<String> {
        let text = self.text();
        let value = |line: &str| line.strip_prefix(key)?.strip_prefix(": ").map(str::to_owned);
        text.lines().find_map(value)
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the server closes the connection after this answer.
    pub fn closes_connection(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to the ingress.
    ///
    /// # Errors
    ///
    /// A description of the failure.
    pub async fn open(port: u16) -> Result<Self, String> {
        let connecting = timeout(LIMIT, TcpStream::connect(("127.0.0.1", port))).await;
        let stream = connecting
            .map_err(|_| format!("not connected within {LIMIT:?}"))?
            .map_err(|error| format!("cannot connect: {error}"))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Whether the connection can take no further request: the server closed it, or sent bytes
    /// that no request asked for.
    pub fn is_closed(&self) -> bool {
        let read = self.stream.get_ref().try_read(&mut [0]);
        !read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// A description of the failure.
    pub async fn send(&mut self, request: Request<'_>) -> Result<Answer, String> {
        match timeout(LIMIT, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {LIMIT:?}")),
        }
    }

    async fn exchange(&mut self, request: Request<'_>) -> Result<Answer, String> {
        let Request { method, host, path, headers, body } = request;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
        if method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        let sent = self.stream.write_all(&bytes).await;
        sent.map_err(|error| format!("cannot send the request: {error}"))?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, String> {
        let first = self.line().await?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| format!("not HTTP: {first:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| format!("header {line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        let length: usize = length.ok_or_else(|| format!("no content length: {first}"))?;
        answer.body.resize(length, 0);
        let read = self.stream.read_exact(&mut answer.body).await;
        read.map_err(|error| format!("the answer is cut off: {error}"))?;
        Ok(answer)
    }

    async fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await;
        match read.map_err(|error| format!("cannot read the answer: {error}"))? {
            0 => Err("closed without an answer".to_owned()),
            _ if line.ends_with("\r\n") => Ok(line.trim_end().to_owned()),
            _ => Err(format!("closed after {line:?}")),
        }
    }

    /// Returns the underlying stream, for bytes that are not an HTTP exchange.
    pub fn stream(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.stream
    }
}

/// Sends one request over a fresh connection.
///
/// # Errors
///
/// A description of the failure.
pub async fn once(port: u16, request: Request<'_>) -> Result<Answer, String> {
    Connection::open(port).await?.send(request).await
}
