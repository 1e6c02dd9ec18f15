//! Questions to the engine, the store and the machine, for the one who looks for trouble.
//! None of them changes anything.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{ContainerRuntime as _, EngineVersion, RuntimeError};
use dubernetes_docker::DockerRuntime;
use dubernetes_nginx::holder;
use dubernetes_nginx::version::Version;
use dubernetes_sqlite::{OpenError, SqliteStore};
use jiff::Timestamp;

use super::Adapters;
use crate::args::IngressArgs;
use crate::report::Result;

/// The engine, as far as it is asked.
#[derive(Debug)]
pub(crate) struct Engine {
    runtime: DockerRuntime,
}

/// The subnet of an instance's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subnet {
    /// The network exists and has this one.
    Own(String),
    /// It would get this one.
    Free(String),
    /// None is left.
    AllTaken,
}

/// What is to be known of nginx's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Image {
    /// The engine has it, with nginx of this version, and what a person should know of that one.
    Here {
        /// The version, if the image says it.
        version: Option<String>,
        /// What is wrong with it.
        warning: Option<String>,
    },
    /// The engine can pull it.
    Pullable,
    /// It cannot be had, for this reason.
    Missing(String),
}

impl Engine {
    /// The engine that these settings mean. It is not called.
    pub(crate) fn new(args: &IngressArgs) -> Result<Self> {
        Ok(Self { runtime: Adapters::runtime(args)? })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> String {
        self.runtime.endpoint()
    }

    /// Who it is; an error if it does not answer or is too old.
    pub(crate) async fn version(&self) -> Result<EngineVersion, RuntimeError> {
        self.runtime.version().await
    }

    /// Where it keeps its data, and what its clock says.
    pub(crate) async fn machine(
        &self,
    ) -> Result<(Option<PathBuf>, Option<Timestamp>), RuntimeError> {
        let machine = self.runtime.machine().await?;
        Ok((machine.data_root, machine.time))
    }

    /// The subnet of the instance's network.
    pub(crate) async fn subnet(&self, instance: &InstanceName) -> Result<Subnet, RuntimeError> {
        if let Some(network) = self.runtime.find_network(instance).await? {
            return Ok(Subnet::Own(network.subnet.to_string()));
        }
        let free = self.runtime.free_subnet(instance).await?;
        Ok(free.map_or(Subnet::AllTaken, |subnet| Subnet::Free(subnet.to_string())))
    }

    /// What is to be known of nginx's image.
    pub(crate) async fn image(&self, image: &ImageRef) -> Result<Image, RuntimeError> {
        let Some(env) = self.runtime.image_env(image).await? else {
            return Ok(match self.runtime.can_pull(image).await {
                Ok(()) => Image::Pullable,
                Err(error) => Image::Missing(chain(&error)),
            });
        };
        // Every official image of nginx has this variable.
        let version = env.iter().find_map(|line| line.strip_prefix("NGINX_VERSION="));
        let parsed = version.and_then(|version| Version::parse(&format!("nginx/{version}")));
        let (version, warning) = (parsed.map(|v| v.to_string()), parsed.and_then(Version::warning));
        Ok(Image::Here { version, warning })
    }

    /// The name of the container that publishes a port.
    pub(crate) async fn publisher(
        &self,
        bind: IpAddr,
        port: u16,
    ) -> Result<Option<String>, RuntimeError> {
        self.runtime.publisher(bind, port).await
    }
}

/// The process of this machine that listens on a port, as far as this user may see it.
pub(crate) fn port_holder(bind: IpAddr, port: u16) -> Option<String> {
    holder::of(bind, port)
}

/// Whether the store can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreLook {
    /// There is none yet.
    None,
    /// It can.
    Readable,
    /// A process has it open.
    Locked(Option<u32>),
    /// It cannot, for this reason, which names a way out.
    Refused(String),
}

/// Looks at the store in a folder.
pub(crate) fn store(state_dir: &Path) -> StoreLook {
    match SqliteStore::look(state_dir) {
        Ok(None) => StoreLook::None,
        Ok(Some(_)) => StoreLook::Readable,
        Err(OpenError::Locked { pid, .. }) => StoreLook::Locked(pid),
        Err(error) => StoreLook::Refused(chain(&error)),
    }
}
