//! Processor time of an orchestrator that has nothing to do but to probe.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use dubernetes_core::app::{Check, Health};

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
    let endpoints = endpoints(bench).await;
    let meaning = "processor time of `dubernetes serve` in 60 s with 20 apps of 3 replicas, by \
                   `schedstat` of its threads. The baseline is a thread that opens and closes as \
                   many TCP connections to the same replicas, one after the other: most of the \
                   time is the kernel's, for the way through the bridge.";
    let mut row = Row::new("one minute at rest", meaning, Unit::Seconds)
        .baseline("bare connections")
        .target(Target::AtMost(0.010));
    for _ in 0..bench.runs {
        let before = processor_time(bench.scenario.pid());
        let endpoints = endpoints.clone();
        let bare = tokio::task::spawn_blocking(move || connect_for_a_window(&endpoints));
        tokio::time::sleep(WINDOW).await;
        let spent = processor_time(bench.scenario.pid()) - before;
        row.push(spent.as_secs_f64(), &[bare.await.unwrap().as_secs_f64()]);
    }
    let notes = vec![
        "The target allows 14 µs a probe. The baseline shows what the kernel takes for each: to \
         reach the target, most replicas would have to go without a probe."
            .to_owned(),
    ];
    Measured { rows: vec![row], notes, ..Measured::default() }
}

/// Returns the endpoints of all replicas.
async fn endpoints(bench: &Bench) -> Vec<SocketAddr> {
    let mut endpoints = Vec::new();
    for app in 0..APPS {
        let containers = bench.scenario.containers_of(&format!("idle{app}")).await;
        endpoints.extend(containers.iter().filter_map(|container| container.endpoint));
    }
    assert_eq!(u32::try_from(endpoints.len()), Ok(APPS * REPLICAS));
    endpoints
}

/// Connects to each endpoint as often as the default probe does, and returns the processor time
/// that this took.
fn connect_for_a_window(endpoints: &[SocketAddr]) -> Duration {
    let interval = Health::new(Check::Tcp).interval.to_std();
    let began = Instant::now();
    let before = thread_time();
    for (number, endpoint) in (0..).zip(endpoints.iter().cycle()) {
        let due = interval * number / (APPS * REPLICAS);
        if due >= WINDOW {
            break;
        }
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        drop(TcpStream::connect_timeout(endpoint, interval).unwrap());
    }
    thread_time() - before
}

/// Returns the processor time of all threads of a process. Threads that have ended are missing.
fn processor_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let time = |thread: std::io::Result<std::fs::DirEntry>| {
        read_time(&std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?)
    };
    threads.filter_map(time).sum()
}

/// Returns the processor time of this thread.
fn thread_time() -> Duration {
    read_time(&std::fs::read_to_string("/proc/thread-self/schedstat").unwrap()).unwrap()
}

fn read_time(schedstat: &str) -> Option<Duration> {
    schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
