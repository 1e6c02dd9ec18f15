//! nginx image: an existing one, a pulled one, or one built from Debian packages.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::apt::Apt;
use super::busybox::{link_applets, write_accounts};
use crate::engine::Engine;
use crate::run;

/// Default ingress image.
const PULLED: &str = "nginx:stable-alpine";
/// Name of the image that is built here. Its tag is the version.
const BUILT: &str = "dubernetes-nginx";
/// Label with the modules of the image that is built here. An image without it is built again.
const MODULES_LABEL: &str = "dubernetes.modules";
/// Modules that Debian packages apart from nginx itself.
const MODULES: &str = "stream,http-js";
/// Time limit for a pull; afterwards the image is built. A pull takes a few seconds, and the engine
/// tries an unreachable registry for more than a minute.
const PULL_LIMIT: Duration = Duration::from_secs(30);
/// First version whose reload drops no idle connection.
const MIN_VERSION: (u32, u32, u32) = (1, 27, 4);

/// Files of the packages that a container does not need.
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

/// Character set tables and obsolete ciphers.
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

/// Returns the image to use, pulled or built if necessary.
pub(super) fn ensure(engine: Engine) -> Result<String> {
    if engine.has(PULLED) {
        return Ok(PULLED.to_owned());
    }
    let is_complete =
        |image: &String| engine.label(image, MODULES_LABEL).is_some_and(|label| label == MODULES);
    if let Some(built) = engine.built_images(BUILT)?.into_iter().find(is_complete) {
        return Ok(built);
    }
    println!("pulling {PULLED}");
    if run::succeeds_within(PULL_LIMIT, &mut engine.command(["pull", "--quiet", PULLED])) {
        return Ok(PULLED.to_owned());
    }
    if !Apt::is_installed() {
        bail!(
            "no nginx image: cannot pull {PULLED}, and cannot build one without apt-get; \
             run `docker pull {PULLED}` or `docker load`, and try again"
        );
    }
    println!("cannot pull {PULLED}, building nginx from packages");
    build(engine, &Apt::newest()?)
}

fn build(engine: Engine, apt: &Apt) -> Result<String> {
    let root = run::image_target().join("nginx");
    let _ = std::fs::remove_dir_all(&root);
    apt.extract(
        &["nginx", "libnginx-mod-stream", "libnginx-mod-http-js", "busybox-static"],
        &root,
    )?;
    let version = apt.version("nginx")?;
    if version < MIN_VERSION {
        println!("note: nginx {version:?} may drop idle connections on reload; 1.27.4 does not");
    }
    prepare_root(&root)?;
    let (major, minor, patch) = version;
    let image = format!("{BUILT}:{major}.{minor}");
    let instructions = [
        r#"CMD ["nginx", "-g", "daemon off;"]"#.to_owned(),
        "ENV PATH=/usr/sbin:/usr/bin".to_owned(),
        format!("ENV NGINX_VERSION={major}.{minor}.{patch}"),
        "EXPOSE 80".to_owned(),
        format!("LABEL {MODULES_LABEL}={MODULES}"),
        "STOPSIGNAL SIGQUIT".to_owned(),
    ];
    engine.build(&root, &image, &instructions)?;
    check_image(engine, &image).inspect_err(|_| {
        let _ = run::succeeds(&mut engine.command(["rmi", &image]));
    })?;
    println!("built {image}");
    Ok(image)
}

/// Turns the unpacked packages into the file system of an image.
fn prepare_root(root: &Path) -> Result<()> {
    for unused in UNUSED {
        let _ = std::fs::remove_dir_all(root.join(unused));
    }
    // Libraries are in a subfolder named after the architecture.
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
    create_temporary_folder(&root.join("tmp"))?;
    let _ = std::fs::remove_dir(root.join("var/run"));
    symlink("/run", root.join("var/run")).context("cannot link /var/run")?;
    // The engine logs standard output and standard error.
    symlink("/dev/stdout", root.join("var/log/nginx/access.log"))?;
    symlink("/dev/stderr", root.join("var/log/nginx/error.log"))?;
    let nginx = root.join("etc").join("nginx");
    std::fs::create_dir_all(nginx.join("conf.d"))?;
    std::fs::write(nginx.join("nginx.conf"), CONFIGURATION)?;
    std::fs::write(nginx.join("conf.d").join("default.conf"), DEFAULT_SITE)?;
    Ok(())
}

/// Creates a folder that all users may write, like `/tmp`.
pub(super) fn create_temporary_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(0o1777))?;
    Ok(())
}

/// Checks that nginx accepts its configuration and that all tools exist.
fn check_image(engine: Engine, image: &str) -> Result<()> {
    let script = "nginx -t && \
                  for tool in cat ls rm ln ps wget; do command -v $tool >/dev/null || exit 9; done";
    let name = format!("dubernetes-image-check-{}", std::process::id());
    let run = ["run", "--rm", "--name", &name, "--network", "none", image, "sh", "-c", script];
    run::read(&mut engine.command(run)).context("the built nginx image does not work")?;
    Ok(())
}
