//! Formats spans, exit codes and numbers of things for people.

use jiff::SignedDuration;

use crate::runtime::Exit;

/// Exit code of a process that SIGKILL ended. Under load Docker may miss the OOM notification
/// (20.10 does), so this exit of a replica with a memory limit is reported as a likely OOM kill.
pub(crate) const SIGKILL_EXIT: i64 = 128 + 9;

/// Formats a span: tenths of seconds below ten seconds, then whole units.
pub fn span(span: SignedDuration) -> String {
    let millis = span.as_millis().max(0);
    match millis {
        0..10_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        10_000..60_000 => format!("{}s", millis / 1000),
        60_000..3_600_000 => format!("{}m{}s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{}h{}m", millis / 3_600_000, millis / 60_000 % 60),
    }
}

/// Formats an exit code, such as `exit code 3` or `exit code 137 (SIGKILL)`: the code of a process
/// that a signal ended is 128 and the number of the signal. Shells exit with 126 and 127 when a
/// command cannot be run.
pub(crate) fn exit_code(code: i64) -> String {
    if code == Exit::UNKNOWN {
        return "unknown exit code".to_owned();
    }
    let meaning = match code - 128 {
        // The program ran: a start that fails has a text of its own. It may mean something else.
        -2 => "by convention: it could not run a command",
        -1 => "by convention: it did not find a command",
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return format!("exit code {code}"),
    };
    format!("exit code {code} ({meaning})")
}

/// Formats a number of restarts: `1 restart`, `2 restarts`.
pub(crate) fn restarts(count: u32) -> String {
    if count == 1 { "1 restart".to_owned() } else { format!("{count} restarts") }
}

/// Formats a number of replicas: `1 replica`, `2 replicas`.
pub(crate) fn replicas(count: u32) -> String {
    if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") }
}

/// Joins names as in a sentence: `db`, `db and cache`, `db, cache and queue`.
pub(crate) fn join(names: &[impl ToString]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_shows_two_units_at_most() {
        let cases = [(0, "0.0s"), (9_949, "9.9s"), (59_999, "59s"), (61_000, "1m1s")];
        for (millis, text) in cases.into_iter().chain([(3_660_000, "1h1m"), (-5, "0.0s")]) {
            assert_eq!(span(SignedDuration::from_millis(millis)), text);
        }
    }
}
