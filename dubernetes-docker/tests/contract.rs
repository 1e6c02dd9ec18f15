//! The contract of `ContainerRuntime` on the engine of this machine, and what only an engine shows.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::testing::contract::container_runtime::{Facts, run};
use dubernetes_core::testing::gate::engine_or_skip;
use dubernetes_docker::DockerRuntime;

/// Made here of the host's busybox, kept, and shared with other tests.
const IMAGE: &str = "dubernetes-test-busybox:1";

fn instance(name: &str) -> InstanceName {
    InstanceName::parse(&format!("t-docker-{}-{name}", std::process::id())).unwrap()
}

/// An engine and the test image on it, or a line that says what is missing.
async fn engine(test: &str) -> Option<DockerRuntime> {
    let runtime = engine_or_skip(test, DockerRuntime::connect(None).await)?;
    engine_or_skip(test, ensure_image().map_err(std::io::Error::other))?;
    Some(runtime)
}

/// Makes the image if it is missing. Making it twice at once gives the tag to one of two equal
/// images, so whoever asks gets a whole one.
fn ensure_image() -> Result<(), Box<dyn Error + Send + Sync>> {
    let docker = || {
        let mut docker = Command::new("docker");
        docker.stdout(Stdio::null()).stderr(Stdio::null());
        docker
    };
    if docker().args(["image", "inspect", IMAGE]).status()?.success() {
        return Ok(());
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    let busybox = busybox.ok_or("the test image is made of a static busybox, which is missing")?;
    let mut import = docker()
        .args(["import", "--change", r#"CMD ["sh"]"#, "-", IMAGE])
        .stdin(Stdio::piped())
        .spawn()?;
    let input = import.stdin.take().ok_or("no input")?;
    image_archive(busybox, input)?;
    if import.wait()?.success() { Ok(()) } else { Err("the test image cannot be imported".into()) }
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

#[tokio::test]
async fn the_engine_keeps_the_contract() {
    let Some(runtime) = engine("the_engine_keeps_the_contract").await else { return };
    let facts = Facts {
        instance: instance("a"),
        other_instance: instance("b"),
        image: ImageRef::parse(IMAGE).unwrap(),
        missing_image: ImageRef::parse("localhost:1/no/such/image:1").unwrap(),
        real_commands: true,
    };
    run(&runtime, &facts).await;
}
