//! Reports a bug in this program: one sentence and what to do, with a backtrace on request.

use std::backtrace::Backtrace;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;

use crate::report::{CliError, FAILED, print_line};
use crate::version::VERSION;

/// Runs `work`. A panic in it is reported and becomes exit code 1; a panic in another thread is
/// reported, too.
pub(crate) fn report_panics(work: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(report));
    // Nothing that the work has touched is used afterwards.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| ExitCode::from(FAILED))
}

fn report(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("panic without a message");
    let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
    let place = place.unwrap_or_default();
    let message = format!("this is a bug in dubernetes {VERSION}: {what}{place}");
    let help = "report this line and what you did; RUST_BACKTRACE=1 prints a backtrace";
    CliError::new(message).help(help).report();
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| !value.is_empty() && value != "0") {
        print_line(&Backtrace::force_capture().to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Makes the test below panic; set only in a process of its own.
    const BUG: &str = "DUBERNETES_TEST_BUG";

    #[test]
    fn panic_becomes_exit_code_one() {
        if std::env::var_os(BUG).is_none() {
            // The panic hook is global to the process, so the panic happens in a child process.
            assert!(run_panicking_child(None).contains("no such plan"));
            return;
        }
        let exit = report_panics(|| panic!("no such\nplan"));
        assert_eq!(format!("{exit:?}"), format!("{:?}", ExitCode::from(1)));
    }

    fn run_panicking_child(backtrace: Option<&str>) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "panic::tests::panic_becomes_exit_code_one", "--nocapture"]);
        child.env_remove("RUST_BACKTRACE").env("NO_COLOR", "1").env(BUG, "1");
        child.envs(backtrace.map(|value| ("RUST_BACKTRACE", value)));
        let output = child.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn panic_prints_one_sentence_and_help() {
        let text = run_panicking_child(None);
        let lines: Vec<_> = text.lines().collect();
        let [what, help] = lines.as_slice() else { panic!("expected two lines: {text}") };
        assert!(what.starts_with("error: this is a bug in dubernetes "), "{what}");
        assert!(what.contains(": no such plan (") && what.contains("panic.rs:"), "{what}");
        assert!(help.starts_with("help: report this line"), "{help}");
        assert_eq!(run_panicking_child(Some("0")).lines().count(), 2);
        assert!(run_panicking_child(Some("1")).lines().count() > 2);
    }
}
