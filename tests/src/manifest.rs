//! The files that the tests apply.

use std::fmt;

/// Made by `cargo xtask images`, as is [`BUSYBOX`].
pub const WHOAMI: &str = "dubernetes-whoami:1";
/// A shell and its tools.
pub const BUSYBOX: &str = "dubernetes-test-busybox:1";

/// A document with one app.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The app's name.
    pub name: String,
    text: String,
}

/// The app `name` of this image.
pub fn app(name: &str, image: &str, replicas: u32) -> Manifest {
    let text = format!("name: {name}\nimage: {image}\nreplicas: {replicas}\n");
    Manifest { name: name.to_owned(), text }
}

/// The app `name` that says who answers.
pub fn whoami(name: &str, replicas: u32) -> Manifest {
    app(name, WHOAMI, replicas)
}

/// The app `name` that runs a script.
pub fn busybox(name: &str, replicas: u32, script: &str) -> Manifest {
    let script = serde_json::Value::from(script);
    let command = format!("command: [/bin/sh, -c, {script}]");
    app(name, BUSYBOX, replicas).with(&command)
}

impl Manifest {
    /// The same, reached under a host.
    pub fn host(self, host: &str) -> Self {
        self.with(&format!("access: {{ host: {host} }}"))
    }

    /// The same with more lines.
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
