//! Reads manifests named on the command line: files, folders, standard input, and the files that
//! they refer to. Everything is read and checked before a command acts on any of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dubernetes_core::app::env::parse_env_file;
use dubernetes_core::app::{Artifact, FilePath, MAX_CONTENT_BYTES, in_start_order};
use dubernetes_manifest::{Diagnostics, Located, Parsed, Source, Variables, parse_with_variables};

use crate::args::{FileArgs, VariableArgs};

use crate::report::{self, CliError, Result, USAGE};

/// Reads the apps that `files` names, in order, with the contents of the files that they refer to.
///
/// # Errors
///
/// Lists every problem in every file at once.
pub(crate) fn read_apps(files: &FileArgs) -> Result<Vec<Located>> {
    read_apps_in(&files.paths(), files.variables())
}

/// Reads the apps in `paths`, in the order in which they start.
///
/// # Errors
///
/// Those of [`read_apps`].
pub(crate) fn read_apps_in(paths: &[PathBuf], variables: &VariableArgs) -> Result<Vec<Located>> {
    let mut apps = parse(paths, variables)?;
    apps.iter_mut().try_for_each(resolve_program)?;
    apps.iter_mut().try_for_each(resolve_volumes)?;
    Ok(in_start_order(apps, |located| &located.spec))
}

/// Reads the apps that `files` names as [`read_apps`] does. Programs need not exist.
///
/// # Errors
///
/// Those of [`read_apps`].
pub(crate) fn read_apps_to_export(files: &FileArgs) -> Result<Vec<Located>> {
    let mut apps = parse(&files.paths(), files.variables())?;
    apps.iter_mut().try_for_each(resolve_volumes)?;
    Ok(in_start_order(apps, |located| &located.spec))
}

fn parse(paths: &[PathBuf], variables: &VariableArgs) -> Result<Vec<Located>> {
    let sources = read_sources(paths)?;
    print_notes(match read_variables(variables)? {
        Some(variables) => parse_with_variables(&sources, &read_content, &variables),
        None => dubernetes_manifest::parse_reading(&sources, &read_content),
    })
}

/// Reads the apps in `paths` without the contents of other files, which need not exist.
///
/// # Errors
///
/// Those of [`read_apps`].
pub(crate) fn read_apps_without_contents(paths: &[PathBuf]) -> Result<Vec<Located>> {
    print_notes(dubernetes_manifest::parse(&read_sources(paths)?))
}

/// Returns the variables of the command line, or `None` if it has no flag for any. Those of
/// `--set` win over those of the environment, and these over those of files.
fn read_variables(args: &VariableArgs) -> Result<Option<Variables>> {
    let VariableArgs { set, env, env_file } = args;
    if set.is_empty() && env.is_empty() && env_file.is_empty() {
        return Ok(None);
    }
    let mut variables = Variables::new();
    for path in env_file {
        let content = fs::read(path).map_err(CliError::cannot("read", path))?;
        let parsed = parse_env_file(&content).map_err(|error| {
            let file = path.display();
            CliError::new(format!("line {} of `{file}` {}", error.line, error.reason))
        })?;
        variables.extend(parsed.into_iter().map(|(name, value)| (name.to_string(), value)));
    }
    for name in env {
        let value = std::env::var(name).map_err(|error| {
            CliError::with_exit(USAGE, format!("the environment variable `{name}`: {error}"))
        })?;
        variables.insert(name.clone(), value);
    }
    variables.extend(set.iter().cloned());
    Ok(Some(variables))
}

/// Makes the path of the program absolute. It starts where the files of the app do.
fn resolve_program(app: &mut Located) -> Result {
    let Located { spec, source, line, .. } = app;
    let Some(program) = spec.artifact.program() else { return Ok(()) };
    let found = find_program(program.as_str(), start_folder(source)).and_then(|path| {
        let path = FilePath::parse(&path.to_string_lossy());
        path.map_err(|error| error.to_string())
    });
    let found = found.map_err(|reason| {
        CliError::new(format!("{source}:{line}: the program `{program}`: {reason}"))
    })?;
    spec.artifact = Artifact::Program(found);
    Ok(())
}

