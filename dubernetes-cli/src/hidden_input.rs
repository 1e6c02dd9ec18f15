//! A line from the terminal that is not shown while it is typed.

use std::io::{self, BufRead as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::report::{CliError, Result};

/// Turns the echo of the terminal at standard input off, until it is dropped.
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        // The line break that ended the input was not shown.
        let _ = writeln!(anstream::stderr());
    }
}

/// Reads a line from the terminal at standard input, without its line break and without showing
/// it. The terminal shows input again even if this is cancelled.
pub(crate) async fn read_hidden_line() -> Result<String> {
    let failed = |error: io::Error| CliError::with_io_source("cannot read the value", &error);
    let _echo_off = EchoOff::new().map_err(failed)?;
    // A read from a terminal blocks, and an interrupt must still be noticed.
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let read =
        read.await.map_err(|error| CliError::with_source("cannot read the value", &error))?;
    let line = read.map_err(failed)?;
    Ok(line.strip_suffix('\n').unwrap_or(&line).to_owned())
}
