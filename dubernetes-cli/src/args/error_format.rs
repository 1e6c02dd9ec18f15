//! Whether errors are printed as JSON, also for words that are not a valid command.

use std::ffi::OsString;

use super::Command;
use super::context::ContextVerb;
use super::port_forward::LineFormat;
use super::rollout::RolloutVerb;
use super::secret::SecretVerb;
use super::shared::Format;

impl Command {
    /// Returns whether errors of this command are printed as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        let format = match self {
            Self::Rollout(args) => match &args.verb {
                RolloutVerb::History(args) => &args.format,
                RolloutVerb::Status(_)
                | RolloutVerb::Undo(_)
                | RolloutVerb::Restart(_)
                | RolloutVerb::Pause(_)
                | RolloutVerb::Resume(_) => return variable_asks_for_json(),
            },
            Self::Secret(args) => match &args.verb {
                SecretVerb::Set(args) => &args.format,
                SecretVerb::List(args) => &args.format,
                SecretVerb::RotateKey(format) => format,
                SecretVerb::Delete(_) => return variable_asks_for_json(),
            },
            Self::Context(args) => match &args.verb {
                ContextVerb::List(args) => &args.format,
                ContextVerb::Add(_) | ContextVerb::Use(_) | ContextVerb::Remove(_) => {
                    return variable_asks_for_json();
                }
            },
            Self::PortForward(args) => return args.output == LineFormat::Json,
            Self::Logs(args) if args.output == LineFormat::Json => return true,
            Self::Apply(args) => &args.format,
            Self::Plan(args) => &args.format,
            Self::Get(args) => &args.format,
            Self::Why(args) => &args.format,
            Self::Events(args) => &args.format,
            Self::Simulate(args) => &args.format,
            Self::Top(args) => &args.format,
            Self::Wait(args) => &args.format,
            Self::Status(args) | Self::Doctor(args) | Self::Version(args) => args,
            Self::Delete(_)
            | Self::Scale(_)
            | Self::Rollback(_)
            | Self::Diff(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Validate(_)
            | Self::Up(_)
            | Self::Down(_)
            | Self::Describe(_)
            | Self::Logs(_)
            | Self::Exec(_)
            | Self::Run(_)
            | Self::Renew(_)
            | Self::Trust
            | Self::Push(_)
            | Self::Socket
            | Self::Serve(_)
            | Self::Replay(_)
            | Self::Init(_)
            | Self::Import(_)
            | Self::Export(_)
            | Self::Explain(_)
            | Self::Schema
            | Self::Completion(_)
            | Self::Ui(_)
            | Self::Man(_) => return variable_asks_for_json(),
        };
        format.format() == Format::Json
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
