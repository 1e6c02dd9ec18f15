//! The settings file: values for flags that neither the command line nor the environment sets.
//!
//! Every flag with an environment variable is a key, named after the variable:
//! `DUBERNETES_HTTP_PORT` is `http_port`. The keys come from the definitions of the command line,
//! so none can be missing. The values become defaults in these definitions, so clap resolves the
//! order of the sources.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as _, Command, CommandFactory as _, FromArgMatches as _};
use dubernetes_core::app::Problem;
use dubernetes_core::error::chain;
use dubernetes_manifest::Source;
use serde::Serialize;

use crate::args::{Cli, IngressArgs};
use crate::report::{CliError, Result, USAGE};

/// Prefix of all environment variables.
const PREFIX: &str = "DUBERNETES_";
/// Flag that names the file.
const CONFIG: &str = "config";

/// A parsed settings file; empty if there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingsFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

/// Effective value of one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// Key in the settings file.
    pub(crate) name: String,
    /// Value, if the setting has one.
    pub(crate) value: Option<String>,
    /// Source of the value: flag, environment, file or default.
    pub(crate) origin: String,
}

/// A flag that the file can set.
#[derive(Debug)]
struct Flag {
    arg: Arg,
    /// Subcommand whose help describes the flag, followed by a space; empty for global flags.
    command: String,
}

impl SettingsFile {
    /// Reads the named file, which must exist, or else the default one if it exists.
    ///
    /// # Errors
    ///
    /// Lists every problem in the file at once.
    pub(crate) fn read(named: Option<&Path>, default: Option<PathBuf>) -> Result<Self> {
        let Some(path) = named.map(Path::to_owned).or(default) else { return Ok(Self::default()) };
        let name = path.display().to_string();
        let source = match File::open(&path).and_then(|file| Source::read(&name, file)) {
            Ok(source) => source,
            Err(error) if named.is_none() && is_absent(&error) => return Ok(Self::default()),
            Err(error) => {
                let what = format!("cannot read the settings file `{name}`");
                return Err(CliError::with_io_source(&what, &error)
                    .exiting_with(USAGE)
                    .help("name another file with `--config` or DUBERNETES_CONFIG, or none"));
            }
        };
        let flags = flags();
        let known: Vec<&str> = flags.keys().map(String::as_str).collect();
        let check = |key: &str, value: &str| match flags.get(key) {
            Some(flag) => flag.check(key, value),
            None => Ok(()),
        };
        let values = dubernetes_manifest::parse_settings(&source, &known, check)
            .map_err(|found| CliError::from(found).exiting_with(USAGE))?;
        Ok(Self { path, values })
    }

    /// Returns whether the file sets nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns `command` with the file's values as defaults.
    pub(crate) fn defaults(&self, command: Command) -> Command {
        if self.is_empty() {
            return command;
        }
        let value = |arg: &Arg| key_of(arg).and_then(|key| self.values.get(&key).cloned());
        command
            .mut_args(|arg| match value(&arg) {
                Some(value) => arg.default_value(value),
                None => arg,
            })
            .mut_subcommands(|subcommand| self.defaults(subcommand))
    }

    /// Returns the ingress settings for commands without these flags, from environment and file.
    ///
    /// # Errors
    ///
    /// clap's own, naming the flag whose variable is invalid.
    pub(crate) fn ingress_args(&self) -> Result<IngressArgs, clap::Error> {
        let command = IngressArgs::augment_args(Command::new("dubernetes"));
        let matches = self.defaults(command).try_get_matches_from(["dubernetes"])?;
        IngressArgs::from_arg_matches(&matches)
    }

    /// Returns the effective value of every setting for the command of `matches`. Settings that
    /// this command has no flag for apply to the orchestrator that it may run in its own process.
    ///
    /// # Errors
    ///
    /// A variable is invalid.
    pub(crate) fn effective_settings(&self, matches: &ArgMatches) -> Result<Vec<Setting>> {
        let typed = matches.subcommand().map_or(matches, |(_, matches)| matches);
        let mut settings = Vec::new();
        for (name, Flag { arg, .. }) in flags() {
            let id = arg.get_id().as_str().to_owned();
            let bare;
            let matches = if typed.try_contains_id(&id).is_ok() {
                typed
            } else {
                let command = self.defaults(Command::new(CONFIG).arg(arg.clone()));
                bare = command.no_binary_name(true).try_get_matches_from([""; 0])?;
                &bare
            };
            let value = matches.get_raw(&id).and_then(|mut values| values.next());
            let value = value.map(|value| value.to_string_lossy().into_owned());
            let origin = self.origin(&name, &arg, matches.value_source(&id));
            settings.push(Setting { name, value, origin });
        }
        Ok(settings)
    }

