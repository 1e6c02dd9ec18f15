//! HTTP/2 without TLS, frame by frame: a client with prior knowledge, and a server that answers
//! every request alike. Just what tests of the ingress need.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::Server;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LIMIT: Duration = Duration::from_secs(20);
/// The body of each answer of [`Server`].
pub const BODY: &str = "answered over HTTP/2";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` in the static table of HPACK.
const STATUS_200: u8 = 0x88;

/// An answer to [`get`].
#[derive(Debug)]
pub struct Answer {
    /// Whether the status is 200.
    pub is_ok: bool,
    /// The body.
    pub body: String,
    /// Whether trailers followed the body, as those of gRPC.
    pub has_trailers: bool,
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn read_frame(stream: &mut TcpStream) -> std::io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
    stream.read_exact(&mut payload).await?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok(Frame { kind: head[3], flags: head[4], stream: id, payload })
}

async fn write_frame(
    stream: &mut TcpStream,
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) -> std::io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).await
}

/// Returns a text as HPACK writes it without compression.
fn text(value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap_or(0);
    std::iter::once(length).chain(value.bytes()).collect()
}

/// Sends `GET path` with this host to a port of this machine, over HTTP/2 without an upgrade.
///
/// # Errors
///
/// What failed, or was received instead.
pub async fn get(port: u16, host: &str, path: &str) -> Result<Answer, String> {
    let exchange =
        async { exchange(TcpStream::connect(("127.0.0.1", port)).await?, host, path).await };
    finish(exchange).await
}

/// Sends `GET path` with this host over an open connection.
///
/// # Errors
///
/// What failed, or was received instead.
pub async fn get_over(stream: TcpStream, host: &str, path: &str) -> Result<Answer, String> {
    finish(exchange(stream, host, path)).await
}

async fn finish(exchange: impl Future<Output = std::io::Result<Answer>>) -> Result<Answer, String> {
    match timeout(LIMIT, exchange).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the answer timed out".to_owned()),
    }
}

async fn exchange(mut stream: TcpStream, host: &str, path: &str) -> std::io::Result<Answer> {
    stream.write_all(PREFACE).await?;
    write_frame(&mut stream, SETTINGS, 0, 0, &[]).await?;
    // `:method: GET` and `:scheme: http` of the static table, then `:path` and `:authority`.
    let mut head = vec![0x82, 0x86, 0x04];
    head.extend(text(path));
    head.push(0x01);
    head.extend(text(host));
    write_frame(&mut stream, HEADERS, END_STREAM | END_HEADERS, 1, &head).await?;
    let mut heads = Vec::new();
    let mut body = Vec::new();
    loop {
        let frame = read_frame(&mut stream).await?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                write_frame(&mut stream, SETTINGS, ACK, 0, &[]).await?;
            }
            HEADERS => heads.push(frame.payload),
            DATA => body.extend(frame.payload),
            RST_STREAM | GOAWAY => return Err(std::io::Error::other(format!("{frame:?}"))),
            _ => {}
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            break;
        }
    }
    // A change of the size of the table may come first.
    let status = heads.first().and_then(|head| head.iter().find(|byte| **byte & 0xe0 != 0x20));
    Ok(Answer {
        is_ok: status == Some(&STATUS_200),
        body: String::from_utf8_lossy(&body).into_owned(),
        has_trailers: heads.len() > 1,
    })
}

/// Starts a server that speaks HTTP/2 alone, and answers each request with 200, [`BODY`] and
/// trailers.
///
/// # Errors
///
/// No port can be opened.
pub async fn start_server() -> std::io::Result<Server> {
    Server::start(|_, stream| serve(stream)).await
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut preface = vec![0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    if preface != PREFACE {
        return Ok(());
    }
    write_frame(&mut stream, SETTINGS, 0, 0, &[]).await?;
    loop {
        let frame = read_frame(&mut stream).await?;
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            write_frame(&mut stream, SETTINGS, ACK, 0, &[]).await?;
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            write_frame(&mut stream, HEADERS, END_HEADERS, frame.stream, &[STATUS_200]).await?;
            write_frame(&mut stream, DATA, 0, frame.stream, BODY.as_bytes()).await?;
            let trailers = [vec![0x00], text("grpc-status"), text("0")].concat();
            let flags = END_STREAM | END_HEADERS;
            write_frame(&mut stream, HEADERS, flags, frame.stream, &trailers).await?;
        }
    }
}
