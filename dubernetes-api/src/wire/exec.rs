//! Messages of an exec session, and of that of a one-off container.

use dubernetes_core::app::PodName;
use dubernetes_core::runtime::{self, Stdio, TerminalSize};
use serde::{Deserialize, Serialize};

/// Command to run in a pod or a one-off container; the first message of the session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The command and its arguments, without a shell.
    pub command: Vec<String>,
    /// Whether the command reads the session's input; otherwise its input is empty.
    pub stdin: bool,
    /// Size of the command's terminal; `None` runs it without one.
    #[serde(default, with = "columns_and_rows")]
    pub tty: Option<TerminalSize>,
}

impl From<ExecRequest> for runtime::ExecRequest {
    fn from(request: ExecRequest) -> Self {
        let ExecRequest { command, stdin, tty } = request;
        Self { command, stdin, tty, user: None }
    }
}

impl ExecRequest {
    /// Returns the standard streams of the command.
    pub fn stdio(&self) -> Stdio {
        Stdio { stdin: self.stdin, tty: self.tty }
    }
}

/// The first answer in the session of a one-off container, once its command has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    /// Always `true`.
    pub started: bool,
    /// The pod of the container, such as `web-run-qhzkt`.
    pub pod: PodName,
}

/// A terminal size as `[columns, rows]`.
mod columns_and_rows {
    use dubernetes_core::runtime::TerminalSize;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(
        size: &Option<TerminalSize>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        size.map(|TerminalSize { columns, rows }| (columns, rows)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<TerminalSize>, D::Error> {
        let size = Option::<(u16, u16)>::deserialize(deserializer)?;
        Ok(size.map(|(columns, rows)| TerminalSize { columns, rows }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_size_is_a_pair_on_the_wire() {
        for (json, tty) in [
            (r#"{"command":["sh"],"stdin":true,"tty":[80,24]}"#, Some((80, 24))),
            (r#"{"command":["sh"],"stdin":true,"tty":null}"#, None),
        ] {
            let tty = tty.map(|(columns, rows)| TerminalSize { columns, rows });
            let request = ExecRequest { command: vec!["sh".to_owned()], stdin: true, tty };
            assert_eq!(serde_json::to_string(&request).unwrap(), json);
            assert_eq!(serde_json::from_str::<ExecRequest>(json).unwrap(), request);
        }
    }
}
