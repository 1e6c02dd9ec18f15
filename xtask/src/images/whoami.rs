//! Image of the examples, with only the statically linked program `whoami`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::engine::Engine;
use crate::run;

const IMAGE: &str = "dubernetes-whoami:1";
/// Label with the hash of the sources that the image was built from.
const SOURCE_LABEL: &str = "dubernetes.source";

/// Builds the image if it is missing or the sources have changed.
pub(super) fn ensure(engine: Engine) -> Result<&'static str> {
    let hash = hash_sources(&run::root().join("examples").join("whoami"))?;
    if engine.label(IMAGE, SOURCE_LABEL).is_some_and(|label| label == hash) {
        return Ok(IMAGE);
    }
    println!("building {IMAGE}");
    let target = linux_target()?;
    let build = ["build", "--release", "--package", "whoami", "--target", &target];
    // A separate target folder, so that these flags do not invalidate other builds.
    let mut build = run::cargo(build);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    build.env("CARGO_TARGET_DIR", run::image_target());
    run::show(&mut build)?;

    let folder = run::image_target().join("whoami");
    std::fs::create_dir_all(&folder)?;
    let program = run::image_target().join(&target).join("release").join("whoami");
    std::fs::copy(&program, folder.join("whoami"))
        .with_context(|| format!("cannot copy {}", program.display()))?;
    let instructions = [
        r#"ENTRYPOINT ["/whoami"]"#.to_owned(),
        "EXPOSE 80".to_owned(),
        format!("LABEL {SOURCE_LABEL}={hash}"),
    ];
    engine.build(&folder, IMAGE, &instructions)?;
    Ok(IMAGE)
}

/// Returns the target triple of this machine. Only a Linux program runs in a container.
fn linux_target() -> Result<String> {
    let version = run::read(&mut run::command("rustc", ["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    match host {
        Some(host) if host.contains("-linux-") => Ok(host.to_owned()),
        Some(host) => bail!(
            "{IMAGE} can be built on Linux only, not on {host}; build it in a virtual machine, \
             or copy it with `docker save` and `docker load`"
        ),
        None => bail!("`rustc -vV` prints no host"),
    }
}

/// Hashes the program's sources. The hash is compared on this machine only, so `DefaultHasher` need
/// not be stable across Rust versions.
fn hash_sources(folder: &Path) -> Result<String> {
    let mut files = BTreeMap::new();
    files.insert("Cargo.toml".into(), std::fs::read(folder.join("Cargo.toml"))?);
    for entry in std::fs::read_dir(folder.join("src"))? {
        let entry = entry?;
        files.insert(entry.file_name(), std::fs::read(entry.path())?);
    }
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_changes_only_with_sources() {
        let folder = std::env::temp_dir().join(format!("xtask-hash-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::write(folder.join("Cargo.toml"), "a").unwrap();
        std::fs::write(folder.join("src/main.rs"), "b").unwrap();
        let first = hash_sources(&folder).unwrap();
        std::fs::write(folder.join("README.md"), "c").unwrap();
        let same = hash_sources(&folder).unwrap();
        std::fs::write(folder.join("src/main.rs"), "d").unwrap();
        let other = hash_sources(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(first, same);
        assert_ne!(first, other);
    }
}
