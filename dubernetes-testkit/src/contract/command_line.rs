//! The command line of a program that checks an adapter.

use std::io::Write as _;
use std::process::ExitCode;

use super::check::{Subject, run_all};

const HELP: &str = "\
options:
  --list         print the checks with their promises, and run none
  --filter TEXT  run the checks whose name contains TEXT
  --json         print the report as JSON
  --help         print this
";

/// Runs the checks as the arguments of the program say, and prints the report. The exit code is 1
/// if a check failed, and 2 for unknown arguments and a filter that no check matches.
///
/// ```no_run
/// use std::process::ExitCode;
/// use std::sync::Arc;
/// use dubernetes_core::store::Store;
/// use dubernetes_testkit::MemoryStore;
/// use dubernetes_testkit::contract::{self, store::StoreSubject};
///
/// #[tokio::main]
/// async fn main() -> ExitCode {
///     let subject = StoreSubject::new(|| {
///         let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
///         Box::pin(std::future::ready(store))
///     });
///     contract::main(&[subject], std::env::args().skip(1)).await
/// }
/// ```
pub async fn main<S: Subject>(
    subjects: &[S],
    arguments: impl IntoIterator<Item = String>,
) -> ExitCode {
    let (text, code) = answer(subjects, arguments.into_iter()).await;
    // A closed output changes no result.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(code)
}

async fn answer<S: Subject>(
    subjects: &[S],
    mut arguments: impl Iterator<Item = String>,
) -> (String, u8) {
    let (mut filter, mut is_list, mut is_json) = (String::new(), false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => is_list = true,
            "--json" => is_json = true,
            "--filter" => match arguments.next() {
                Some(text) => filter = text,
                None => return (format!("`--filter` needs a text\n{HELP}"), 2),
            },
            "-h" | "--help" => return (HELP.to_owned(), 0),
            other => return (format!("unknown argument `{other}`\n{HELP}"), 2),
        }
    }
    let checks = S::checks();
    let found = checks.iter().filter(|check| check.name.contains(&filter));
    let list: String = found.map(|check| format!("{}: {}\n", check.name, check.promise)).collect();
    if list.is_empty() {
        return (format!("no check has `{filter}` in its name\n"), 2);
    }
    if is_list {
        return (list, 0);
    }
    let report = run_all(subjects, &filter).await;
    let text = if is_json { report.to_json() } else { report.to_string() };
    (text, u8::from(!report.failed().is_empty()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dubernetes_core::store::Store;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::MemoryStore;
    use crate::contract::store::StoreSubject;

    async fn run(arguments: &[&str]) -> (String, u8) {
        let create = || {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            std::future::ready(store).boxed()
        };
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        answer(&[StoreSubject::new(create)], arguments).await
    }

    #[tokio::test]
    async fn arguments_list_filter_and_print_json() {
        let (listed, code) = run(&["--list", "--filter", "eviction_is"]).await;
        let promise = "an eviction is kept until it is cleared";
        assert_eq!((listed, code), (format!("eviction_is_kept_until_cleared: {promise}\n"), 0));
        let (report, code) = run(&["--filter", "eviction_"]).await;
        assert!(report.starts_with("store contract: 2 passed, 0 failed, 1 skipped\n"), "{report}");
        assert_eq!(code, 0);
        let (json, code) = run(&["--json", "--filter", "eviction_survives"]).await;
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(json["results"][0]["reason"], "needs reopening");
        assert_eq!(code, 0);
    }

    #[tokio::test]
    async fn bad_arguments_are_named() {
        for (argument, problem) in
            [("--what", "unknown argument `--what`"), ("--filter", "`--filter` needs a text")]
        {
            assert_eq!(run(&[argument]).await, (format!("{problem}\n{HELP}"), 2));
        }
        let (text, code) = run(&["--filter", "no such check"]).await;
        assert_eq!((text.as_str(), code), ("no check has `no such check` in its name\n", 2));
        assert_eq!(run(&["--help"]).await, (HELP.to_owned(), 0));
    }
}
