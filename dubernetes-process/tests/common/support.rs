//! Programs for tests, and a runtime with its files in a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dubernetes_core::app::{Artifact, FilePath};
use dubernetes_process::ProcessRuntime;

/// Writes a shell script, and returns it as a program.
pub(crate) fn program(folder: &Path, name: &str, script: &str) -> Artifact {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Artifact::Program(FilePath::parse(path.to_str().unwrap()).unwrap())
}

/// Opens a runtime, which finds what an earlier one in the same folder has left.
pub(crate) fn open(folder: &Path) -> ProcessRuntime {
    ProcessRuntime::open(folder.join("processes")).unwrap()
}
