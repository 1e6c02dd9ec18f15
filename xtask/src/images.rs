//! Images that the examples and tests need.
//!
//! None of them needs a registry: they are built from this repository and, where no nginx image can
//! be pulled, from the packages of the Linux distribution.

mod apt;
mod busybox;
mod nginx;
mod pebble;
mod sources;
mod whoami;

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::engine::Engine;
use crate::run;
use apt::Apt;

/// Images that exist on the engine.
#[derive(Debug)]
pub(crate) struct Images {
    /// Program of the examples.
    pub(crate) whoami: &'static str,
    /// Shell and tools.
    pub(crate) busybox: &'static str,
    /// nginx.
    pub(crate) ingress: String,
}

/// Builds images that are missing or out of date. A lock file excludes other tasks meanwhile.
pub(crate) fn ensure(engine: Engine) -> Result<Images> {
    let _lock = lock()?;
    Ok(Images {
        whoami: whoami::ensure(engine)?,
        busybox: busybox::ensure(engine)?,
        ingress: nginx::ensure(engine)?,
    })
}

/// Builds the image of a certificate authority, which only tests need. `None` where that is not
/// possible.
pub(crate) fn ensure_authority(engine: Engine) -> Result<Option<&'static str>> {
    let _lock = lock()?;
    Ok(pebble::ensure(engine))
}

fn lock() -> Result<File> {
    let folder = run::image_target();
    std::fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the image folder")?;
    Ok(lock)
}

/// Unpacks packages of Debian's newest suite, with all that they depend on, into a folder.
pub(crate) fn unpack(packages: &[&str], root: &Path) -> Result<()> {
    let _lock = lock()?;
    Apt::newest()?.extract(packages, root)
}

/// Builds the images and prints their names.
pub(crate) fn print() -> Result<()> {
    let engine = Engine::find()?;
    let images = ensure(engine)?;
    let authority = ensure_authority(engine)?;
    println!("example image: {}", images.whoami);
    println!("tools image:   {}", images.busybox);
    println!("ingress image: {}", images.ingress);
    println!("ACME image:    {}", authority.unwrap_or("none"));
    Ok(())
}
