//! Processor time of an orchestrator that has nothing to do.

use std::time::Duration;

use super::report::{Row, Target, Unit};
use super::{Bench, Measured};
use crate::manifest::whoami;

const APPS: u32 = 20;
const REPLICAS: u32 = 3;
const WINDOW: Duration = Duration::from_secs(60);

pub(super) async fn measure(bench: &Bench) -> Measured {
    let apps: Vec<_> = (0..APPS)
        .map(|n| whoami(&format!("idle{n}"), REPLICAS).host(&format!("idle{n}.test")).to_string())
        .collect();
    let file = bench.scenario.write_file("idle.yaml", &apps.join("---\n"));
    let _ = bench.scenario.run(&["apply", "--timeout", "10m", &file]).await.assert_success();
    tokio::time::sleep(WINDOW / 2).await;
    let meaning = "processor time of `dubernetes serve` in 60 s with 20 apps of 3 replicas, by \
                   `schedstat` of its threads.";
    let mut row =
        Row::new("one minute at rest", meaning, Unit::Seconds).target(Target::AtMost(0.010));
    for _ in 0..bench.runs {
        let before = processor_time(bench.scenario.pid());
        tokio::time::sleep(WINDOW).await;
        row.push((processor_time(bench.scenario.pid()) - before).as_secs_f64(), &[]);
    }
    Measured { rows: vec![row], ..Measured::default() }
}

/// Returns the processor time of all threads of a process. Threads that have ended are missing.
fn processor_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let time = |thread: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(time).sum())
}
