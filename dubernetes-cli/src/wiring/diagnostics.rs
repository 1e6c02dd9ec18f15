//! Questions to engine, store and machine, for `doctor`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::error::chain;
use dubernetes_core::ipnet::Ipv4Net;
use dubernetes_core::runtime::{ContainerRuntime as _, Networks, RuntimeError, RuntimeInfo};
use dubernetes_docker::DockerRuntime;
use dubernetes_nginx::version::Version;
use dubernetes_nginx::{features, port_owner};
use dubernetes_sqlite::{OpenError, SqliteStore};
pub(crate) use dubernetes_swarm::Holder;
use dubernetes_swarm::find_holder;
use jiff::Timestamp;

use super::adapters::docker_runtime;
use crate::args::{IngressArgs, RuntimeKind};
use crate::report::Result;

/// An engine to ask.
#[derive(Debug)]
pub(crate) struct Engine {
    runtime: DockerRuntime,
}

/// Subnet of an instance's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subnet {
    /// The network exists and has this subnet.
    Own(Ipv4Net),
    /// The network would get this subnet.
    Free(Ipv4Net),
    /// No subnet is left.
    AllTaken,
}

impl Subnet {
    /// Returns the address with which requests of this machine's programs arrive.
    pub(crate) fn gateway(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Own(subnet) | Self::Free(subnet) => subnet.hosts().next(),
            Self::AllTaken => None,
        }
    }
}

/// State of the ingress image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Image {
    /// The image is on the engine.
    Present {
        /// Version of nginx, if the image reports one.
        version: Option<String>,
        /// Problem with that version.
        warning: Option<String>,
    },
    /// The engine can pull the image.
    Pullable,
    /// The image cannot be pulled, for this reason.
    Missing(String),
}

/// What the ingress image lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ImageWarnings {
    /// For names of apps and published ports.
    pub(crate) names: Option<&'static str>,
    /// For trusted proxies.
    pub(crate) proxies: Option<&'static str>,
    /// For metrics of requests.
    pub(crate) requests: Option<&'static str>,
}

impl Engine {
    /// Creates a client for the engine in these settings, without calling the engine.
    pub(crate) fn new(args: &IngressArgs) -> Result<Self> {
        let runtime = docker_runtime(args)?;
        Ok(Self {
            runtime: match args.runtime {
                RuntimeKind::Docker | RuntimeKind::Process => runtime,
                RuntimeKind::Swarm => runtime.with_overlay(),
            },
        })
    }

    /// Returns the engine's endpoint.
    pub(crate) fn endpoint(&self) -> String {
        self.runtime.endpoint()
    }

    /// Returns who acts for the instance, whose state is in the engine's swarm.
    pub(crate) async fn holder(&self, instance: &InstanceName) -> Result<Holder, RuntimeError> {
        find_holder(&self.runtime, instance).await
    }

    /// Returns the engine's version. Fails if the engine does not answer or is too old.
    pub(crate) async fn version(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.runtime.info().await
    }

    /// Returns the engine's data folder and the time on its clock.
    pub(crate) async fn host_info(
        &self,
    ) -> Result<(Option<PathBuf>, Option<Timestamp>), RuntimeError> {
        let machine = self.runtime.host_info().await?;
        Ok((machine.data_root, machine.time))
    }

    /// Returns the subnet of the instance's network.
    pub(crate) async fn subnet(&self, instance: &InstanceName) -> Result<Subnet, RuntimeError> {
        if let Some(network) = Networks::find(&self.runtime, instance).await? {
            return Ok(Subnet::Own(network.subnet));
        }
        let free = self.runtime.free_subnet(instance).await?;
        Ok(free.map_or(Subnet::AllTaken, Subnet::Free))
    }

    /// Returns the state of the ingress image.
    pub(crate) async fn image(&self, image: &ImageRef) -> Result<Image, RuntimeError> {
        let Some(env) = self.runtime.image_env(image).await? else {
            return Ok(match self.runtime.can_pull(image).await {
                Ok(()) => Image::Pullable,
                Err(error) => Image::Missing(chain(&error)),
            });
        };
        // Every official image of nginx sets this variable.
        let version = env.iter().find_map(|line| line.strip_prefix("NGINX_VERSION="));
        let version = version.and_then(|version| Version::parse(&format!("nginx/{version}")));
        Ok(Image::Present {
            version: version.map(|version| version.to_string()),
            warning: version.and_then(Version::warning),
        })
    }

    /// Returns what an image on the engine lacks.
    pub(crate) async fn image_warnings(
        &self,
        image: &ImageRef,
    ) -> Result<ImageWarnings, RuntimeError> {
        let output = self.runtime.run_in_image(image, features::IMAGE_SCRIPT).await?;
        let output = output.as_deref();
        Ok(ImageWarnings {
            names: features::image_warning(output),
            proxies: features::proxies_warning(output),
            requests: features::requests_warning(output),
        })
    }

    /// Returns the name of the container that publishes a port.
    pub(crate) async fn publisher(
        &self,
        bind: IpAddr,
        port: u16,
    ) -> Result<Option<String>, RuntimeError> {
        self.runtime.publisher(bind, port).await
    }
}

/// Finds the process of this machine that listens on a port, if this user can see it.
pub(crate) fn find_listener(bind: IpAddr, port: u16) -> Option<String> {
    port_owner::find(bind, port)
}

/// Whether the store can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreCheck {
    /// There is no store yet.
    Missing,
    /// The store can be opened.
    Readable,
    /// A process has the store open.
    Locked(dubernetes_sqlite::Holder),
    /// The store cannot be opened, for this reason.
    Refused(String),
}

/// Checks the store in a folder.
pub(crate) fn check_store(state_dir: &Path) -> StoreCheck {
    match SqliteStore::check(state_dir) {
        Ok(None) => StoreCheck::Missing,
        Ok(Some(_)) => StoreCheck::Readable,
        Err(OpenError::Locked { holder, .. }) => StoreCheck::Locked(holder),
        Err(error) => StoreCheck::Refused(chain(&error)),
    }
}
