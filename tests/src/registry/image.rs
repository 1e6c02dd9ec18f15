//! A one-layer image that no engine has: the whoami program and a file with unique content.

use std::io::Read as _;
use std::process::Command;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

/// Layer, configuration and manifest, each with its digest.
#[derive(Debug)]
pub struct Image {
    pub(super) layer: (String, Vec<u8>),
    config: (String, Vec<u8>),
    manifest: (String, Vec<u8>),
}

impl Image {
    /// Builds an image from the program in a whoami container, running or not.
    ///
    /// # Panics
    ///
    /// If the program cannot be copied from the container.
    pub fn from_container(container: &str) -> Self {
        let layer = with_digest(build_layer(&copy_program(container)));
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = serde_json::json!({
            "architecture": arch,
            "os": "linux",
            "config": { "Entrypoint": ["/whoami"], "ExposedPorts": { "80/tcp": {} } },
            "rootfs": { "type": "layers", "diff_ids": [layer.0] },
            "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "a test" }],
        });
        let config = with_digest(config.to_string().into_bytes());
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": config.1.len(),
                "digest": config.0,
            },
            "layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "size": layer.1.len(),
                "digest": layer.0,
            }],
        });
        Self { layer, config, manifest: with_digest(manifest.to_string().into_bytes()) }
    }

    /// Returns media type, digest and content of the part at this path.
    pub(super) fn part(&self, path: &str) -> (&str, &str, &[u8]) {
        let blob = |digest: &str| path.ends_with(&format!("/blobs/{digest}"));
        let (kind, part) = match path {
            _ if blob(&self.layer.0) => ("application/octet-stream", &self.layer),
            _ if blob(&self.config.0) => ("application/octet-stream", &self.config),
            _ => (MANIFEST, &self.manifest),
        };
        (kind, &part.0, &part.1)
    }
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn with_digest(content: Vec<u8>) -> (String, Vec<u8>) {
    let digest: String =
        Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    (format!("sha256:{digest}"), content)
}

/// Copies `/whoami` from the container.
fn copy_program(container: &str) -> Vec<u8> {
    let copy = Command::new("docker").args(["cp", &format!("{container}:/whoami"), "-"]).output();
    let copy = copy.unwrap();
    assert!(copy.status.success(), "{}", String::from_utf8_lossy(&copy.stderr));
    let mut archive = tar::Archive::new(&copy.stdout[..]);
    let mut file = archive.entries().unwrap().next().unwrap().unwrap();
    let mut program = Vec::new();
    file.read_to_end(&mut program).unwrap();
    program
}

fn build_layer(program: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let unique = format!("{} {now:?}\n", std::process::id());
    let mut layer = tar::Builder::new(Vec::new());
    for (path, content) in [("whoami", program), ("unique", unique.as_bytes())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap());
        header.set_mode(0o755);
        layer.append_data(&mut header, path, content).unwrap();
    }
    layer.into_inner().unwrap()
}
