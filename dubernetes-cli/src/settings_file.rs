//! The settings file: what counts where neither a flag nor the environment says anything.
//!
//! Its keys are the flags that have a variable, named as the variable is: `DUBERNETES_HTTP_PORT` is
//! `http_port`. They come from the definitions of the command line, so none can be forgotten, and
//! their values become the defaults of these definitions, so the order of the sources is clap's.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory as _};
use dubernetes_core::app::Problem;
use dubernetes_core::error::chain;
use dubernetes_manifest::Source;
use serde::Serialize;

use crate::args::Cli;
use crate::report::{Failure, Outcome, USAGE};

/// What all variables begin with.
const PREFIX: &str = "DUBERNETES_";
/// The flag that names the file.
const CONFIG: &str = "config";

/// What a settings file says; nothing if there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingsFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

/// One setting as it counts for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// Its key in the file.
    pub(crate) name: String,
    /// What it is; none if it has no value.
    pub(crate) value: Option<String>,
    /// Who says so.
    pub(crate) origin: String,
}

/// A flag that the file may set.
#[derive(Debug)]
struct Flag {
    arg: Arg,
    /// Whose help describes it: nothing, or a subcommand and a space.
    command: String,
}

impl SettingsFile {
    /// Reads the file that was named, which must be there, or else the usual one, if it is.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it is told, all at once.
    pub(crate) fn read(named: Option<&Path>, usual: Option<PathBuf>) -> Outcome<Self> {
        let Some(path) = named.map(Path::to_owned).or(usual) else { return Ok(Self::default()) };
        let name = path.display().to_string();
        let source = match File::open(&path).and_then(|file| Source::read(&name, file)) {
            Ok(source) => source,
            Err(error) if named.is_none() && is_absent(&error) => return Ok(Self::default()),
            Err(error) => {
                let what = format!("the settings file `{name}` cannot be read");
                return Err(Failure::because_io(&what, &error)
                    .exiting_with(USAGE)
                    .help("name another one with `--config` or DUBERNETES_CONFIG, or none"));
            }
        };
        let flags = flags();
        let known: Vec<&str> = flags.keys().map(String::as_str).collect();
        let check = |key: &str, value: &str| match flags.get(key) {
            Some(flag) => flag.check(key, value),
            None => Ok(()),
        };
        let values = dubernetes_manifest::parse_settings(&source, &known, check)
            .map_err(|found| Failure::from(found).exiting_with(USAGE))?;
        Ok(Self { path, values })
    }

    /// Whether it sets nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The command with the file's values as defaults.
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

    /// What counts for the command of `matches`, of every flag with a variable. A flag that this
    /// command does not have counts for the orchestrator that it may run by itself.
    ///
    /// # Errors
    ///
    /// A variable makes no sense.
    pub(crate) fn settings(&self, matches: &ArgMatches) -> Outcome<Vec<Setting>> {
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

/// Whether an error of opening means that there is no such file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// All flags with a variable, by their keys.
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

/// The key of a flag, if it has a variable of ours.
fn key_of(arg: &Arg) -> Option<String> {
    let key = arg.get_env()?.to_str()?.strip_prefix(PREFIX)?.to_lowercase();
    (key != CONFIG).then_some(key)
}

impl Flag {
    /// What the flag itself makes of a value. A path must be a whole one: another one would mean
    /// something else in each folder.
    fn check(&self, key: &str, value: &str) -> Result<(), Problem> {
        let parser = self.arg.get_value_parser();
        let is_path = parser.type_id() == ValueParser::path_buf().type_id();
        let why = if is_path && !Path::new(value).is_absolute() {
            "it must begin with `/`".to_owned()
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
            message: format!("`{key}` cannot be `{}`: {why}", value.escape_debug()),
            hint: Some(format!("`dubernetes {}--help` describes `--{long}`", self.command)),
        })
    }
}

fn reason(error: &clap::Error) -> String {
    match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => chain(source),
        (None, Some(ContextValue::Strings(values))) => {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("it is one of {}", values.join(", "))
        }
        (None, _) => "it has no value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_with_a_variable_has_a_key_of_that_name() {
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
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let values = BTreeMap::from([("http_port".to_owned(), "8080".to_owned())]);
        let file = SettingsFile { path: "/c.yaml".into(), values };
        let origin = |words: &[&str]| {
            let matches = file.defaults(Cli::command()).try_get_matches_from(words).unwrap();
            let settings = file.settings(&matches).unwrap();
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
