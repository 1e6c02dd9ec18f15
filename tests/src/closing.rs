//! A server that speaks HTTP/1.1 and closes each connection a moment after its first answer,
//! without having announced it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::Server;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// The time between answer and close is between zero and this number of milliseconds.
const LATEST_CLOSE: u64 = 5;

/// Starts such a server.
///
/// # Errors
///
/// No port can be opened.
pub async fn start_server() -> std::io::Result<Server> {
    let until_close = |number| Duration::from_millis(number % (LATEST_CLOSE + 1));
    Server::start(move |number, stream| serve(stream, until_close(number))).await
}

async fn serve(mut stream: TcpStream, until_close: Duration) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(ANSWER).await?;
    tokio::time::sleep(until_close).await;
    Ok(())
}
