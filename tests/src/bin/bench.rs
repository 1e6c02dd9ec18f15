//! Measures the program on a real engine: `cargo xtask bench [NAME…] [--runs N]`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use dubernetes_core::app::InstanceName;
use dubernetes_tests::bench::{GROUPS, IDLE, Options, run};
use dubernetes_tests::scenario::remove_instance;
use tokio::signal::unix::{SignalKind, signal};

/// Longest time in which a call that was cut off may still create something.
const CUT_OFF: Duration = Duration::from_secs(5);

#[expect(clippy::print_stderr, reason = "errors are for the user")]
fn main() -> ExitCode {
    let program = std::env::var("DUBERNETES_PROGRAM").map_err(|_| "run `cargo xtask bench`".into());
    match program.and_then(|program| parse(program, std::env::args().skip(1))) {
        Ok(options) => measure(&options),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn parse(program: String, mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let known = GROUPS.map(|(name, _)| name);
    let mut options = Options { program: program.leak(), names: Vec::new(), runs: 5 };
    while let Some(arg) = args.next() {
        if arg == "--runs" {
            let runs = args.next().and_then(|runs| runs.parse().ok()).filter(|runs| *runs > 0);
            options.runs = runs.ok_or("`--runs` needs a number above 0")?;
        } else if let Some(name) = known.iter().find(|name| **name == arg) {
            options.names.push(name);
        } else {
            return Err(format!("unknown name `{arg}`; known are {}", known.join(", ")));
        }
    }
    if options.names.is_empty() {
        options.names = known.into_iter().filter(|name| *name != IDLE).collect();
    }
    Ok(options)
}

#[expect(clippy::unwrap_used, reason = "a failed unwrap ends the benchmark, and cleans up")]
fn measure(options: &Options) -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("performance");
    let instances = Mutex::new(Vec::<InstanceName>::new());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let is_complete = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).unwrap();
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        let remember = |name: &InstanceName| instances.lock().unwrap().push(name.clone());
        tokio::select! {
            // Cancel safe: the scenario that is dropped removes what it has created.
            () = run(options, &folder, remember) => true,
            _ = interrupt.recv() => false,
            _ = terminate.recv() => false,
        }
    });
    if is_complete {
        return ExitCode::SUCCESS;
    }
    std::thread::sleep(CUT_OFF);
    instances.lock().unwrap().iter().for_each(remove_instance);
    ExitCode::from(130)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<(Vec<&'static str>, u32), String> {
        let args = args.iter().map(|arg| (*arg).to_owned());
        parse("dubernetes".to_owned(), args).map(|options| (options.names, options.runs))
    }

    #[test]
    fn all_but_idle_are_measured_by_default() {
        let (names, runs) = parsed(&[]).unwrap();
        assert_eq!((names.len(), runs), (GROUPS.len() - 1, 5));
        assert!(!names.contains(&IDLE));
    }

    #[test]
    fn names_and_runs_are_chosen() {
        assert_eq!(parsed(&["idle", "--runs", "3", "proxy"]), Ok((vec!["idle", "proxy"], 3)));
    }

    #[test]
    fn unknown_name_and_bad_number_are_refused() {
        assert!(parsed(&["idel"]).unwrap_err().contains("known are start, replace"));
        assert!(parsed(&["--runs"]).is_err());
        assert!(parsed(&["--runs", "0"]).is_err());
    }
}
