//! A call of another app, to show that its name leads to it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 64 << 10;

/// Requests `/` of `target`, such as `db:5432`, which runs this program as well. Returns the name
/// of the replica that answers.
pub(crate) async fn call(target: &str) -> Result<String, String> {
    match tokio::time::timeout(LIMIT, request(target)).await {
        Ok(Ok(answer)) => {
            let replica = answer.lines().find_map(|line| line.strip_prefix("Replica: "));
            replica.map(str::to_owned).ok_or_else(|| format!("{target} does not name its replica"))
        }
        Ok(Err(error)) => Err(format!("{target}: {error}")),
        Err(_) => Err(format!("{target} does not answer within {LIMIT:?}")),
    }
}

async fn request(target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(target).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
