//! Recognizes the engine's message for a command that it could not run. The engine sends the
//! message as if it were the command's output.

use crate::report::CliError;
use dubernetes_core::app::PodName;

/// Start of the engine's message.
const PREFIX: &[u8] = b"OCI runtime exec failed: ";
/// Exit code of shells for a command that cannot be run.
const NOT_RUNNABLE: u8 = 126;
/// Exit code of shells for a command that does not exist.
const NOT_FOUND: u8 = 127;

/// Why the engine did not run a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No such file, or no such name in `$PATH`.
    NotFound,
    /// Not executable for this user.
    Forbidden,
    /// Another reason, in the engine's words.
    Other(String),
}

/// Returns whether output may be the engine's message.
pub(super) fn may_be(output: &[u8]) -> bool {
    output.starts_with(PREFIX)
}

impl Refusal {
    /// Parses the whole output of a command that ended with this code. Returns `None` if the
    /// command itself wrote it.
    pub(super) fn parse(output: &[u8], code: i64) -> Option<Self> {
        if !may_be(output) || !matches!(code, 126..=128) {
            return None;
        }
        let text = String::from_utf8_lossy(output);
        let text = text.trim().trim_end_matches(": unknown");
        Some(if text.contains("no such file") || text.contains("not found in $PATH") {
            Self::NotFound
        } else if text.contains("permission denied") {
            Self::Forbidden
        } else {
            let marker = "unable to start container process: ";
            let reason = text.rsplit_once(marker).map_or(text, |(_, reason)| reason);
            Self::Other(reason.to_owned())
        })
    }

    /// Converts the refusal to an error, with the exit code that a shell would use.
    pub(super) fn into_error(self, command: &[String], pod: &PodName) -> CliError {
        let name = command.first().map_or("", String::as_str).escape_debug();
        match self {
            Self::NotFound => {
                let what = format!("command `{name}` not found in pod `{pod}`");
                CliError::with_exit(NOT_FOUND, what).help(format!(
                    "use a command of its image; `dubernetes exec {pod} -- ls /bin` may list them"
                ))
            }
            Self::Forbidden => {
                let what = format!("cannot run `{name}` in pod `{pod}`: permission denied");
                CliError::with_exit(NOT_RUNNABLE, what)
                    .help("it is not a program, or not executable for this user; see `ls -l`")
            }
            Self::Other(reason) => {
                let what = format!("cannot run `{name}` in pod `{pod}`: {reason}");
                CliError::with_exit(NOT_RUNNABLE, what)
                    .help(format!("`dubernetes describe {pod}` shows the state of the pod"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_message_is_distinguished_from_command_output() {
        let parse = |reason: &str, code| {
            let process = "exec failed: unable to start container process";
            let text = format!("OCI runtime exec failed: {process}: {reason}: unknown\r\n");
            Refusal::parse(text.as_bytes(), code)
        };
        let file = r#"exec: "/nosuch": stat /nosuch: no such file or directory"#;
        assert_eq!(parse(file, 126), Some(Refusal::NotFound));
        let name = r#"exec: "nosuch": executable file not found in $PATH"#;
        assert_eq!(parse(name, 127), Some(Refusal::NotFound));
        assert_eq!(parse(r#"exec: "/etc": permission denied"#, 126), Some(Refusal::Forbidden));
        assert_eq!(parse("no space left", 126), Some(Refusal::Other("no space left".into())));
        assert_eq!(parse(file, 1), None, "a command that prints this text and continues");
        assert_eq!(Refusal::parse(b"permission denied", 126), None, "the message of a shell");
    }
}
