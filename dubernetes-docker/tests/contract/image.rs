//! The test image: built from the host's busybox, kept, and shared with other tests.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

/// Its name on the engine.
pub(crate) const NAME: &str = "dubernetes-test-busybox:1";

/// Builds the image if it is missing. A lock makes tests that run in parallel build it once.
pub(crate) fn ensure() -> Result<(), Box<dyn Error + Send + Sync>> {
    // Closing the file unlocks it.
    let lock = std::fs::File::create(std::env::temp_dir().join("dubernetes-test-image.lock"))?;
    lock.lock()?;
    let docker = || {
        let mut docker = Command::new("docker");
        docker.stdout(Stdio::null()).stderr(Stdio::null());
        docker
    };
    if docker().args(["image", "inspect", NAME]).status()?.success() {
        return Ok(());
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    let busybox =
        busybox.ok_or("the test image needs a static busybox, which is missing on this host")?;
    let mut import = docker()
        .args(["import", "--change", r#"CMD ["sh"]"#, "-", NAME])
        .stdin(Stdio::piped())
        .spawn()?;
    let input = import.stdin.take().ok_or("no input")?;
    image_archive(busybox, input)?;
    if import.wait()?.success() { Ok(()) } else { Err("cannot import the test image".into()) }
}

fn image_archive(
    busybox: &str,
    output: impl std::io::Write,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut archive = tar::Builder::new(output);
    for (folder, mode) in [("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        archive.append_data(&mut header, folder, std::io::empty())?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    let program = std::fs::read(busybox)?;
    header.set_size(program.len().try_into()?);
    archive.append_data(&mut header, "bin/busybox", program.as_slice())?;
    let applets = Command::new(busybox).arg("--list").output()?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|name| *name != "busybox") {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    archive.finish()?;
    Ok(())
}
