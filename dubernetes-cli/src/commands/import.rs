//! `import`: turns a Compose file into manifests, without an orchestrator or an engine.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use dubernetes_manifest::Source;
use dubernetes_manifest::compose::{Imported, import};

use crate::args::ImportArgs;
use crate::new_file::{self, NewFile};
use crate::output;
use crate::report::{self, CliError, Result};

pub(super) fn run(args: &ImportArgs) -> Result {
    let source = read(&args.file)?;
    let Some(folder) = &args.output else {
        let imported = import(&source, ".")?;
        let documents: Vec<_> = imported.apps.iter().map(|app| app.yaml.as_str()).collect();
        output::print(&documents.join("---\n"))?;
        report::notes(&imported.notes);
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(CliError::cannot("create", folder))?;
    let imported = import(&source, &path_between(folder, &args.file)?)?;
    let written = write_all(folder, &imported, args.force)?;
    report::notes(&imported.notes);
    let shown = folder.display();
    report::note(&format!("wrote {written} to `{shown}`"));
    report::help(&format!("read the notes, then `dubernetes plan {shown}`"));
    Ok(())
}

fn read(path: &Path) -> Result<Source> {
    let name = path.display().to_string();
    let read = match name.as_str() {
        "-" => Source::read("-", io::stdin().lock()),
        _ => File::open(path).and_then(|file| Source::read(name.clone(), file)),
    };
    read.map_err(CliError::cannot("read", path))
}

/// Writes one file per app. If one exists, none is written.
fn write_all(folder: &Path, imported: &Imported, force: bool) -> Result<String> {
    let files = imported.apps.iter().map(|app| {
        let path = folder.join(format!("{}.yaml", app.name));
        NewFile { path, text: &app.yaml, is_private: false }
    });
    new_file::write_all(&files.collect::<Vec<_>>(), force)
}

/// Returns the path from the folder of the manifests to that of the Compose file: a relative one
/// if the manifests are below it, so that both can be moved together.
fn path_between(manifests: &Path, compose: &Path) -> Result<String> {
    let compose = match compose.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let [manifests, compose] = [manifests, compose]
        .map(|path| path.canonicalize().map_err(CliError::cannot("read", path)));
    let (manifests, compose) = (manifests?, compose?);
    Ok(match manifests.strip_prefix(&compose) {
        Ok(below) => match below.components().count() {
            0 => ".".to_owned(),
            depth => vec![".."; depth].join("/"),
        },
        Err(_) => compose.display().to_string(),
    })
}
