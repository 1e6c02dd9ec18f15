//! Image with Pebble, a certificate authority that speaks ACME, for the tests.

use anyhow::{Result, bail};

use super::apt::Apt;
use crate::engine::Engine;
use crate::run;

/// Name of the image. Its tag counts changes of what is in it.
const IMAGE: &str = "dubernetes-pebble:1";
/// Files of the packages that the program does not need: most of the size.
const UNUSED: [&str; 2] = ["usr/bin/pebble-challtestsrv", "usr/share"];

/// Builds the image if it is missing. Returns `None`, and says why, where there is no package: the
/// tests that need the image are skipped then.
pub(super) fn ensure(engine: Engine) -> Option<&'static str> {
    if engine.has(IMAGE) {
        return Some(IMAGE);
    }
    println!("building {IMAGE}");
    match build(engine) {
        Ok(()) => Some(IMAGE),
        Err(error) => {
            println!("note: tests of ACME are skipped, {IMAGE} cannot be built: {error:#}");
            None
        }
    }
}

fn build(engine: Engine) -> Result<()> {
    if !Apt::is_installed() {
        bail!("this machine has no apt-get");
    }
    let root = run::image_target().join("pebble");
    let _ = std::fs::remove_dir_all(&root);
    Apt::newest()?.extract(&["pebble"], &root)?;
    for unused in UNUSED {
        let path = root.join(unused);
        let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
    }
    super::nginx::create_temporary_folder(&root.join("tmp"))?;
    let instructions = [
        r#"ENTRYPOINT ["/usr/bin/pebble"]"#.to_owned(),
        // Checks at once instead of after some seconds.
        "ENV PEBBLE_VA_NOSLEEP=1".to_owned(),
        // One nonce in five is refused, to show that clients try again.
        "ENV PEBBLE_WFE_NONCEREJECT=20".to_owned(),
    ];
    engine.build(&root, IMAGE, &instructions)
}
