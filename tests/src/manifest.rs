//! Manifests that the tests apply.

use std::fmt;

/// Image of the example program, built by `cargo xtask images`.
pub const WHOAMI: &str = "dubernetes-whoami:1";
/// Image with a shell and its tools, built by `cargo xtask images`.
pub const BUSYBOX: &str = "dubernetes-test-busybox:1";

/// A document with one app.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Name of the app.
    pub name: String,
    text: String,
}

/// Returns an app that runs `image`.
pub fn app(name: &str, image: &str, replicas: u32) -> Manifest {
    let text = format!("name: {name}\nimage: {image}\nreplicas: {replicas}\n");
    Manifest { name: name.to_owned(), text }
}

/// Returns an app whose replicas answer requests with their identity.
pub fn whoami(name: &str, replicas: u32) -> Manifest {
    app(name, WHOAMI, replicas)
}

/// Returns an app that runs a shell script.
pub fn busybox(name: &str, replicas: u32, script: &str) -> Manifest {
    let script = serde_json::Value::from(script);
    let command = format!("command: [/bin/sh, -c, {script}]");
    app(name, BUSYBOX, replicas).with(&command)
}

impl Manifest {
    /// Adds `access` with this host.
    pub fn host(self, host: &str) -> Self {
        self.with(&format!("access: {{ host: {host} }}"))
    }

    /// Appends lines of YAML.
    pub fn with(mut self, lines: &str) -> Self {
        self.text.push_str(lines);
        self.text.push('\n');
        self
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
