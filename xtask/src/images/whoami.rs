//! The image of the examples: the program `whoami`, linked statically, and nothing else.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::engine::Engine;
use crate::run;

const IMAGE: &str = "dubernetes-whoami:1";
/// The label that says from which sources the image was built.
const SOURCE_LABEL: &str = "dubernetes.source";

/// Builds the image if it is missing or its sources have changed.
pub(super) fn ensure(engine: Engine) -> Result<&'static str> {
    let hash = source_hash(&run::root().join("examples").join("whoami"))?;
    if engine.label(IMAGE, SOURCE_LABEL).is_some_and(|label| label == hash) {
        return Ok(IMAGE);
    }
    println!("building {IMAGE}");
    let target = linux_target()?;
    let build = ["build", "--release", "--package", "whoami", "--target", &target];
    // A folder of its own, so that these flags do not throw away what other builds have left.
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

/// The target of this machine, which must be a Linux for its programs to run in a container.
fn linux_target() -> Result<String> {
    let version = run::read(&mut run::command("rustc", ["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    match host {
        Some(host) if host.contains("-linux-") => Ok(host.to_owned()),
        Some(host) => bail!(
            "{IMAGE} can be built on Linux only, and this is {host}; build it in a virtual machine \
             or take it over with `docker save` and `docker load`"
        ),
        None => bail!("`rustc -vV` names no host"),
    }
}

/// Changes whenever a file of the program changes. It only tells two states of this checkout
/// apart, so it need not be the same on another machine.
fn source_hash(folder: &Path) -> Result<String> {
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
    fn the_hash_changes_with_the_sources_and_only_with_them() {
        let folder = std::env::temp_dir().join(format!("xtask-hash-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::write(folder.join("Cargo.toml"), "a").unwrap();
        std::fs::write(folder.join("src/main.rs"), "b").unwrap();
        let first = source_hash(&folder).unwrap();
        std::fs::write(folder.join("README.md"), "c").unwrap();
        let same = source_hash(&folder).unwrap();
        std::fs::write(folder.join("src/main.rs"), "d").unwrap();
        let other = source_hash(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(first, same);
        assert_ne!(first, other);
    }
}
