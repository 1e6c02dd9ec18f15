//! A folder with an engine and all that it needs, out of Debian's packages.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Kind;
use crate::{images, run};

/// Folders that are mounted, or that programs expect.
const FOLDERS: [&str; 10] =
    ["dev", "etc/containers", "old", "proc", "root", "run", "sys", "tmp", "var/lib", "var/tmp"];
/// Links that Debian makes when it installs iptables.
const IPTABLES: [&str; 6] = [
    "iptables",
    "ip6tables",
    "iptables-save",
    "ip6tables-save",
    "iptables-restore",
    "ip6tables-restore",
];
/// Podman refuses every image without a policy.
const POLICY: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

/// Returns the folder of an engine, and makes it if it is missing.
pub(super) fn ensure(kind: Kind) -> Result<PathBuf> {
    let root = run::image_target().join(format!("engine-{}", kind.name()));
    // Written last, so that half a folder is made again.
    let finished = root.join("finished");
    if finished.exists() {
        return Ok(root);
    }
    println!("unpacking {} and what it needs", kind.name());
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(&root)?;
    images::unpack(&[kind.packages(), &["busybox-static", "procps"]].concat(), &root)?;
    for folder in FOLDERS {
        std::fs::create_dir_all(root.join(folder))?;
    }
    std::fs::write(root.join("etc/containers/policy.json"), POLICY)?;
    let files = [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        // Podman's name server wants one to forward to. None answers here.
        ("etc/resolv.conf", "nameserver 10.99.8.1\n"),
    ];
    for (file, text) in files {
        std::fs::write(root.join(file), text)?;
    }
    link(&root.join("usr/bin/sh"), "busybox")?;
    for name in IPTABLES {
        link(&root.join("usr/sbin").join(name), "xtables-nft-multi")?;
    }
    let folder = root.to_string_lossy().into_owned();
    run::read(&mut run::command("ldconfig", ["-r", folder.as_str()]))?;
    std::fs::write(finished, "")?;
    Ok(root)
}

fn link(at: &Path, to: &str) -> Result<()> {
    if at.symlink_metadata().is_err() {
        symlink(to, at)?;
    }
    Ok(())
}
