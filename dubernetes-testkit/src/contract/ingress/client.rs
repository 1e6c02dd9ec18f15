//! A plain client of HTTP/1.1.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, KeptConnection, Request};

/// A client of an ingress that listens at an address of this host, for implementations of
/// [`World`](super::World). Its [`Answer`]s have the head of the answer before the body.
#[derive(Debug)]
pub struct HttpConnection {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl HttpConnection {
    /// Returns a client without a connection: the first request opens it, and so does the first one
    /// after the ingress has said that it closes the connection.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request over a connection of its own.
    pub async fn send_once(address: SocketAddr, request: &Request) -> Answer {
        Self::new(address).exchange(request, "close").await
    }

    async fn exchange(&mut self, request: &Request, connection: &str) -> Answer {
        let answer = self.try_exchange(request, connection).await.map_err(|e| e.to_string())?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| format!("not HTTP: {answer:?}"))?;
        Ok((status, answer))
    }

    async fn try_exchange(&mut self, request: &Request, kind: &str) -> io::Result<String> {
        let Request { method, host, target, body } = request;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}Connection: {kind}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let answer = read_answer(&mut stream).await?;
        if !answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

#[async_trait]
impl KeptConnection for HttpConnection {
    async fn send(&mut self, request: &Request) -> Answer {
        self.exchange(request, "keep-alive").await
    }
}

/// Reads one answer of known length, or to the end of the connection.
async fn read_answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                return Ok(text);
            }
        }
        if stream.read_buf(&mut read).await? == 0 {
            let is_empty = read.is_empty();
            let closed = || io::Error::other("closed without an answer");
            return if is_empty { Err(closed()) } else { Ok(text) };
        }
    }
}
