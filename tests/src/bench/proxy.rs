//! Requests through nginx: the configuration that Dubernetes writes, and one written by hand.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::report::{Row, Target, Unit};
use super::{BASE, BASE_HOST, Bench, Measured};
use crate::http::{Connection, Request, once};
use crate::manifest::whoami;
use crate::port::Port;
use crate::program::docker;
use crate::{eventually, slots};

/// Time for which one of the two is measured in a run.
const WINDOW: Duration = Duration::from_secs(5);
/// Kept connections, each with one request at a time.
pub(super) const CONNECTIONS: u32 = 16;
/// App with the same image whose connections are kept.
pub(super) const KEPT: &str = "kept";
pub(super) const KEPT_HOST: &str = "kept.bench.test";
/// A short answer without work for the replica.
const PATH: &str = "/bench";

pub(super) async fn measure(bench: &Bench) -> Measured {
    let by_hand = Port::take();
    start_by_hand(bench, by_hand.number).await;
    let access = format!("access: {{ host: {KEPT_HOST}, keepalive: true }}");
    let _ = bench.scenario.apply(&whoami(KEPT, 1).with(&access)).await;
    let meaning = format!(
        "requests to one replica over {CONNECTIONS} kept connections, each with one request at a \
         time, for 5 s. The baseline is the same nginx image on the same network with a \
         configuration written by hand, which keeps connections to the replica."
    );
    let name = "configuration by hand";
    let mut rate = Row::new("requests", &meaning, Unit::PerSecond).baseline(name);
    let meaning = "the same to an app with `access.keepalive: true`.";
    let mut kept_rate = Row::new("requests, keepalive", meaning, Unit::PerSecond)
        .baseline(name)
        .target(Target::AtLeastRatio(0.98));
    let row = |what, meaning| {
        Row::new(what, meaning, Unit::Seconds).baseline(name).target(Target::ratio(1.0 / 0.98))
    };
    let meaning = "half of the requests with `keepalive` took at most this time.";
    let mut median = row("median latency, keepalive", meaning);
    let meaning = "99 of 100 of the requests with `keepalive` took at most this time.";
    let mut p99 = row("99th percentile, keepalive", meaning);
    for _ in 0..bench.runs {
        let _alone = slots::take_all().await;
        let ours = load(bench.scenario.port, BASE_HOST).await;
        let other = load(by_hand.number, BASE_HOST).await;
        let kept = load(bench.scenario.port, KEPT_HOST).await;
        rate.push(ours.rate, &[other.rate]);
        kept_rate.push(kept.rate, &[other.rate]);
        median.push(kept.median, &[other.median]);
        p99.push(kept.p99, &[other.p99]);
    }
    let note = "Client, nginx and replica share the processors, so the ratio of nginx alone is \
                farther from 1.";
    let rows = vec![rate, kept_rate, median, p99];
    Measured { rows, notes: vec![note.to_owned()], ..Measured::default() }
}

/// Starts nginx with a configuration written by hand.
async fn start_by_hand(bench: &Bench, port: u16) {
    let scenario = &bench.scenario;
    let containers = scenario.containers_of(BASE).await;
    let replica = containers[0].endpoint.unwrap();
    let text = format!(
        "worker_processes 2;\nerror_log stderr error;\nworker_rlimit_nofile 8192;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 100000;\n\
         \x20 upstream app {{ server {replica}; keepalive 64; keepalive_requests 100000; }}\n\
         \x20 server {{\n    listen 80;\n    location / {{\n      proxy_pass http://app;\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n\
         \x20     proxy_set_header Host $host;\n    }}\n  }}\n}}\n"
    );
    let file = scenario.write_file("by-hand.conf", &text);
    let network = dubernetes_core::identity::network_name(&scenario.instance);
    let publish = format!("127.0.0.1:{port}:80");
    let mount = format!("{file}:/by-hand.conf:ro");
    let id = scenario
        .create_container(&[
            "--network",
            &network,
            "--publish",
            &publish,
            "--volume",
            &mount,
            "--entrypoint",
            "nginx",
            scenario.ingress_image(),
            "-c",
            "/by-hand.conf",
            "-g",
            "daemon off;",
        ])
        .await;
    docker(&["start", &id]).await;
    eventually("nginx with a configuration by hand answers", WINDOW, async || {
        once(port, Request::get(BASE_HOST, PATH)).await
    })
    .await;
}

/// Result of one load.
#[derive(Debug)]
pub(super) struct Load {
    /// Requests per second.
    pub(super) rate: f64,
    /// Latencies in seconds.
    median: f64,
    p99: f64,
}

/// Sends as many requests as are answered.
pub(super) async fn load(port: u16, host: &'static str) -> Load {
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(client(port, host, begin));
    }
    let mut latencies = clients.join_all().await.concat();
    let took = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let quantile =
        |per_cent: usize| latencies[(latencies.len() - 1) * per_cent / 100].as_secs_f64();
    let count = f64::from(u32::try_from(latencies.len()).unwrap());
    Load { rate: count / took, median: quantile(50), p99: quantile(99) }
}

/// Sends requests back to back, and returns their latencies. The connection is opened again where
/// nginx closes it.
async fn client(port: u16, host: &str, begin: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut kept = None;
    while begin.elapsed() < WINDOW {
        let sent = Instant::now();
        exchange(&mut kept, port, host).await;
        latencies.push(sent.elapsed());
    }
    latencies
}

/// Sends a request on a kept connection, or on a new one.
pub(super) async fn exchange(kept: &mut Option<Connection>, port: u16, host: &str) {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(port).await.unwrap(),
    };
    let answer = connection.send(Request::get(host, PATH)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    *kept = (!answer.closes_connection()).then_some(connection);
}
