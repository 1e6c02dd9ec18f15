//! Processor time of one pass over converged apps of 10 replicas each, relative to cloning the
//! observed state, and how it grows with the number of apps. Run it with
//! `cargo bench -p dubernetes-core`.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use dubernetes_core::reconcile;
use dubernetes_testkit::build::converged;
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

const REPLICAS: u16 = 10;
const RUNS: u32 = 15;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:>6} {:>12} {:>12} {:>8}", "apps", "copy", "pass", "ratio")?;
    let mut passes = Vec::new();
    for apps in [10, 100, 1_000, 10_000] {
        let (desired, observed) = converged(apps, REPLICAS, now());
        let plan = reconcile(&desired, &observed, now());
        assert!(plan.actions.is_empty(), "a converged system needs nothing: {plan}");
        let copy = median(|| drop(black_box(observed.clone())));
        let pass = median(|| drop(black_box(reconcile(&desired, &observed, now()))));
        let ratio = pass.as_secs_f64() / copy.as_secs_f64();
        writeln!(out, "{apps:>6} {copy:>12.1?} {pass:>12.1?} {ratio:>8.1}")?;
        passes.push((pass.as_secs_f64(), copy.as_secs_f64()));
    }
    let pass = passes[3].0 / passes[2].0;
    let copy = passes[3].1 / passes[2].1;
    writeln!(out, "10 times the apps: a pass takes {pass:.1} times as long, a copy {copy:.1} times")
}

/// Returns the median processor time of the runs.
fn median(mut run: impl FnMut()) -> Duration {
    let processor_time =
        || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let times = (0..RUNS).map(|_| {
        let start = processor_time();
        run();
        processor_time() - start
    });
    let mut times = Vec::from_iter(times);
    times.sort();
    times[times.len() / 2]
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH)
}
