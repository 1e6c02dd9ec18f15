//! The guard of a [`Dialer`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::Duration as Span;
use dubernetes_core::dial::{Connection, DialError, Dialer, Probe, ProbeAnswer};

use super::catch_panic;

/// Added to the timeout of a probe; a dialer is to keep that timeout itself.
const MARGIN: Duration = Duration::from_secs(1);
/// Deadline of a connection. A dialer is to give up after 5 s.
const CONNECT: Duration = Duration::from_secs(10);

/// A dialer whose calls have a deadline and do not panic.
#[derive(Debug)]
pub(crate) struct GuardedDialer(pub(crate) Arc<dyn Dialer>);

#[async_trait]
impl Dialer for GuardedDialer {
    async fn probe(&self, endpoint: SocketAddr, probe: &Probe, timeout: Span) -> ProbeAnswer {
        let call = catch_panic(self.0.probe(endpoint, probe, timeout));
        match tokio::time::timeout(timeout.to_std() + MARGIN, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => ProbeAnswer::Failed { reason },
            Err(_) => ProbeAnswer::Failed { reason: format!("no answer within {timeout}") },
        }
    }

    async fn connect(&self, endpoint: SocketAddr) -> Result<Connection, DialError> {
        let error = |reason: String| DialError { endpoint, reason };
        match tokio::time::timeout(CONNECT, catch_panic(self.0.connect(endpoint))).await {
            Ok(Ok(result)) => result,
            Ok(Err(reason)) => Err(error(reason)),
            Err(_) => Err(error(format!("no answer within {CONNECT:?}"))),
        }
    }
}
