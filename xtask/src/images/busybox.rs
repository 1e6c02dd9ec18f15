//! Image with a shell and tools, for the tests.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use super::apt::Apt;
use crate::engine::Engine;
use crate::run;

const IMAGE: &str = "dubernetes-test-busybox:1";
/// Image to pull where there is no apt.
const PULLED: &str = "busybox:stable";

/// Builds the image if it is missing.
pub(super) fn ensure(engine: Engine) -> Result<&'static str> {
    if engine.has(IMAGE) {
        return Ok(IMAGE);
    }
    println!("building {IMAGE}");
    let Some(program) = find_static_busybox()? else {
        let pull = &mut engine.command(["pull", "--quiet", PULLED]);
        if !run::succeeds_within(Duration::from_secs(60), pull) {
            bail!("this machine has no apt-get; run `docker pull {PULLED}` and try again");
        }
        run::show(&mut engine.command(["tag", PULLED, IMAGE]))?;
        return Ok(IMAGE);
    };
    let folder = run::image_target().join("busybox");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("bin"))?;
    std::fs::copy(program, folder.join("bin").join("busybox"))?;
    link_applets(&folder.join("bin"))?;
    write_accounts(&folder)?;
    super::nginx::create_temporary_folder(&folder.join("tmp"))?;
    let instructions = [r#"CMD ["sh"]"#.to_owned(), "ENV PATH=/bin".to_owned()];
    engine.build(&folder, IMAGE, &instructions)?;
    Ok(IMAGE)
}

/// Returns the path of a static busybox: one from a package, or the machine's own where there is
/// no apt. The one of Debian 12 crashes if a name cannot be resolved, so a newer suite is used.
fn find_static_busybox() -> Result<Option<PathBuf>> {
    if Apt::is_installed() {
        let folder = run::image_target().join("busybox-package");
        let _ = std::fs::remove_dir_all(&folder);
        Apt::newest()?.extract(&["busybox-static"], &folder)?;
        return Ok(Some(folder.join("usr").join("bin").join("busybox")));
    }
    // `ldd` fails for a statically linked program.
    let is_static =
        |path: &&str| Path::new(path).is_file() && !run::succeeds(&mut run::command("ldd", [path]));
    Ok(["/bin/busybox", "/usr/bin/busybox"].into_iter().find(is_static).map(PathBuf::from))
}

/// Links each applet of `bin/busybox` under its name, unless another program has that name.
pub(super) fn link_applets(bin: &Path) -> Result<()> {
    let applets = run::read(&mut run::command(bin.join("busybox"), ["--list"]))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let link = bin.join(applet);
        if link.symlink_metadata().is_err() {
            symlink("busybox", link)?;
        }
    }
    Ok(())
}

/// Writes the accounts that an image needs: root, `nobody`, and nginx under both usual names.
pub(super) fn write_accounts(root: &Path) -> Result<()> {
    let etc = root.join("etc");
    std::fs::create_dir_all(&etc)?;
    std::fs::create_dir_all(root.join("root"))?;
    let accounts =
        [("root", 0, "/root"), ("www-data", 33, "/"), ("nginx", 101, "/"), ("nobody", 65534, "/")];
    let mut passwd = String::new();
    let mut group = String::new();
    for (name, id, home) in accounts {
        passwd.push_str(&format!("{name}:x:{id}:{id}:{name}:{home}:/bin/sh\n"));
        let name = if name == "nobody" { "nogroup" } else { name };
        group.push_str(&format!("{name}:x:{id}:\n"));
    }
    std::fs::write(etc.join("passwd"), passwd)?;
    std::fs::write(etc.join("group"), group)?;
    Ok(())
}
