//! Our side of a command that runs in a container: its terminal and its exit code.

use std::io::IsTerminal as _;

use dubernetes_api::client::ExecSession;
use dubernetes_api::wire::{ExecRequest, TerminalSize};
use dubernetes_core::runtime::ExecOutput;
use futures_util::StreamExt as _;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::StdioArgs;
use crate::report::{CliError, Result, USAGE};

/// Terminal size if ours is unknown.
const DEFAULT_SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };

/// Checks that there is a terminal, if `-it` wants one.
pub(crate) fn require_terminal(stdio: StdioArgs) -> Result {
    if stdio.is_interactive() && !std::io::stdin().is_terminal() {
        let what = "`-it` needs a terminal, but standard input is not one";
        return Err(CliError::with_exit(USAGE, what).help("omit `-t`"));
    }
    Ok(())
}

/// Returns the request for a command, with the size of our terminal if the command gets one.
pub(crate) fn request(command: &[String], stdio: StdioArgs) -> ExecRequest {
    let tty = stdio.tty.then(terminal_size);
    ExecRequest { command: command.to_vec(), stdin: stdio.stdin, tty }
}

/// Copies input and terminal sizes, and gives each part of the output to `take`, until `take`
/// returns the exit code of the command.
pub(crate) async fn pump(
    session: ExecSession,
    stdio: StdioArgs,
    mut take: impl FnMut(ExecOutput) -> Result<Option<i64>>,
) -> Result<i64> {
    let _raw = if stdio.is_interactive() { Some(RawTerminal::enter()?) } else { None };
    let ExecSession { mut input, mut output, size: sizes } = session;
    let copy = async {
        if stdio.stdin {
            // The command may close its input early; its output reports any problem.
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut input).await;
        }
        let _ = input.shutdown().await;
        std::future::pending::<()>().await;
    };
    let read = async {
        while let Some(part) = output.next().await {
            if let Some(code) = take(part?)? {
                return Ok(code);
            }
        }
        Err(no_exit_code())
    };
    let resize = async {
        if stdio.tty {
            forward_resizes(&sizes).await;
        }
        std::future::pending::<()>().await;
    };
    // The other two arms never end. Input that they hold when the command ends has no reader.
    tokio::select! {
        code = read => code,
        () = copy => Err(no_exit_code()),
        () = resize => Err(no_exit_code()),
    }
}

/// Forwards each new size of our terminal to the command.
async fn forward_resizes(sizes: &watch::Sender<TerminalSize>) {
    // Without a handler the command keeps its size.
    let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
    while changed.recv().await.is_some() {
        sizes.send_replace(terminal_size());
    }
}

/// Returns the size of our terminal.
fn terminal_size() -> TerminalSize {
    match tcgetwinsize(std::io::stdin()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            TerminalSize { columns: size.ws_col, rows: size.ws_row }
        }
        Ok(_) | Err(_) => DEFAULT_SIZE,
    }
}

/// Keeps the terminal in raw mode until dropped.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Enters raw mode.
    fn enter() -> Result<Self> {
        let failed = |error: rustix::io::Errno| {
            CliError::with_source("cannot set up the terminal", &std::io::Error::from(error))
        };
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A closed terminal needs no repair.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Returns the exit code of a command as that of this process.
pub(crate) fn pass_on(code: i64) -> Result {
    match code {
        0 => Ok(()),
        // A code outside the range of processes is reported as a failure.
        code => Err(CliError::already_reported(u8::try_from(code).unwrap_or(1))),
    }
}

/// Returns the error of a session that ended too early.
fn no_exit_code() -> CliError {
    CliError::new("the session ended without an exit code")
}
