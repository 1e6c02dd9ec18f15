//! Files that a command writes for its user.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::report::{CliError, Result};

/// Writes a file. One that exists is an error, unless `force` overwrites it.
pub(crate) fn write(path: &Path, text: &str, force: bool) -> Result {
    write_with(&mut OpenOptions::new(), path, text, force)
}

/// A file to write.
#[derive(Debug)]
pub(crate) struct NewFile<'t> {
    pub(crate) path: PathBuf,
    pub(crate) text: &'t str,
    /// Whether only its user may read it. A file that exists keeps its permissions.
    pub(crate) is_private: bool,
}

/// Writes files, and returns their number in words. If one exists, none is written, unless `force`
/// overwrites it.
pub(crate) fn write_all(files: &[NewFile<'_>], force: bool) -> Result<String> {
    if let Some(file) = files.iter().find(|file| !force && file.path.exists()) {
        return Err(already_exists(&file.path));
    }
    for NewFile { path, text, is_private } in files {
        let mut options = OpenOptions::new();
        if *is_private {
            options.mode(0o600);
        }
        write_with(&mut options, path, text, force)?;
    }
    Ok(if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) })
}

fn write_with(options: &mut OpenOptions, path: &Path, text: &str, force: bool) -> Result {
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
        io::ErrorKind::AlreadyExists => already_exists(path),
        _ => CliError::with_io_source(&format!("cannot write `{shown}`"), &error),
    })
}

fn already_exists(path: &Path) -> CliError {
    CliError::new(format!("`{}` already exists", path.display()))
        .help("`--force` overwrites it, `-o` writes elsewhere")
}
