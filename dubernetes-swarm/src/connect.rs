//! Connections to containers on a network that spans the nodes: no process of a node reaches it but
//! those of its containers.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::InstanceName;
use dubernetes_core::dial::Connector;
use dubernetes_core::error::chain;
use dubernetes_core::identity::ingress_name;
use dubernetes_core::runtime::{ContainerId, ContainerRuntime as _, ContainerState, RuntimeError};
use dubernetes_docker::DockerRuntime;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::runtime::SwarmRuntime;

/// How long a connection may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a process is believed to be the one whose network is entered.
const FRESH: Duration = Duration::from_secs(1);

/// Connects from the network of the ingress's container, which needs the rights of root on the
/// entry node. While that does not run, from that of another container of the instance there.
#[derive(Debug)]
pub struct EntryConnector {
    engine: DockerRuntime,
    instance: InstanceName,
    process: Mutex<Option<(u32, Instant)>>,
}

impl EntryConnector {
    /// Creates a connector without calling the engine.
    pub fn new(runtime: &SwarmRuntime, instance: InstanceName) -> Arc<Self> {
        let engine = runtime.manager.clone();
        Arc::new(Self { engine, instance, process: Mutex::default() })
    }

    /// Returns a process in the network.
    async fn find_process(&self) -> Result<u32, RuntimeError> {
        let cached = *self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((pid, since)) = cached
            && since.elapsed() < FRESH
        {
            return Ok(pid);
        }
        let ingress = ContainerId(ingress_name(&self.instance).into());
        let mut found = self.engine.first_process(&ingress).await;
        if let Err(RuntimeError::NotFound { .. } | RuntimeError::NotRunning { .. }) = found {
            for container in self.engine.list(&self.instance).await? {
                let is_up = matches!(container.state, ContainerState::Running { .. });
                if is_up && container.endpoint.is_some() {
                    found = self.engine.first_process(&container.id).await;
                    break;
                }
            }
        }
        let pid = found?;
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        *process = Some((pid, Instant::now()));
        Ok(pid)
    }
}

#[async_trait]
impl Connector for EntryConnector {
    async fn connect(&self, endpoint: SocketAddr) -> io::Result<TcpStream> {
        let pid = self.find_process().await.map_err(|error| {
            io::Error::other(format!("no container leads to the network: {}", chain(&error)))
        })?;
        let (done, connected) = oneshot::channel();
        // The thread ends in the other network, so it is not one of a pool.
        std::thread::Builder::new().name("connect".to_owned()).spawn(move || {
            // If the call was dropped, no task waits any more.
            let _ = done.send(connect_in(pid, endpoint));
        })?;
        connected.await.map_err(io::Error::other)?
    }
}

/// Connects from the network of a process.
fn connect_in(pid: u32, endpoint: SocketAddr) -> io::Result<TcpStream> {
    let network = File::open(format!("/proc/{pid}/ns/net"))?;
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    TcpStream::connect_timeout(&endpoint, LIMIT)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn connection_is_opened_in_the_network_of_a_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |pid| std::thread::spawn(move || connect_in(pid, address)).join().unwrap();
        match connect(std::process::id()) {
            Ok(stream) => assert_eq!(stream.peer_addr().unwrap(), address),
            // Without the rights of root.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
        assert!(connect(u32::MAX).is_err(), "there is no such process");
    }
}
