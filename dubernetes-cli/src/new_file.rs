//! Files that a command writes for its user.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use crate::report::{CliError, Result};

/// Writes a file. One that exists is an error, unless `force` overwrites it.
pub(crate) fn write(path: &Path, text: &str, force: bool) -> Result {
    let mut options = OpenOptions::new();
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let shown = path.display();
    let written = options.write(true).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.flush()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::new(format!("`{shown}` already exists"))
            .help("`--force` overwrites it, `-o` writes elsewhere"),
        _ => CliError::with_io_source(&format!("cannot write `{shown}`"), &error),
    })
}
