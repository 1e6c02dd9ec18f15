//! Checks as data, and how they run.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::runtime::Capability;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};

use super::report::{CheckOutcome, CheckResult, Report};

/// The longest that one check may take. The checks have shorter limits of their own; this one is
/// for an implementation that hangs.
const CHECK_LIMIT: Duration = Duration::from_secs(180);

/// What a check needs beyond the required methods of its trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// A capability of the runtime.
    Capability(Capability),
    /// Real processes in the containers.
    Commands,
    /// A web server among these processes.
    WebServer,
    /// A volume whose files may be changed.
    Volume,
    /// Another value of the adapter for the same engine, proxy or data, as after a restart.
    SecondValue,
    /// The same data, opened again.
    Reopening,
    /// Requests that are answered late.
    SlowRequests,
    /// Connections that are kept for several requests.
    KeptConnections,
    /// An endpoint where nothing listens.
    DeadEndpoint,
    /// An endpoint that takes requests and hangs up.
    FailingEndpoint,
    /// A free port of the host.
    HostPort,
    /// A way to kill the proxy.
    Kill,
    /// The port of the proxy, taken by another process.
    TakenPort,
    /// A proxy that counts requests.
    RequestCounts,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capability(capability) => capability.as_str(),
            Self::Commands => "real commands",
            Self::WebServer => "a web server",
            Self::Volume => "a volume",
            Self::SecondValue => "a second value",
            Self::Reopening => "reopening",
            Self::SlowRequests => "slow requests",
            Self::KeptConnections => "kept connections",
            Self::DeadEndpoint => "a dead endpoint",
            Self::FailingEndpoint => "a failing endpoint",
            Self::HostPort => "a port of the host",
            Self::Kill => "a way to kill the proxy",
            Self::TakenPort => "a taken port",
            Self::RequestCounts => "counted requests",
        })
    }
}

/// An adapter and its surroundings, on which the checks of a suite run.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync + Sized + 'static {
    /// The name of the suite.
    const SUITE: &'static str;

    /// Returns every check of the suite, in the order in which they run.
    fn checks() -> Vec<Check<Self>>;

    /// Returns whether a need is met.
    fn meets(&self, need: Need) -> bool;

    /// Removes everything that checks have left. Called before the first check, after the last one,
    /// and after each failure.
    async fn clean(&self);
}

/// One promise, and how it is checked.
pub struct Check<S> {
    /// The name, unique in the suite.
    pub name: &'static str,
    /// What every implementation promises.
    pub promise: &'static str,
    /// Without these the check is skipped.
    pub needs: &'static [Need],
    pub(super) run: for<'a> fn(&'a S) -> BoxFuture<'a, ()>,
}

impl<S> fmt::Debug for Check<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Lists checks. `$context` is the argument of each check, made from the subject.
macro_rules! checks {
    (
        |$subject:ident| $context:expr;
        $($group:ident::$name:ident [$($need:expr),*] $promise:literal;)*
    ) => {
        vec![$($crate::contract::Check {
            name: stringify!($name),
            promise: $promise,
            needs: &[$($need),*],
            run: |$subject| Box::pin(async move { $group::$name($context).await }),
        }),*]
    };
}
pub(super) use checks;

impl<S: Subject> Check<S> {
    /// Runs the check, or says why it cannot run.
    async fn result(&self, subject: &S) -> CheckResult {
        let outcome = match self.needs.iter().find(|need| !subject.meets(**need)) {
            Some(missing) => CheckOutcome::Skipped { reason: format!("needs {missing}") },
            None => outcome((self.run)(subject)).await,
        };
        if matches!(outcome, CheckOutcome::Failed { .. }) {
            // What a failed check has left would fail the next ones.
            subject.clean().await;
        }
        CheckResult { name: self.name, promise: self.promise, outcome }
    }
}

/// Runs every check whose name contains `filter`, also after a failure. The subjects share the
/// checks and run side by side, so nothing of one may be visible to another.
pub async fn run_all<S: Subject>(subjects: &[S], filter: &str) -> Report {
    let mut checks = S::checks();
    checks.retain(|check| check.name.contains(filter));
    let next = AtomicUsize::new(0);
    let run = async |subject: &S| {
        let mut results = Vec::new();
        subject.clean().await;
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(check) = checks.get(at) else { break };
            results.push((at, check.result(subject).await));
        }
        subject.clean().await;
        results
    };
    let mut results = join_all(subjects.iter().map(run)).await.concat();
    results.sort_by_key(|(at, _)| *at);
    Report::new(S::SUITE, results.into_iter().map(|(_, result)| result).collect())
}

async fn outcome(check: BoxFuture<'_, ()>) -> CheckOutcome {
    let limited = tokio::time::timeout(CHECK_LIMIT, check);
    match AssertUnwindSafe(limited).catch_unwind().await {
        Ok(Ok(())) => CheckOutcome::Passed,
        Ok(Err(_)) => CheckOutcome::Failed { seen: format!("did not end within {CHECK_LIMIT:?}") },
        Err(panic) => CheckOutcome::Failed { seen: panic_message(panic.as_ref()) },
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked without a message").to_owned()
}
