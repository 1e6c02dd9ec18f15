//! The image of nginx: one that is there or can be pulled, else one built from Debian's packages.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::apt::Apt;
use super::busybox::{link_applets, write_accounts};
use crate::engine::Engine;
use crate::run;

/// The image that is used by default, everywhere.
const PULLED: &str = "nginx:stable-alpine";
/// The name of the image that is built here; its tag is the version.
const BUILT: &str = "dubernetes-nginx";
/// How long a pull may take before the image is built instead. Where a registry can be reached it
/// takes a few seconds, and where not, the engine tries for more than a minute.
const PULL_LIMIT: Duration = Duration::from_secs(30);
/// From this version on a reload drops no idle connection.
const GOOD_SINCE: (u32, u32, u32) = (1, 27, 4);

/// What packages bring and a container does not need.
const UNUSED: [&str; 14] = [
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/debconf",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
    "usr/share/pixmaps",
    "usr/share/vim",
    "usr/share/zsh",
    "var/cache/debconf",
    "etc/nginx/sites-enabled",
];

/// Tables of character sets, and ciphers that nobody offers any more.
const UNUSED_LIBRARIES: [&str; 3] = ["gconv", "ossl-modules", "engines-3"];

const CONFIGURATION: &str = "\
user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;

events {
    worker_connections 1024;
}

http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    include /etc/nginx/conf.d/*.conf;
}
";
const DEFAULT_SITE: &str = "\
server {
    listen 80;
    root /usr/share/nginx/html;
}
";

/// The image to use, which the engine has afterwards.
pub(super) fn ensure(engine: Engine) -> Result<String> {
    if engine.has(PULLED) {
        return Ok(PULLED.to_owned());
    }
    if let Some(built) = engine.built(BUILT)?.into_iter().next() {
        return Ok(built);
    }
    println!("pulling {PULLED}");
    if run::succeeds_within(PULL_LIMIT, &mut engine.command(["pull", "--quiet", PULLED])) {
        return Ok(PULLED.to_owned());
    }
    if !Apt::is_installed() {
        bail!(
            "no image of nginx: {PULLED} cannot be pulled, and without apt-get none can be built; \
             run `docker pull {PULLED}`, or `docker load` one, and try again"
        );
    }
    println!("it cannot be pulled, so nginx is taken from packages");
    build(engine, &Apt::newest()?)
}

fn build(engine: Engine, apt: &Apt) -> Result<String> {
    let root = run::image_target().join("nginx");
    let _ = std::fs::remove_dir_all(&root);
    apt.extract(&["nginx", "busybox-static"], &root)?;
    let version = apt.version("nginx")?;
    if version < GOOD_SINCE {
        println!(
            "note: before nginx 1.27.4 a reload may drop idle connections; this is {version:?}"
        );
    }
    fill(&root)?;
    let (major, minor, patch) = version;
    let image = format!("{BUILT}:{major}.{minor}");
    let instructions = [
        r#"CMD ["nginx", "-g", "daemon off;"]"#.to_owned(),
        "ENV PATH=/usr/sbin:/usr/bin".to_owned(),
        format!("ENV NGINX_VERSION={major}.{minor}.{patch}"),
        "EXPOSE 80".to_owned(),
        "STOPSIGNAL SIGQUIT".to_owned(),
    ];
    engine.build(&root, &image, &instructions)?;
    try_out(engine, &image).inspect_err(|_| {
        let _ = run::succeeds(&mut engine.command(["rmi", &image]));
    })?;
    println!("built {image}");
    Ok(image)
}

/// Turns the unpacked packages into the file system of an image.
fn fill(root: &Path) -> Result<()> {
    for unused in UNUSED {
        let _ = std::fs::remove_dir_all(root.join(unused));
    }
    // The libraries lie in one folder more, named after the processor.
    for entry in std::fs::read_dir(root.join("usr").join("lib"))?.flatten() {
        for unused in UNUSED_LIBRARIES {
            let _ = std::fs::remove_dir_all(entry.path().join(unused));
        }
    }
    link_applets(&root.join("usr").join("bin"))?;
    write_accounts(root)?;
    for folder in ["var/log/nginx", "var/cache/nginx", "var/lib/nginx", "run", "proc", "sys", "dev"]
    {
        std::fs::create_dir_all(root.join(folder))?;
    }
    make_temporary_folder(&root.join("tmp"))?;
    let _ = std::fs::remove_dir(root.join("var/run"));
    symlink("/run", root.join("var/run")).context("cannot link /var/run")?;
    // The engine keeps what is written to the container's own output.
    symlink("/dev/stdout", root.join("var/log/nginx/access.log"))?;
    symlink("/dev/stderr", root.join("var/log/nginx/error.log"))?;
    let nginx = root.join("etc").join("nginx");
    std::fs::create_dir_all(nginx.join("conf.d"))?;
    std::fs::write(nginx.join("nginx.conf"), CONFIGURATION)?;
    std::fs::write(nginx.join("conf.d").join("default.conf"), DEFAULT_SITE)?;
    Ok(())
}

/// A folder in which everybody may write.
pub(super) fn make_temporary_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(0o1777))?;
    Ok(())
}

/// An image of which nginx does not start, or that misses a tool, is not worth keeping.
fn try_out(engine: Engine, image: &str) -> Result<()> {
    let script = "nginx -t && for tool in cat ls rm ln ps wget; do command -v $tool >/dev/null || exit 9; done";
    let name = format!("dubernetes-image-check-{}", std::process::id());
    let run = ["run", "--rm", "--name", &name, "--network", "none", image, "sh", "-c", script];
    run::read(&mut engine.command(run)).context("the image of nginx does not work")?;
    Ok(())
}
