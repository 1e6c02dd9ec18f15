//! Reads a stream line by line.

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt as _};
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Client, ClientError};
use crate::wire::ProblemLine;

pub(super) const NDJSON: &str = "application/x-ndjson";

/// Longest line, far above that of an app with the largest environment, whose bytes JSON may escape
/// as six each.
const LINE_LIMIT: usize = 8 << 20;

/// Whether a stream may end without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// The end means that the orchestrator has gone.
    Unexpected,
    /// The stream end after its last item.
    Expected,
}

/// Sends `request` at the first poll and yields its lines. StreamEnd after an error.
pub(super) fn lines<T: DeserializeOwned + Send + 'static>(
    client: &Client,
    request: RequestBuilder,
    end: StreamEnd,
) -> BoxStream<'static, Result<T, ClientError>> {
    let reader = Reader { client: client.clone(), end, state: State::Unsent(Box::new(request)) };
    futures_util::stream::unfold(reader, |mut reader| async move {
        let item = reader.next().await.transpose()?;
        if item.is_err() {
            reader.state = State::Ended;
        }
        Some((item, reader))
    })
    .boxed()
}

struct Reader {
    client: Client,
    end: StreamEnd,
    state: State,
}

enum State {
    Unsent(Box<RequestBuilder>),
    Open { response: Box<Response>, buffer: BytesMut },
    Ended,
}

impl Reader {
    async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        if let State::Unsent(_) = &self.state
            && let State::Unsent(request) = std::mem::replace(&mut self.state, State::Ended)
        {
            let response = Box::new(self.client.send(*request).await?);
            self.state = State::Open { response, buffer: BytesMut::new() };
        }
        loop {
            match self.line().await? {
                None => return Ok(None),
                Some(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Some(line) => {
                    if let Some(item) = self.read(&line)? {
                        return Ok(Some(item));
                    }
                }
            }
        }
    }

    /// Reads the next line, without its line end.
    async fn line(&mut self) -> Result<Option<Bytes>, ClientError> {
        let State::Open { response, buffer } = &mut self.state else { return Ok(None) };
        let mut searched = 0;
        loop {
            if let Some(at) = buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(searched + at + 1).freeze();
                return Ok(Some(line.slice(..line.len() - 1)));
            }
            searched = buffer.len();
            if searched > LINE_LIMIT {
                return Err(ClientError::protocol("a line of the response is too long"));
            }
            match response.chunk().await.map_err(|error| self.client.transport_error(&error))? {
                Some(part) => buffer.extend_from_slice(&part),
                None if self.end == StreamEnd::Unexpected || !buffer.is_empty() => {
                    let reason = "the orchestrator ended the response";
                    return Err(ClientError::unreachable(&self.client.endpoint, reason));
                }
                None => return Ok(None),
            }
        }
    }

    /// Parses an item; `None` for a note in a stream whose items are not notes.
    fn read<T: DeserializeOwned>(&self, line: &[u8]) -> Result<Option<T>, ClientError> {
        if let Ok(item) = serde_json::from_slice(line) {
            return Ok(Some(item));
        }
        if let Ok(ProblemLine { problem }) = serde_json::from_slice(line) {
            return Err(ClientError::from_problem(&self.client.endpoint, problem));
        }
        match serde_json::from_slice::<Value>(line) {
            Ok(value) if value.get("note").is_some() => Ok(None),
            _ => Err(ClientError::protocol("invalid line in the response")),
        }
    }
}