/// Makes host folders such as `./data` absolute. They start where the files of the app do.
fn resolve_volumes(app: &mut Located) -> Result {
    let Located { spec, source, line, .. } = app;
    for volume in &mut spec.volumes {
        let written = volume.to_string();
        let folder = std::path::absolute(start_folder(source).join("."))
            .map_err(|error| CliError::with_io_source("cannot find the current folder", &error))?;
        volume.resolve(&folder.to_string_lossy()).map_err(|error| {
            CliError::new(format!("{source}:{line}: the volume `{written}`: {error}"))
        })?;
    }
    Ok(())
}

/// Returns the folder where relative paths of a source start.
fn start_folder(source: &str) -> &Path {
    if source == STDIN { Path::new("") } else { folder_of(source) }
}

/// Returns the path of a program. A name without a folder is looked up in PATH.
fn find_program(program: &str, folder: &Path) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = std::path::absolute(folder.join(program));
        return path.map_err(|error| report::io_reason(&error));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(program));
    let found = paths.find(|path| path.is_absolute() && path.is_file());
    found.ok_or_else(|| format!("it is not in PATH; one beside the file is written `./{program}`"))
}

/// The name of standard input in diagnostics.
const STDIN: &str = "<stdin>";

fn folder_of(source: &str) -> &Path {
    Path::new(source).parent().unwrap_or(Path::new(""))
}

fn print_notes(parsed: Result<Parsed, Diagnostics>) -> Result<Vec<Located>> {
    let parsed = parsed?;
    for note in &parsed.notes {
        report::note(note);
    }
    Ok(parsed.apps)
}

/// Reads a file that a source refers to, up to one byte over the limit. A relative path begins at
/// the source's folder, or at the current folder for standard input.
fn read_content(source: &Source, path: &str) -> Result<Vec<u8>, String> {
    let beside = if source.name == "-" { Path::new("") } else { folder_of(&source.name) };
    let path = beside.join(path);
    let why = |error: io::Error| report::io_reason(&error);
    // A pipe or device may block, or never end.
    if !fs::metadata(&path).map_err(why)?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_CONTENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(&path).map_err(why)?.take(limit).read_to_end(&mut bytes).map_err(why)?;
    Ok(bytes)
}

fn read_sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let stdin = Path::new("-");
    if paths.iter().filter(|path| *path == stdin).count() > 1 {
        return Err(CliError::with_exit(USAGE, "`-` can be given only once")
            .help("standard input can be read only once"));
    }
    let mut sources = Vec::new();
    for path in paths {
        if path == stdin {
            sources.push(read_source(stdin, io::stdin().lock())?);
            continue;
        }
        if fs::metadata(path).map_err(CliError::cannot("read", path))?.is_dir() {
            for file in files_in(path)? {
                sources.push(read_file(&file)?);
            }
        } else {
            sources.push(read_file(path)?);
        }
    }
    Ok(sources)
}

/// Lists the YAML files of a folder by name. Subfolders are not searched.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: io::Error| {
        CliError::with_io_source(&format!("cannot read the folder `{}`", folder.display()), &error)
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if yaml && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let what = format!("no `*.yaml` or `*.yml` file in the folder `{}`", folder.display());
        return Err(CliError::new(what).help("subfolders are not searched; name them"));
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source> {
    read_source(path, File::open(path).map_err(CliError::cannot("read", path))?)
}

