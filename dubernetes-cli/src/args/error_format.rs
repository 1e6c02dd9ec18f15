//! Whether errors are printed as JSON, also for words that are not a valid command.

use std::ffi::OsString;

use clap::ArgMatches;

use super::port_forward::LineFormat;
use super::shared::Format;
use super::{Command, LogsArgs};

impl Command {
    /// Returns whether errors of this command are printed as JSON.
    pub(crate) fn wants_json(&self, matches: &ArgMatches) -> bool {
        if let Self::PortForward(args) = self {
            return args.output == LineFormat::Json;
        }
        if let Self::Logs(LogsArgs { output: LineFormat::Json, .. }) = self {
            return true;
        }
        let mut level = matches;
        while let Some((_, below)) = level.subcommand() {
            level = below;
        }
        match level.try_get_one::<Format>("output") {
            Ok(Some(format)) => *format == Format::Json && !level.get_flag("quiet"),
            // The command has no `-o`, or one that is no format.
            Ok(None) | Err(_) => variable_asks_for_json(),
        }
    }
}

/// Returns whether words that are not a valid command, or else the environment, ask for JSON.
pub(crate) fn asks_for_json(words: impl IntoIterator<Item = OsString>) -> bool {
    last_format(words).map_or_else(variable_asks_for_json, |format| format == "json")
}

/// Returns the value of the last `-o`. Words after `--` are for another program.
fn last_format(words: impl IntoIterator<Item = OsString>) -> Option<String> {
    let mut last = None;
    let mut words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next().filter(|word| word != "--") {
        if word == "-o" || word == "--output" {
            last = words.next();
        } else if let Some(format) = word.strip_prefix("--output=") {
            last = Some(format.to_owned());
        } else if let Some(format) = word.strip_prefix("-o") {
            last = Some(format.trim_start_matches('=').to_owned());
        }
    }
    last
}

/// Returns whether the environment asks for JSON, which counts for commands without `-o`, too.
fn variable_asks_for_json() -> bool {
    std::env::var_os("DUBERNETES_OUTPUT").is_some_and(|format| format == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_found_in_invalid_command() {
        let find = |words: &str| last_format(words.split(' ').map(OsString::from));
        for words in ["get frobs -o json", "get -ojson x", "-o=json get", "get --output json"] {
            assert_eq!(find(words).as_deref(), Some("json"), "{words}");
        }
        assert_eq!(find("get --output=json -o yaml").as_deref(), Some("yaml"));
        for words in ["get json", "exec web -- ls -o json", "get -o"] {
            assert_eq!(find(words), None, "{words}");
        }
    }
}
