//! A command that could not be run at all: the engine says so in its own words, in the place of the
//! command's output. Pure.

use crate::report::CliError;

/// How the engine's word begins.
const BEGIN: &[u8] = b"OCI runtime exec failed: ";
/// What shells give for a command that cannot be run, and for one that is not there.
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Why the engine did not run a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such file, or none of that name where commands are looked for.
    NotFound,
    /// It is no program, or not this user's.
    Forbidden,
    /// Something else, in the engine's words.
    Other(String),
}

/// Whether output may be the engine's word.
pub(super) fn may_be(output: &[u8]) -> bool {
    output.starts_with(BEGIN)
}

/// Why a command was not run that has ended with this code, and whose whole output this is.
pub(super) fn why(output: &[u8], code: i64) -> Option<Refusal> {
    if !may_be(output) || !matches!(code, 126..=128) {
        return None;
    }
    let text = String::from_utf8_lossy(output);
    let text = text.trim().trim_end_matches(": unknown");
    Some(if text.contains("no such file") || text.contains("not found in $PATH") {
        Refusal::NotFound
    } else if text.contains("permission denied") {
        Refusal::Forbidden
    } else {
        let begins = "unable to start container process: ";
        let reason = text.rsplit_once(begins).map_or(text, |(_, reason)| reason);
        Refusal::Other(reason.to_owned())
    })
}

impl Refusal {
    /// What a user is told of it.
    pub(super) fn told(&self, command: &[String], pod: &str) -> CliError {
        let name = command.first().map_or("", String::as_str).escape_debug();
        match self {
            Self::NotFound => CliError::with_exit(
                NOT_FOUND,
                format!("there is no command `{name}` in pod `{pod}`"),
            )
            .help(format!(
                "name one that its image has; `dubernetes exec {pod} -- ls /bin` may list them"
            )),
            Self::Forbidden => {
                let what = format!("`{name}` in pod `{pod}` may not be run: permission denied");
                CliError::with_exit(NOT_RUNNABLE, what)
                    .help("it is no program, or not one of this user's; `ls -l` shows its mode")
            }
            Self::Other(reason) => {
                let what = format!("`{name}` cannot be run in pod `{pod}`: {reason}");
                CliError::with_exit(NOT_RUNNABLE, what)
                    .help(format!("`dubernetes describe {pod}` shows how the pod is"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_word_is_told_from_the_output_of_a_command() {
        let of = |reason: &str, code| {
            let process = "exec failed: unable to start container process";
            why(
                format!("OCI runtime exec failed: {process}: {reason}: unknown\r\n").as_bytes(),
                code,
            )
        };
        let file = r#"exec: "/nosuch": stat /nosuch: no such file or directory"#;
        assert_eq!(of(file, 126), Some(Refusal::NotFound));
        let name = r#"exec: "nosuch": executable file not found in $PATH"#;
        assert_eq!(of(name, 127), Some(Refusal::NotFound));
        assert_eq!(of(r#"exec: "/etc": permission denied"#, 126), Some(Refusal::Forbidden));
        assert_eq!(of("no space left", 126), Some(Refusal::Other("no space left".into())));
        assert_eq!(of(file, 1), None, "a command that prints such a text and goes on");
        assert_eq!(why(b"permission denied", 126), None, "a shell's own word");
    }
}
