//! An image with the module of nginx for JavaScript, which counts requests.

use std::sync::Arc;

use dubernetes_core::dial::{Connection, DialError};
use dubernetes_testkit::MockDialer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::compat::{TokioAsyncReadCompatExt as _, TokioAsyncWriteCompatExt as _};

use super::{Engine, State};

impl Engine {
    /// Adds the module to the image. The private listener then answers with these counts.
    pub(crate) fn set_counts(&self, counts: &str) {
        self.0.lock().unwrap().counts = Some(counts.to_owned());
    }

    pub(super) fn expect_counts(&self, mock: &mut MockDialer) {
        let state = Arc::clone(&self.0);
        mock.expect_connect().returning(move |endpoint| {
            let state = state.lock().unwrap();
            if state.container.is_none() {
                return Err(DialError { endpoint, reason: "connection refused".to_owned() });
            }
            let reads = state.files.values().any(|file| file.contains("js_content"));
            let (status, body) = match &state.counts {
                Some(counts) if reads => ("200 OK", counts.as_str()),
                Some(_) | None => ("404 Not Found", "none"),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            let (own, mut peer) = tokio::io::duplex(1024);
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = peer.read(&mut request).await;
                let _ = peer.write_all(answer.as_bytes()).await;
            });
            let (reader, writer) = tokio::io::split(own);
            let (reader, writer) = (reader.compat(), writer.compat_write());
            Ok(Connection { reader: Box::pin(reader), writer: Box::pin(writer) })
        });
    }
}

impl State {
    /// Returns what nginx says about its module for JavaScript.
    pub(super) fn javascript(&self) -> &'static str {
        match self.counts {
            Some(_) => "javascript: qjs\nend-of-features\n",
            None => "end-of-features\n",
        }
    }
}
