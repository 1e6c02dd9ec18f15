//! What is told if the program itself is wrong: one sentence and what to report, and no trace
//! unless one was asked for.

use std::backtrace::Backtrace;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;

use crate::commands::VERSION;
use crate::report::{CliError, FAILED, print_line};

/// Does the work of the process. A panic in it is told, and ends it with exit code 1; one in
/// another thread is told as well.
pub(crate) fn guarded(work: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(tell));
    // Nothing of what the work has touched is used afterwards.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| ExitCode::from(FAILED))
}

fn tell(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("it ended without a word");
    let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
    let place = place.unwrap_or_default();
    let message = format!("this is a bug in dubernetes {VERSION}: {what}{place}");
    let help = "report this line and what you did; RUST_BACKTRACE=1 shows how it came to it";
    CliError::new(message).help(help).report();
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| !value.is_empty() && value != "0") {
        print_line(&Backtrace::force_capture().to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set for the process of its own in which the test below has the bug happen.
    const BUG: &str = "DUBERNETES_TEST_BUG";

    #[test]
    fn a_process_with_a_bug_ends_with_one() {
        if std::env::var_os(BUG).is_none() {
            // The hook is that of the whole process, so the bug waits for one of its own.
            assert!(crash(None).contains("no such plan"));
            return;
        }
        let exit = guarded(|| panic!("no such\nplan"));
        assert_eq!(format!("{exit:?}"), format!("{:?}", ExitCode::from(1)));
    }

    fn crash(backtrace: Option<&str>) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "crash::tests::a_process_with_a_bug_ends_with_one", "--nocapture"]);
        child.env_remove("RUST_BACKTRACE").env("NO_COLOR", "1").env(BUG, "1");
        child.envs(backtrace.map(|value| ("RUST_BACKTRACE", value)));
        let output = child.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn a_bug_is_one_sentence_and_what_to_report() {
        let told = crash(None);
        let lines: Vec<_> = told.lines().collect();
        let [what, help] = lines.as_slice() else { panic!("two lines: {told}") };
        assert!(what.starts_with("error: this is a bug in dubernetes "), "{what}");
        assert!(what.contains(": no such plan (") && what.contains("crash.rs:"), "{what}");
        assert!(help.starts_with("help: report this line"), "{help}");
        assert_eq!(crash(Some("0")).lines().count(), 2);
        assert!(crash(Some("1")).lines().count() > 2);
    }
}
