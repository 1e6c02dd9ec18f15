//! What the access log costs nginx.

use std::time::{Duration, Instant};

use dubernetes_core::runtime::{ContainerId, ContainerRuntime as _};
use tokio::task::JoinSet;
use tokio::time::interval;

use super::proxy::{CONNECTIONS, KEPT, KEPT_HOST, exchange};
use super::report::{Row, Unit};
use super::{Bench, Measured};
use crate::manifest::whoami;
use crate::slots;

/// Requests per second.
pub(super) const RATE: u32 = 5_000;
/// Time for which one of the two is measured in a run.
const WINDOW: Duration = Duration::from_secs(10);

pub(super) async fn measure(bench: &Bench) -> Measured {
    let access = format!("access: {{ host: {KEPT_HOST}, keepalive: true }}");
    let _ = bench.scenario.apply(&whoami(KEPT, 1).with(&access)).await;
    let meaning = format!(
        "processor time of nginx's container for 1,000 of {RATE} requests/s to one replica of an \
         app with `access.keepalive: true`, over {CONNECTIONS} kept connections, for 10 s. The \
         baseline is the same with `serve --access-log=false`."
    );
    let mut row = Row::new("processor time of 1,000 requests", &meaning, Unit::Seconds)
        .baseline("without access log");
    let meaning = "requests per second that the measured load had.";
    let mut rate = Row::new("requests", meaning, Unit::PerSecond).baseline("without access log");
    for _ in 0..bench.runs {
        let _alone = slots::take_all().await;
        let with = cost(bench, true).await;
        let without = cost(bench, false).await;
        row.push(with.0, &[without.0]);
        rate.push(with.1, &[without.1]);
    }
    Measured { rows: vec![row, rate], ..Measured::default() }
}

async fn cost(bench: &Bench, is_logged: bool) -> (f64, f64) {
    let setting = if is_logged { "true" } else { "false" };
    let has_setting = |config: &str| config.contains("access_log /") == is_logged;
    bench.restart(&[("DUBERNETES_ACCESS_LOG", setting)], has_setting).await;
    cost_of_requests(bench).await
}

/// Returns the processor time of 1,000 requests, and the number of requests per second.
pub(super) async fn cost_of_requests(bench: &Bench) -> (f64, f64) {
    let port = bench.scenario.port;
    load(port, WINDOW / 5).await;
    let (before, begin) = (processor_nanos(bench).await, Instant::now());
    let requests = f64::from(load(port, WINDOW).await);
    let took = begin.elapsed().as_secs_f64();
    let nanos = processor_nanos(bench).await - before;
    (Duration::from_nanos(nanos).as_secs_f64() / requests * 1e3, requests / took)
}

async fn processor_nanos(bench: &Bench) -> u64 {
    let id = ContainerId(bench.scenario.ingress().into());
    bench.scenario.runtime.stats().unwrap().read(&id).await.unwrap().cpu_nanos
}

/// Sends [`RATE`] requests per second, or as many as nginx answers, and returns their number.
async fn load(port: u16, window: Duration) -> u32 {
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) * CONNECTIONS / RATE);
            let (mut kept, mut count) = (None, 0);
            while begin.elapsed() < window {
                ticks.tick().await;
                exchange(&mut kept, port, KEPT_HOST).await;
                count += 1;
            }
            count
        });
    }
    clients.join_all().await.into_iter().sum()
}
