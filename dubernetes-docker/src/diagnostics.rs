//! Queries for diagnostics, such as `doctor`. None of them changes anything that lasts, and no
//! decision of the controller depends on them.

use std::net::IpAddr;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, HostConfig, PortSummary, PortSummaryTypeEnum};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::error::one_line;
use dubernetes_core::runtime::{ImageProblem, RuntimeError};
use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use jiff::Timestamp;

use crate::engine::{READ, WRITE};
use crate::error::CallError;
use crate::runtime::DockerRuntime;
use crate::{credentials, network};

/// Facts about the host of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// Directory of images and containers, as a path on the engine's host.
    pub data_root: Option<PathBuf>,
    /// Current time of the engine's clock.
    pub time: Option<Timestamp>,
}

impl DockerRuntime {
    /// Returns the engine's data directory and clock.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn host_info(&self) -> Result<HostInfo, RuntimeError> {
        let docker = self.engine.docker()?;
        let answer = self.engine.call(READ, "describe its host", docker.info()).await;
        let info = answer.map_err(CallError::into_runtime_error)?;
        Ok(HostInfo {
            data_root: info.docker_root_dir.map(PathBuf::from).filter(|path| path.is_absolute()),
            time: info.system_time.and_then(|time| time.parse().ok()),
        })
    }

    /// Returns the environment of an image, each entry as `NAME=value`; `None` if the engine does
    /// not have the image.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn image_env(&self, image: &ImageRef) -> Result<Option<Vec<String>>, RuntimeError> {
        let name = image.with_default_tag();
        let operation = format!("inspect image `{name}`");
        let call = self.engine.docker()?.inspect_image(&name);
        match self.engine.call(READ, &operation, call).await {
            Ok(answer) => Ok(Some(answer.config.and_then(|config| config.env).unwrap_or_default())),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error.into_runtime_error()),
        }
    }

    /// Runs a script with the shell of an image, in a container without a network that the engine
    /// removes when the script ends. Returns the whole output; `None` if the image has no shell.
    ///
    /// # Errors
    ///
    /// Those of a create and a start; [`RuntimeError::Timeout`] if the script does not end.
    pub async fn run_in_image(
        &self,
        image: &ImageRef,
        script: &str,
    ) -> Result<Option<String>, RuntimeError> {
        let docker = self.engine.docker()?;
        let body = ContainerCreateBody {
            image: Some(image.with_default_tag()),
            entrypoint: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            cmd: Some(Vec::new()),
            host_config: Some(HostConfig {
                auto_remove: Some(true),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let operation = format!("run a script in image `{image}`");
        let call = docker.create_container(None, body);
        let created = self.engine.call(WRITE, &operation, call).await;
        let id = created.map_err(CallError::into_runtime_error)?.id;
        let output = async {
            let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true);
            let attached = docker.attach_container(&id, Some(options.stderr(true).build())).await?;
            docker.start_container(&id, None).await?;
            attached.output.try_collect::<Vec<_>>().await
        };
        let output = self.engine.call(WRITE, &operation, output).await;
        // Of a script that has not ended, or was not started.
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        let _ =
            self.engine.call(WRITE, &operation, docker.remove_container(&id, Some(options))).await;
        match output {
            Ok(parts) => Ok(Some(parts.iter().map(ToString::to_string).collect())),
            Err(error) if matches!(error.status(), Some(400 | 404)) => Ok(None),
            Err(error) => Err(error.into_runtime_error()),
        }
    }

    /// Checks with the image's registry, through the engine, that the image can be pulled.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Image`] with the reason if it cannot.
    pub async fn can_pull(&self, image: &ImageRef) -> Result<(), RuntimeError> {
        let name = image.with_default_tag();
        let operation = format!("look up image `{name}` in its registry");
        // A public image needs no credentials.
        let credentials = credentials::find(&self.engine, image).await.unwrap_or_default();
        let call = self.engine.docker()?.inspect_registry_image(&name, credentials);
        let Err(error) = self.engine.call(READ, &operation, call).await else { return Ok(()) };
        let problem = match error.status() {
            Some(404) => ImageProblem::Missing,
            Some(401 | 403) => ImageProblem::Denied,
            Some(_) | None => ImageProblem::Unavailable,
        };
        let Some(message) = error.message() else { return Err(error.into_runtime_error()) };
        let message = message.to_owned();
        Err(RuntimeError::Image { image: image.to_string(), problem, message })
    }

    /// Returns the subnet that a new network of the instance would get; `None` if all are taken.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn free_subnet(
        &self,
        instance: &InstanceName,
    ) -> Result<Option<Ipv4Net>, RuntimeError> {
        network::find_free_subnet(&self.engine, instance).await
    }

    /// Returns the name of the container, of any instance or none, that publishes the TCP port
    /// on `bind`.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub async fn publisher(&self, bind: IpAddr, port: u16) -> Result<Option<String>, RuntimeError> {
        let options = ListContainersOptionsBuilder::default().build();
        let call = self.engine.docker()?.list_containers(Some(options));
        let listed = self.engine.call(READ, "list containers", call).await;
        let listed = listed.map_err(CallError::into_runtime_error)?;
        let found = listed.into_iter().find(|container| {
            let ports = container.ports.as_deref().unwrap_or_default();
            ports.iter().any(|published| conflicts(published, bind, port))
        });
        let name = found.and_then(|container| container.names?.into_iter().next());
        Ok(name.map(|name| one_line(name.trim_start_matches('/'))))
    }
}

/// Returns whether a published port occupies `port` on `bind`.
fn conflicts(published: &PortSummary, bind: IpAddr, port: u16) -> bool {
    let ip = published.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    published.typ == Some(PortSummaryTypeEnum::TCP)
        && published.public_port == Some(port)
        && ip.is_none_or(|ip| ip == bind || ip.is_unspecified() || bind.is_unspecified())
}