    fn origin(&self, key: &str, arg: &Arg, source: Option<ValueSource>) -> String {
        match source {
            Some(ValueSource::CommandLine) => {
                format!("flag --{}", arg.get_long().unwrap_or_default())
            }
            Some(ValueSource::EnvVariable) => {
                let variable = arg.get_env().map(OsStr::to_string_lossy).unwrap_or_default();
                format!("environment {variable}")
            }
            _ if self.values.contains_key(key) => format!("file {}", self.path.display()),
            _ => "default".to_owned(),
        }
    }
}

/// Returns whether an error of opening a file means that the file does not exist.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns all flags with an environment variable, by key.
fn flags() -> BTreeMap<String, Flag> {
    let root = Cli::command();
    let mut flags = BTreeMap::new();
    let all = std::iter::once((&root, String::new()))
        .chain(root.get_subcommands().map(|sub| (sub, format!("{} ", sub.get_name()))));
    for (command, name) in all {
        for arg in command.get_arguments() {
            if let Some(key) = key_of(arg) {
                flags.entry(key).or_insert(Flag { arg: arg.clone(), command: name.clone() });
            }
        }
    }
    flags
}

/// Returns the key of a flag, if the flag has one of our environment variables.
fn key_of(arg: &Arg) -> Option<String> {
    let key = arg.get_env()?.to_str()?.strip_prefix(PREFIX)?.to_lowercase();
    (key != CONFIG).then_some(key)
}

impl Flag {
    /// Validates a value with the flag's own parser. A path must be absolute: a relative one would
    /// depend on the current folder.
    fn check(&self, key: &str, value: &str) -> Result<(), Problem> {
        let parser = self.arg.get_value_parser();
        let is_path = parser.type_id() == ValueParser::path_buf().type_id();
        let why = if is_path && !Path::new(value).is_absolute() {
            "expected an absolute path".to_owned()
        } else {
            let arg = Arg::new("value").long("value").value_parser(parser.clone());
            let command = Command::new(CONFIG).no_binary_name(true).arg(arg);
            match command.try_get_matches_from([format!("--value={value}")]) {
                Ok(_) => return Ok(()),
                Err(error) => reason(&error),
            }
        };
        let long = self.arg.get_long().unwrap_or_default();
        Err(Problem {
            path: String::new(),
            message: format!("invalid value `{}` for `{key}`: {why}", value.escape_debug()),
            hint: Some(format!("`dubernetes {}--help` describes `--{long}`", self.command)),
        })
    }
}

fn reason(error: &clap::Error) -> String {
    match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => chain(source),
        (None, Some(ContextValue::Strings(values))) => {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("expected one of {}", values.join(", "))
        }
        (None, _) => "expected a value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_with_variable_has_key_of_same_name() {
        let flags = flags();
        for (key, Flag { arg, .. }) in &flags {
            assert_eq!(arg.get_long().map(|long| long.replace('-', "_")), Some(key.clone()));
        }
        for key in ["host", "state_dir", "instance", "output", "http_port", "log_format"] {
            assert!(flags.contains_key(key), "{key}");
        }
        assert!(!flags.contains_key(CONFIG));
    }

    #[test]
    fn flag_wins_over_file_and_file_over_default() {
        let values = BTreeMap::from([("http_port".to_owned(), "8080".to_owned())]);
        let file = SettingsFile { path: "/c.yaml".into(), values };
        let origin = |words: &[&str]| {
            let matches = file.defaults(Cli::command()).try_get_matches_from(words).unwrap();
            let settings = file.effective_settings(&matches).unwrap();
            let found = |name| settings.iter().find(|setting| setting.name == name).unwrap();
            let http_port = found("http_port").clone();
            (http_port.value.unwrap(), http_port.origin, found("http_bind").origin.clone())
        };
        let own = ["dubernetes", "serve", "--http-port", "81"];
        assert_eq!(origin(&own), ("81".into(), "flag --http-port".into(), "default".into()));
        for words in [["dubernetes", "serve"], ["dubernetes", "status"]] {
            assert_eq!(origin(&words), ("8080".into(), "file /c.yaml".into(), "default".into()));
        }
    }
}
