//! Reads what was named on the command line as files with apps: files, folders, standard input,
//! and the files that those refer to. Everything is read and checked before anything is done with any of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dubernetes_core::app::MAX_CONTENT_BYTES;
use dubernetes_manifest::{Diagnostics, Located, Parsed, Source};

use crate::report::{self, CliError, Result, USAGE};

/// The apps in all of `paths`, in their order, with the contents of the files that they refer to.
///
/// # Errors
///
/// Everything that is wrong with any of them is told, all at once.
pub(crate) fn read_apps(paths: &[PathBuf]) -> Result<Vec<Located>> {
    told(dubernetes_manifest::parse_reading(&read_sources(paths)?, &content))
}

/// The same without any content: files that are referred to need not be there.
///
/// # Errors
///
/// Those of [`read_apps`].
pub(crate) fn read_apps_alone(paths: &[PathBuf]) -> Result<Vec<Located>> {
    told(dubernetes_manifest::parse(&read_sources(paths)?))
}

fn told(parsed: Result<Parsed, Diagnostics>) -> Result<Vec<Located>> {
    let parsed = parsed?;
    for note in &parsed.notes {
        report::note(note);
    }
    Ok(parsed.apps)
}

/// The content of a file that a source refers to, but no more of it than tells that it is too
/// large. A relative path begins at the source's folder, or at the present one for standard input.
fn content(source: &Source, path: &str) -> Result<Vec<u8>, String> {
    let beside = Path::new(&source.name).parent().filter(|_| source.name != "-");
    let path = beside.unwrap_or(Path::new("")).join(path);
    let why = |error: io::Error| report::io_reason(&error);
    // What is no file, such as a pipe, could give no end, or never begin.
    if !fs::metadata(&path).map_err(why)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_CONTENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(&path).map_err(why)?.take(limit).read_to_end(&mut bytes).map_err(why)?;
    Ok(bytes)
}

fn read_sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let stdin = Path::new("-");
    if paths.iter().filter(|path| *path == stdin).count() > 1 {
        return Err(CliError::with_exit(USAGE, "`-` can be named only once")
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
            |error: io::Error| CliError::with_io_source(&format!("cannot read `{name}`"), &error);
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
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: io::Error| {
        CliError::with_io_source(&format!("cannot read the folder `{}`", folder.display()), &error)
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
        return Err(CliError::new(format!(
            "the folder `{}` has no file `*.yaml` or `*.yml`",
            folder.display()
        ))
        .help("folders inside it are not looked into; name them"));
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source> {
    let name = path.display().to_string();
    let file = File::open(path)
        .map_err(|error| CliError::with_io_source(&format!("cannot read `{name}`"), &error))?;
    read(&name, file)
}

fn read(name: &str, from: impl Read) -> Result<Source> {
    Source::read(name, from)
        .map_err(|error| CliError::with_io_source(&format!("cannot read `{name}`"), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_read_only_up_to_the_limit() {
        let source = read("zeros", io::repeat(b'#')).unwrap();
        assert!(dubernetes_manifest::parse(&[source]).unwrap_err().to_string().contains("1 MiB"));
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
    fn a_content_is_looked_for_beside_its_manifest_and_cut_at_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("key"), "text").unwrap();
        fs::write(folder.path().join("large"), vec![0; MAX_CONTENT_BYTES + 9]).unwrap();
        let source = |name: &Path| Source { name: name.display().to_string(), text: Vec::new() };
        let beside = source(&inner.join("app.yaml"));
        assert_eq!(content(&beside, "./key").as_deref(), Ok(&b"text"[..]));
        assert_eq!(content(&beside, "../large").map(|read| read.len()), Ok(MAX_CONTENT_BYTES + 1));
        let absolute = inner.join("key").display().to_string();
        assert_eq!(content(&source(Path::new("-")), &absolute).as_deref(), Ok(&b"text"[..]));
        // Standard input and a bare name: beside nothing, so in the present folder.
        for name in ["-", "app.yaml"] {
            assert!(content(&source(Path::new(name)), "Cargo.toml").is_ok(), "{name}");
        }
        assert_eq!(content(&beside, "none").unwrap_err(), "no such file");
        assert_eq!(content(&beside, "../inner").unwrap_err(), "it is no file");
    }

    #[test]
    fn standard_input_is_read_once() {
        let failure = read_sources(&["-".into(), "-".into()]).err().unwrap();
        assert_eq!(failure.exit_code(), USAGE);
    }
}
