//! `export`: turns apps into Kubernetes manifests, without an orchestrator, an engine or a cluster.

use std::fs;
use std::path::Path;

use dubernetes_manifest::kubernetes::{Exported, export};

use crate::args::ExportArgs;
use crate::new_file::{self, NewFile};
use crate::output;
use crate::report::{self, CliError, Result};
use crate::sources::read_apps_to_export;

pub(super) fn run(args: &ExportArgs) -> Result {
    let apps = read_apps_to_export(&args.files)?;
    let specs: Vec<_> = apps.iter().map(|app| &app.spec).collect();
    let exported = export(&specs);
    if exported.apps.is_empty() {
        report::notes(&exported.notes);
        return Err(CliError::new("no app can run in a cluster; nothing was exported"));
    }
    let Some(folder) = &args.output else {
        let texts = exported.apps.iter().flat_map(|app| [&app.secrets, &app.objects]);
        let texts: Vec<&str> = texts.map(String::as_str).filter(|text| !text.is_empty()).collect();
        output::print(&texts.join("---\n"))?;
        report::notes(&exported.notes);
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(CliError::cannot("create", folder))?;
    let written = write_all(folder, &exported, args.force)?;
    report::notes(&exported.notes);
    let shown = folder.display();
    report::note(&format!("wrote {written} to `{shown}`"));
    report::help(&format!("read the notes, then `kubectl apply --dry-run=server -f {shown}`"));
    Ok(())
}

/// Writes the files of all apps. If one exists, none is written.
fn write_all(folder: &Path, exported: &Exported, force: bool) -> Result<String> {
    let files = exported.apps.iter().flat_map(|app| {
        let path = |end: &str| folder.join(format!("{}{end}.yaml", app.name));
        let secrets = NewFile { path: path(".secrets"), text: &app.secrets, is_private: true };
        [secrets, NewFile { path: path(""), text: &app.objects, is_private: false }]
    });
    let files: Vec<NewFile<'_>> = files.filter(|file| !file.text.is_empty()).collect();
    new_file::write_all(&files, force)
}