fn read_source(path: &Path, from: impl Read) -> Result<Source> {
    let name = path.display().to_string();
    Source::read(&name, from).map_err(CliError::cannot("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_file_is_read_up_to_limit() {
        let source = read_source(Path::new("zeros"), io::repeat(b'#')).unwrap();
        assert!(dubernetes_manifest::parse(&[source]).unwrap_err().to_string().contains("1 MiB"));
    }

    #[test]
    fn folder_yields_yaml_files_sorted_by_name() {
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
    fn content_is_found_beside_manifest_and_cut_at_limit() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("key"), "text").unwrap();
        fs::write(folder.path().join("large"), vec![0; MAX_CONTENT_BYTES + 9]).unwrap();
        let source = |name: &Path| Source { name: name.display().to_string(), text: Vec::new() };
        let beside = source(&inner.join("app.yaml"));
        assert_eq!(read_content(&beside, "./key").as_deref(), Ok(&b"text"[..]));
        let large = read_content(&beside, "../large").unwrap();
        assert_eq!(large.len(), MAX_CONTENT_BYTES + 1);
        let absolute = inner.join("key").display().to_string();
        assert_eq!(read_content(&source(Path::new("-")), &absolute).as_deref(), Ok(&b"text"[..]));
        // Standard input and a bare name have no folder, so the current one counts.
        for name in ["-", "app.yaml"] {
            assert!(read_content(&source(Path::new(name)), "Cargo.toml").is_ok(), "{name}");
        }
        assert_eq!(read_content(&beside, "none").unwrap_err(), "no such file");
        assert_eq!(read_content(&beside, "../inner").unwrap_err(), "not a regular file");
    }

    #[test]
    fn relative_host_folder_is_found_beside_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.yaml");
        fs::write(&path, "name: a\nimage: b\nvolumes: [\"./data:/data\", \"x:/x\"]\n").unwrap();
        let apps = read_apps_in(&[path], &VariableArgs::default()).unwrap();
        let data = folder.path().join("data");
        let expected = [format!("{}:/data", data.display()), "x:/x".to_owned()];
        let volumes = apps[0].spec.volumes.iter().map(ToString::to_string);
        assert_eq!(volumes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn program_is_found_beside_manifest_or_in_path() {
        let folder = tempfile::tempdir().unwrap();
        let read = |program: &str| {
            let path = folder.path().join("app.yaml");
            fs::write(&path, format!("name: a\nprogram: {program}\n")).unwrap();
            let mut apps = read_apps_in(&[path], &VariableArgs::default())?;
            Ok::<_, CliError>(apps.remove(0).spec.artifact.to_string())
        };
        let beside = format!("{}/web", folder.path().display());
        assert_eq!(read("./web").unwrap(), beside);
        assert_eq!(read("/srv/web").unwrap(), "/srv/web");
        assert!(read("sh").unwrap().ends_with("/sh"), "a shell is in PATH");
        assert!(read("none-4711").unwrap_err().text().contains("is not in PATH"));
    }

    #[test]
    fn variables_come_from_flags_before_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tags.env");
        fs::write(&file, "TAG=1\nOTHER=\"a b\"\n").unwrap();
        let args = VariableArgs {
            set: vec![("TAG".into(), "2".into())],
            env: vec!["PATH".into()],
            env_file: vec![file.clone()],
        };
        let variables = read_variables(&args).unwrap().unwrap();
        assert_eq!(variables["TAG"], "2");
        assert_eq!(variables["OTHER"], "a b");
        assert_eq!(variables.keys().collect::<Vec<_>>(), ["OTHER", "PATH", "TAG"]);
        assert_eq!(read_variables(&VariableArgs::default()).unwrap(), None);
        let unset = VariableArgs { env: vec!["NONE_4711".into()], ..VariableArgs::default() };
        assert!(read_variables(&unset).unwrap_err().text().contains("NONE_4711"));
        fs::write(&file, "nonsense").unwrap();
        let bad = VariableArgs { env_file: vec![file], ..VariableArgs::default() };
        assert!(read_variables(&bad).unwrap_err().text().contains("line 1"));
    }

    #[test]
    fn standard_input_given_twice_is_refused() {
        let error = read_sources(&["-".into(), "-".into()]).err().unwrap();
        assert_eq!(error.exit_code(), USAGE);
    }
}
