//! The optional parts of a runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    ContainerId, ExecRequest, ExecSession, FileEntry, ImageLayers, LogLine, LogOptions, Network,
    NodeInfo, RuntimeError, RuntimeStream, Stats, Stdio,
};
use crate::app::{AppName, ImageRef, InstanceName};

/// The part of a runtime that has a network of its own for each instance.
#[async_trait]
pub trait Networks: fmt::Debug + Send + Sync {
    /// Ensures that the instance's network exists, and returns it. Idempotent; an existing
    /// network of this name and label keeps its subnet.
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError>;

    /// Returns the instance's network, or `None` if it does not exist. Fails with
    /// [`RuntimeError::OwnedByOtherState`] if another state has claimed it.
    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError>;

    /// Returns addresses that no new container can get now, beside those of listed containers:
    /// such as those of containers on a lost host. Does not wait. By default there are none.
    fn held_addresses(&self, instance: &InstanceName) -> BTreeSet<IpAddr> {
        let _ = instance;
        BTreeSet::new()
    }

    /// Removes the instance's network, and its published names. A missing one is success.
    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError>;

    /// Replaces the names that containers of the instance resolve, running ones included: those
    /// that were created with [names](super::ContainerRequest::names). Idempotent.
    ///
    /// By default nothing happens: a container keeps the names of its request.
    async fn publish_names(
        &self,
        instance: &InstanceName,
        names: &BTreeMap<AppName, Ipv4Addr>,
    ) -> Result<(), RuntimeError> {
        let _ = (instance, names);
        Ok(())
    }
}

/// The part of a runtime that runs commands in containers.
#[async_trait]
pub trait Exec: fmt::Debug + Send + Sync {
    /// Runs a command in a running container. Not running: [`RuntimeError::NotRunning`]. A command
    /// that is not found exits with 126 or 127. The container goes on if the session is dropped.
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError>;

    /// Attaches to the process of a container that was created with these streams, and is not
    /// started yet: no output is lost. The output ends with the exit code of the process.
    ///
    /// By default nothing is attached to: [`RuntimeError::Unsupported`].
    async fn attach(&self, id: &ContainerId, stdio: Stdio) -> Result<ExecSession, RuntimeError> {
        let _ = (id, stdio);
        Err(RuntimeError::Unsupported { what: "attaching to containers" })
    }
}

/// The part of a runtime that puts files into containers, and reads them.
#[async_trait]
pub trait Files: fmt::Debug + Send + Sync {
    /// Puts files and links into a container, running or not, and creates missing directories.
    /// Replaces existing files. Not atomic: callers write new names, read back, then switch a link.
    ///
    /// The directories above a [`FileEntry::Directory`] must exist: an engine may spare the looks
    /// at them.
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError>;

    /// Returns the files in and below a directory, by path relative to it, at most 64 MiB. The
    /// container need not run, and its image needs no tools. A `directory` that is a link is
    /// followed; links in it are left out. Missing: [`RuntimeError::NotFound`].
    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError>;
}

/// The part of a runtime that keeps the output of containers.
#[async_trait]
pub trait Logs: fmt::Debug + Send + Sync {
    /// Streams the container's output, oldest first. Ends after the last line, or with `follow`
    /// when the container stops. The output stays until the container is removed. Missing:
    /// [`RuntimeError::NotFound`].
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError>;
}

/// The part of a runtime that measures containers.
#[async_trait]
pub trait StatsReader: fmt::Debug + Send + Sync {
    /// Returns the resource usage of a running container. Missing: [`RuntimeError::NotFound`].
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError>;
}

/// The part of a runtime that reads its images, and takes images from archives.
///
/// An archive is a tar file as `docker save` writes it. It names the layers of an image, from the
/// lowest one up, and those of them that the loading runtime has may be missing.
#[async_trait]
pub trait Images: fmt::Debug + Send + Sync {
    /// Returns the layers of each image, in any order of images. None at all if the runtime needs
    /// every layer of an archive.
    async fn layers(&self) -> Result<Vec<ImageLayers>, RuntimeError>;

    /// Streams an archive of an image with its name. Missing: [`RuntimeError::NotFound`].
    async fn save(&self, image: &ImageRef) -> Result<RuntimeStream<Bytes>, RuntimeError>;

    /// Loads the images of an archive, and gives them their names. Names move to them. A malformed
    /// archive is [`RuntimeError::Rejected`]. An error of the stream ends the call, and leaves
    /// what was there.
    async fn load(&self, archive: RuntimeStream<Bytes>) -> Result<(), RuntimeError>;
}

/// The part of a runtime that knows its hosts.
#[async_trait]
pub trait Nodes: fmt::Debug + Send + Sync {
    /// Lists the hosts, by name.
    async fn list(&self) -> Result<Vec<NodeInfo>, RuntimeError>;

    /// Returns the host of each container that was listed or created. Does not wait.
    fn places(&self) -> BTreeMap<ContainerId, String>;

    /// Returns the containers of the last list that should be replaced, as those of a host that is
    /// to be empty. Does not wait.
    fn leaving(&self) -> BTreeSet<ContainerId>;
}
