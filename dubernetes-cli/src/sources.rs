//! Reads what was named on the command line as files with apps: files, folders, standard input.
//! Everything is read and checked before anything is done with any of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dubernetes_core::manifest::{self, Located, Source};

use crate::report::{self, FAILED, Failure, Outcome, USAGE};

/// The apps in all of `paths`, in their order.
///
/// # Errors
///
/// Everything that is wrong with any of them is told, all at once.
pub(crate) fn read_apps(paths: &[PathBuf]) -> Outcome<Vec<Located>> {
    let parsed = manifest::parse(&read_sources(paths)?).map_err(|diagnostics| {
        report::say(diagnostics.render(true).trim_end_matches('\n'));
        Failure::told(FAILED)
    })?;
    for note in &parsed.notes {
        report::note(note);
    }
    Ok(parsed.apps)
}

fn read_sources(paths: &[PathBuf]) -> Outcome<Vec<Source>> {
    let stdin = Path::new("-");
    if paths.iter().filter(|path| *path == stdin).count() > 1 {
        return Err(Failure::with_exit(USAGE, "`-` can be named only once")
            .help("standard input can be read only once"));
    }
    let mut sources = Vec::new();
    for path in paths {
        if path == stdin {
            sources.push(read("-", io::stdin().lock())?);
            continue;
        }
        let name = path.display().to_string();
        let cannot =
            |error: io::Error| Failure::because_io(&format!("cannot read `{name}`"), &error);
        if fs::metadata(path).map_err(cannot)?.is_dir() {
            for file in files_in(path)? {
                sources.push(read_file(&file)?);
            }
        } else {
            sources.push(read_file(path)?);
        }
    }
    Ok(sources)
}

/// The YAML files of a folder, by name; not of the folders in it.
fn files_in(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let cannot = |error: io::Error| {
        Failure::because_io(&format!("cannot read the folder `{}`", folder.display()), &error)
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if yaml && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::new(format!(
            "the folder `{}` has no file `*.yaml` or `*.yml`",
            folder.display()
        ))
        .help("folders inside it are not looked into; name them"));
    }
    Ok(files)
}

fn read_file(path: &Path) -> Outcome<Source> {
    let name = path.display().to_string();
    let file = File::open(path)
        .map_err(|error| Failure::because_io(&format!("cannot read `{name}`"), &error))?;
    read(&name, file)
}

fn read(name: &str, from: impl Read) -> Outcome<Source> {
    Source::read(name, from)
        .map_err(|error| Failure::because_io(&format!("cannot read `{name}`"), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_read_only_up_to_the_limit() {
        let source = read("zeros", io::repeat(b'#')).unwrap();
        assert!(manifest::parse(&[source]).unwrap_err().to_string().contains("1 MiB"));
    }

    #[test]
    fn a_folder_is_its_yaml_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yaml", "c.txt", "d.yaml.bak"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("e.yaml")).unwrap();
        let sources = read_sources(&[folder.path().to_owned()]).unwrap();
        let texts: Vec<_> = sources.iter().map(|source| source.text.clone()).collect();
        assert_eq!(texts, [b"a.yaml", &b"b.yml"[..]]);
        let empty = tempfile::tempdir().unwrap();
        assert!(read_sources(&[empty.path().to_owned()]).is_err());
    }

    #[test]
    fn standard_input_is_read_once() {
        let failure = read_sources(&["-".into(), "-".into()]).err().unwrap();
        assert_eq!(failure.exit(), USAGE);
    }
}
