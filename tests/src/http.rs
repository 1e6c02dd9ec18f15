//! HTTP as a strict client speaks it: every byte that is missing is an error, and nothing is
//! ever sent twice.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take; no test expects one that takes as long.
const LIMIT: Duration = Duration::from_secs(20);

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The host that is asked for.
    pub host: &'a str,
    /// The path, with the query.
    pub path: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// `GET path`.
    pub fn get(host: &'a str, path: &'a str) -> Self {
        Self { method: "GET", host, path, headers: &[], body: &[] }
    }

    /// `POST path` with a body.
    pub fn post(host: &'a str, path: &'a str, body: &'a [u8]) -> Self {
        Self { method: "POST", host, path, headers: &[], body }
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers as they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What a line `key: value` of the body says.
    pub fn says(&self, key: &str) -> Option<String> {
        let text = self.text();
        let value = |line: &str| line.strip_prefix(key)?.strip_prefix(": ").map(str::to_owned);
        text.lines().find_map(value)
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the connection ends with this answer.
    pub fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to the ingress.
    ///
    /// # Errors
    ///
    /// What went wrong, as text.
    pub async fn open(port: u16) -> Result<Self, String> {
        let connecting = timeout(LIMIT, TcpStream::connect(("127.0.0.1", port))).await;
        let stream = connecting
            .map_err(|_| format!("not connected within {LIMIT:?}"))?
            .map_err(|error| format!("cannot connect: {error}"))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Whether the other end is known to have closed it.
    pub fn is_closed(&self) -> bool {
        use std::io::ErrorKind::WouldBlock;
        // Nothing is due: whatever comes, an end or bytes, makes it unfit for a request.
        !matches!(self.stream.get_ref().try_read(&mut [0]), Err(error) if error.kind() == WouldBlock)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// What went wrong, as text.
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
        sent.map_err(|error| format!("the request could not be sent: {error}"))?;
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
        let length: usize = length.ok_or_else(|| format!("an answer without length: {first}"))?;
        answer.body.resize(length, 0);
        let read = self.stream.read_exact(&mut answer.body).await;
        read.map_err(|error| format!("the answer is cut off: {error}"))?;
        Ok(answer)
    }

    async fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await;
        match read.map_err(|error| format!("the answer cannot be read: {error}"))? {
            0 => Err("closed without an answer".to_owned()),
            _ if line.ends_with("\r\n") => Ok(line.trim_end().to_owned()),
            _ => Err(format!("closed after {line:?}")),
        }
    }

    /// The bare stream, for what is no longer HTTP.
    pub fn stream(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.stream
    }
}

/// Sends one request over a connection of its own.
///
/// # Errors
///
/// What went wrong, as text.
pub async fn once(port: u16, request: Request<'_>) -> Result<Answer, String> {
    Connection::open(port).await?.send(request).await
}
