//! What it costs nginx to count requests for `serve --metrics-listen`.

use super::access_log::{RATE, cost_of_requests};
use super::proxy::{CONNECTIONS, KEPT, KEPT_HOST, load};
use super::report::{Row, Samples, Unit};
use super::{Bench, Measured};
use crate::manifest::whoami;
use crate::port::Port;
use crate::slots;

/// Measurements in a run, after one that is left out.
const TURNS: u32 = 3;

pub(super) async fn measure(bench: &Bench) -> Measured {
    let access = format!("access: {{ host: {KEPT_HOST}, keepalive: true }}");
    let _ = bench.scenario.apply(&whoami(KEPT, 1).with(&access)).await;
    let baseline = "not counted";
    let meaning = format!(
        "requests to one replica of an app with `access.keepalive: true` over {CONNECTIONS} kept \
         connections, each with one request at a time, for 5 s; the median of {TURNS}. The \
         baseline is the same without `--metrics-listen`."
    );
    let mut rate = Row::new("requests", &meaning, Unit::PerSecond).baseline(baseline);
    let meaning = format!(
        "processor time of nginx's container for 1,000 of {RATE} requests/s to the same app, for \
         10 s."
    );
    let mut time =
        Row::new("processor time of 1,000 requests", &meaning, Unit::Seconds).baseline(baseline);
    let port = Port::take();
    for _ in 0..bench.runs {
        let _alone = slots::take_all().await;
        let with = cost(bench, Some(&port)).await;
        let without = cost(bench, None).await;
        rate.push(with.0, &[without.0]);
        time.push(with.1, &[without.1]);
    }
    let note = "Client, nginx and replica share the processors, so the ratio of requests of nginx \
                alone is farther from 1.";
    Measured { rows: vec![rate, time], notes: vec![note.to_owned()], ..Measured::default() }
}

/// Returns the number of requests per second, and the processor time of 1,000. They are counted
/// where metrics are served at a port.
async fn cost(bench: &Bench, metrics: Option<&Port>) -> (f64, f64) {
    let listen = metrics.map(|port| format!("127.0.0.1:{}", port.number));
    let variables: Vec<_> =
        listen.iter().map(|listen| ("DUBERNETES_METRICS_LISTEN", listen.as_str())).collect();
    bench.restart(&variables, |config| config.contains("js_import") == metrics.is_some()).await;
    let mut rates = Samples::default();
    load(bench.scenario.port, KEPT_HOST).await;
    for _ in 0..TURNS {
        rates.push(load(bench.scenario.port, KEPT_HOST).await.rate);
    }
    (rates.median(), cost_of_requests(bench).await.0)
}
