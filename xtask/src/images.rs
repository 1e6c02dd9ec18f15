//! Which images the examples and tests need, and whether what is there still fits.
//!
//! None of them needs a registry: they are built from this repository and, where no image of nginx
//! can be had, from the packages of the Linux distribution.

mod apt;
mod busybox;
mod nginx;
mod sources;
mod whoami;

use std::fs::File;

use anyhow::{Context as _, Result};

use crate::engine::Engine;
use crate::run;

/// The images, each of which the engine has.
#[derive(Debug)]
pub(crate) struct Images {
    /// The program of the examples.
    pub(crate) whoami: &'static str,
    /// A shell and small tools.
    pub(crate) busybox: &'static str,
    /// The nginx that receives the requests.
    pub(crate) ingress: String,
}

/// Builds what is missing or out of date. Only one chore at a time does so.
pub(crate) fn ensure(engine: Engine) -> Result<Images> {
    let folder = run::image_target();
    std::fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the folder of the images")?;
    Ok(Images {
        whoami: whoami::ensure(engine)?,
        busybox: busybox::ensure(engine)?,
        ingress: nginx::ensure(engine)?,
    })
}

/// The chore: builds, and says what there is.
pub(crate) fn print() -> Result<()> {
    let images = ensure(Engine::find()?)?;
    println!("example image: {}", images.whoami);
    println!("tools image:   {}", images.busybox);
    println!("ingress image: {}", images.ingress);
    Ok(())
}
