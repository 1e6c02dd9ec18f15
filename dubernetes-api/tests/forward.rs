//! Port forwarding over a real Unix socket. The pods of the fake engine echo what they receive.
#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

#[path = "support/api.rs"]
mod api;
#[path = "support/served.rs"]
mod served;

use dubernetes_api::Client;
use dubernetes_api::wire::ProblemKind;
use dubernetes_testkit::Operation;
use dubernetes_testkit::build::{app, worker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;

use served::{Served, soon};

/// Opens a connection to a pod. Returns its local end, and a task that returns whether both
/// directions ended.
async fn open(client: &Client, pod: &str) -> (DuplexStream, JoinHandle<bool>) {
    let tunnel = soon(client.forward(pod, 80)).await.unwrap();
    let (far, mut near) = duplex(1024);
    (far, tokio::spawn(async move { tunnel.join(&mut near).await }))
}

#[tokio::test]
async fn forward_echoes_all_bytes_and_half_closes() {
    let served = Served::start();
    served.ready(&app("web", "web:1", 1)).await;
    let (far, joined) = open(&served.client, "web-1").await;
    let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let copy = sent.clone();
    let (mut answers, mut questions) = tokio::io::split(far);
    tokio::spawn(async move {
        questions.write_all(&copy).await.unwrap();
        questions.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    soon(answers.read_to_end(&mut received)).await.unwrap();
    assert!(received == sent, "{} bytes", received.len());
    assert!(soon(joined).await.unwrap(), "both directions ended");
}

#[tokio::test]
async fn concurrent_forwards_do_not_mix() {
    let served = Served::start();
    served.ready(&app("web", "web:1", 1)).await;
    let mut all = Vec::new();
    for _ in 0..50 {
        all.push(open(&served.client, "web-1").await);
    }
    for (number, (far, _)) in all.iter_mut().enumerate() {
        far.write_all(format!("{number:04}").as_bytes()).await.unwrap();
    }
    for (number, (far, _)) in all.iter_mut().enumerate().rev() {
        let mut text = [0; 4];
        soon(far.read_exact(&mut text)).await.unwrap();
        assert_eq!(text, format!("{number:04}").as_bytes());
    }
}

#[tokio::test]
async fn failed_forward_reports_reason() {
    let served = Served::start();
    let client = &served.client;
    served.ready(&app("web", "web:1", 1)).await;
    let missing = soon(client.forward("web-9", 80)).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing:?}");
    let nothing = soon(client.forward("web-1", 0)).await.unwrap_err();
    assert!(nothing.is(ProblemKind::InvalidQuery), "{nothing:?}");
    served.orchestrator.runtime.set_ready("dubernetes.default.web-1.r1", false);
    let refused = soon(client.forward("web-1", 80)).await.unwrap_err();
    assert!(refused.is(ProblemKind::NotConnected), "{refused:?}");
    assert!(refused.to_string().ends_with("connection refused"), "{refused}");
    served.orchestrator.runtime.fail(Operation::Start, 1000);
    client.apply(&worker("bad", "web:2", 1), None).await.unwrap();
    let created = served.orchestrator.until("it is created", served::LIMIT, |seen| {
        let mut pods = seen.plan.statuses.values().flat_map(|status| &status.pods);
        pods.any(|pod| pod.name == "bad-1" && pod.container_id.is_some())
    });
    created.await;
    let down = soon(client.forward("bad-1", 80)).await.unwrap_err();
    assert!(down.is(ProblemKind::NotRunning), "{down:?}");
}

#[tokio::test]
async fn forward_ends_when_pod_exits() {
    let served = Served::start();
    served.ready(&app("web", "web:1", 2)).await;
    let (mut gone, joined) = open(&served.client, "web-1").await;
    let (mut stays, _other) = open(&served.client, "web-2").await;
    served.orchestrator.runtime.kill("dubernetes.default.web-1.r1", 137);
    assert!(!soon(joined).await.unwrap(), "it broke");
    assert_eq!(soon(gone.read(&mut [0; 8])).await.unwrap(), 0);
    stays.write_all(b"still").await.unwrap();
    let mut text = [0; 5];
    soon(stays.read_exact(&mut text)).await.unwrap();
    assert_eq!(&text, b"still");
}

#[tokio::test]
async fn forward_ends_when_server_stops() {
    let served = Served::start();
    served.ready(&app("web", "web:1", 1)).await;
    let (_far, joined) = open(&served.client, "web-1").await;
    served.stop.cancel();
    assert!(!soon(joined).await.unwrap(), "it broke");
    soon(served.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn forward_without_subprotocol_is_rejected() {
    let served = Served::start();
    served.ready(&app("web", "web:1", 1)).await;
    let path = "/v1/pods/web-1/forward?port=80";
    served.refuses_without_subprotocol(path, "v1.forward.dubernetes").await;
}
