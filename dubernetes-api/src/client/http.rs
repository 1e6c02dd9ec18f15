//! Sends one request, maps errors, and reads the response.

use std::time::Duration;

use dubernetes_core::error::{SharedError, chain};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::client::{Client, ClientError, Endpoint};
use crate::wire::Problem;

/// Deadline of a plain call. Such a call reads or writes a few rows or asks the engine once, and
/// the orchestrator's own deadline for the engine is shorter.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Largest response body that is read into memory.
const ANSWER_LIMIT: usize = 64 << 20;

impl Client {
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, ClientError> {
        // A proxy from the environment must not see requests to this machine.
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5));
        if let Some(socket) = endpoint.socket() {
            builder = builder.unix_socket(socket);
        }
        let http = builder.build().map_err(|error| ClientError::protocol(chain(&error)))?;
        Ok(Self { http, endpoint })
    }

    /// Starts a request without a deadline, for streams.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = match &self.endpoint {
            Endpoint::Unix(_) | Endpoint::Forwarded { .. } => "http://localhost",
            Endpoint::Http(url) => url.as_str(),
        };
        self.http.request(method, format!("{base}{path}"))
    }

    pub(super) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).timeout(CALL_LIMIT)
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.json(self.call(Method::GET, path).query(query)).await
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        let body = self.read(response).await?;
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::protocol(format!("invalid response: {error}")))
    }

    /// Sends the request and returns the response if it is a success.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.transport_error(&error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let body = self.read(response).await?;
        Err(self.response_error(status.as_u16(), &body))
    }

    /// Returns the error for a response that is not a success.
    pub(super) fn response_error(&self, status: u16, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => ClientError::from_problem(&self.endpoint, problem),
            Err(_) => ClientError::protocol(format!(
                "the server at {} is not an orchestrator: HTTP {status} without problem details",
                self.endpoint
            )),
        }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(part) =
            response.chunk().await.map_err(|error| self.transport_error(&error))?
        {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_LIMIT {
                return Err(ClientError::protocol("the response is too large"));
            }
        }
        Ok(body)
    }

    /// Any failure between connecting and the last byte means that the orchestrator is unreachable.
    pub(super) fn transport_error(&self, error: &reqwest::Error) -> ClientError {
        if error.is_builder() {
            return ClientError::protocol(chain(error));
        }
        let endpoint = self.endpoint.clone();
        ClientError::Unreachable { endpoint, cause: SharedError::text(innermost_cause(error)) }
    }
}

/// Returns the innermost cause: outer ones name the placeholder URL of the socket.
fn innermost_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    dubernetes_core::error::one_line(&cause.to_string())
}
