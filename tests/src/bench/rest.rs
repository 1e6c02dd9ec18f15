//! Wall time of a read-only command, and memory of an orchestrator that has nothing to do.

use std::time::Duration;

use super::report::{Row, Samples, Target, Unit};
use super::{Bench, Measured};
use crate::program;
use crate::slots;

/// Commands per run.
const COMMANDS: u32 = 20;
/// Time between start and measurement, longer than the resync.
const REST: Duration = Duration::from_secs(20);

pub(super) async fn measure(bench: &Bench) -> Measured {
    let scenario = &bench.scenario;
    let meaning = "`dubernetes get apps`, the whole process, with one app of 5 replicas. The \
                   baseline is `docker ps`.";
    let mut command = Row::new("get apps", meaning, Unit::Seconds)
        .baseline("docker ps")
        .target(Target::AtMost(0.005));
    let resident = "`VmRSS` of `dubernetes serve` with 5 replicas, 20 s after a restart: the part \
                    of the program file that is in use, and its own data.";
    let mut resident =
        Row::new("memory", resident, Unit::Bytes).target(Target::AtMost(12_000_000.0));
    let anonymous = "`RssAnon` at the same time: without pages of the program file.";
    let mut anonymous = Row::new("anonymous memory", anonymous, Unit::Bytes);
    for _ in 0..bench.runs {
        let _alone = slots::take_all().await;
        let (mut gets, mut lists) = (Samples::default(), Samples::default());
        for _ in 0..COMMANDS {
            let get = scenario.run(&["get", "apps"]).await.assert_success().took;
            gets.push(get.as_secs_f64());
            lists.push(docker_ps().await.as_secs_f64());
        }
        command.push(gets.median(), &[lists.median()]);
        scenario.terminate().await;
        scenario.serve().await;
        tokio::time::sleep(REST).await;
        resident.push(memory(scenario.pid(), "VmRSS:"), &[]);
        anonymous.push(memory(scenario.pid(), "RssAnon:"), &[]);
    }
    let notes = vec![format!("The time of a run is the median of {COMMANDS} commands.")];
    Measured { rows: vec![command, resident, anonymous], notes, ..Measured::default() }
}

async fn docker_ps() -> Duration {
    let mut command = tokio::process::Command::new("docker");
    command.arg("ps");
    program::run(command, "docker ps".to_owned(), "").await.assert_success().took
}

/// Returns a value of a process's status in bytes.
fn memory(pid: u32, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    let kib: u32 = line.trim().trim_end_matches(" kB").parse().unwrap();
    f64::from(kib) * 1024.0
}
