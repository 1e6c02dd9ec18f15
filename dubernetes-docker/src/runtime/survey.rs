//! Questions about the engine that no decision depends on: for the one who looks for trouble.
//! None of them changes anything.

use std::net::IpAddr;
use std::path::PathBuf;

use bollard::models::PortSummaryTypeEnum;
use bollard::query_parameters::ListContainersOptionsBuilder;
use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::error::one_line;
use dubernetes_core::runtime::{ImageProblem, RuntimeError};
use ipnet::Ipv4Net;
use jiff::Timestamp;

use super::DockerRuntime;
use crate::engine::READ;
use crate::error::Failure;
use crate::{credentials, image, network};

/// What an engine says of its own machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineMachine {
    /// The folder of its images and containers, as it names it.
    pub data_root: Option<PathBuf>,
    /// What time it is there.
    pub time: Option<Timestamp>,
}

impl DockerRuntime {
    /// Where the engine keeps its data, and what its clock says.
    ///
    /// # Errors
    ///
    /// Those of a call that reads.
    pub async fn machine(&self) -> Result<EngineMachine, RuntimeError> {
        let docker = self.engine.docker()?;
        let answer = self.engine.call(READ, "describe its machine", docker.info()).await;
        let info = answer.map_err(Failure::general)?;
        Ok(EngineMachine {
            data_root: info.docker_root_dir.map(PathBuf::from).filter(|path| path.is_absolute()),
            time: info.system_time.and_then(|time| time.parse().ok()),
        })
    }

    /// The environment that an image brings, each as `NAME=value`; `None` if the engine does not
    /// have the image.
    ///
    /// # Errors
    ///
    /// Those of a call that reads.
    pub async fn image_env(&self, image: &ImageRef) -> Result<Option<Vec<String>>, RuntimeError> {
        let name = image::with_tag(image.as_str());
        let operation = format!("inspect image `{name}`");
        let call = self.engine.docker()?.inspect_image(&name);
        match self.engine.call(READ, &operation, call).await {
            Ok(answer) => Ok(Some(answer.config.and_then(|config| config.env).unwrap_or_default())),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(failure.general()),
        }
    }

    /// Asks the image's registry, through the engine, whether the image can be pulled.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Image`] with the reason if it cannot.
    pub async fn can_pull(&self, image: &ImageRef) -> Result<(), RuntimeError> {
        let name = image::with_tag(image.as_str());
        let operation = format!("ask the registry for `{name}`");
        // A public image can be pulled without them.
        let credentials = credentials::of(&self.engine, &name).await.unwrap_or_default();
        let call = self.engine.docker()?.inspect_registry_image(&name, credentials);
        match self.engine.call(READ, &operation, call).await {
            Ok(_) => Ok(()),
            Err(failure) => {
                let problem = match failure.status() {
                    Some(404) => ImageProblem::Missing,
                    Some(401 | 403) => ImageProblem::Denied,
                    _ => ImageProblem::Unavailable,
                };
                let Some(message) = failure.message() else { return Err(failure.general()) };
                let (image, message) = (image.to_string(), one_line(&message));
                Err(RuntimeError::Image { image, problem, message })
            }
        }
    }

    /// The subnet that a network of the instance would get; `None` if all are taken.
    ///
    /// # Errors
    ///
    /// Those of a call that reads.
    pub async fn free_subnet(
        &self,
        instance: &InstanceName,
    ) -> Result<Option<Ipv4Net>, RuntimeError> {
        network::free(&self.engine, instance).await
    }

    /// The name of the container, whoever owns it, that publishes a TCP port on `bind`.
    ///
    /// # Errors
    ///
    /// Those of a call that reads.
    pub async fn publisher(&self, bind: IpAddr, port: u16) -> Result<Option<String>, RuntimeError> {
        let options = ListContainersOptionsBuilder::default().build();
        let call = self.engine.docker()?.list_containers(Some(options));
        let listed = self.engine.call(READ, "list containers", call).await;
        let listed = listed.map_err(Failure::general)?;
        let publishes = |ip: Option<&str>| {
            let ip = ip.and_then(|ip| ip.parse::<IpAddr>().ok());
            ip.is_none_or(|ip| ip == bind || ip.is_unspecified() || bind.is_unspecified())
        };
        let found = listed.into_iter().find(|container| {
            let ports = container.ports.as_deref().unwrap_or_default();
            ports.iter().any(|published| {
                published.typ == Some(PortSummaryTypeEnum::TCP)
                    && published.public_port == Some(port)
                    && publishes(published.ip.as_deref())
            })
        });
        let name = found.and_then(|container| container.names?.into_iter().next());
        Ok(name.map(|name| one_line(name.trim_start_matches('/'))))
    }
}
