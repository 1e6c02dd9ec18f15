//! The contract of `ContainerRuntime` on the engine of this machine, and what only an engine shows.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "contract/bench.rs"]
mod bench;
#[path = "contract/image.rs"]
mod image;
#[path = "contract/unfinished.rs"]
mod unfinished;

use std::time::Duration as StdDuration;

use dubernetes_core::app::{Duration, ImageRef, Volume};
use dubernetes_core::runtime::{
    ContainerRuntime as _, ContainerState, Probe, ProbeAnswer, ProbeTarget, PublishedPort,
    RuntimeError, exec_to_end,
};
use dubernetes_testkit::contract::container_runtime::{Facts, run};

use self::bench::{Bench, docker, engine, instance};

#[tokio::test]
async fn the_engine_keeps_the_contract() {
    let Some(runtime) = engine().await else { return };
    let facts = Facts {
        instance: instance("a"),
        other_instance: instance("b"),
        image: ImageRef::parse(image::NAME).unwrap(),
        missing_image: ImageRef::parse("localhost:1/no/such/image:1").unwrap(),
        real_commands: true,
    };
    run(&runtime, &facts).await;
}

#[tokio::test]
async fn an_address_that_is_taken_fails_the_start_and_the_loser_can_be_seen_and_removed() {
    let Some(bench) = Bench::new("clash").await else { return };
    let (first, second) = (bench.request("first", 16), bench.request("second", 16));
    let first = bench.create(&first).await;
    bench.runtime.start(&first).await.unwrap();
    let second = bench.create(&second).await;
    let error = bench.runtime.start(&second).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    let state = bench.runtime.inspect(&second).await.unwrap().state;
    assert!(matches!(state, ContainerState::StartFailed { .. }), "{state:?}");
    let listed = bench.runtime.list(&bench.instance).await.unwrap();
    assert_eq!(listed.len(), 2, "the name is taken until it is removed: {listed:?}");
    bench.runtime.remove(&second).await.unwrap();
    bench.clean().await;
}

#[tokio::test]
async fn a_network_that_is_gone_is_named_and_nothing_starts() {
    let Some(bench) = Bench::new("gone").await else { return };
    let created = bench.create(&bench.request("left", 16)).await;
    bench.runtime.remove_network(&bench.instance).await.unwrap();
    let error = bench.runtime.start(&created).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    let again = bench.runtime.ensure_network(&bench.instance).await.unwrap();
    assert_eq!(again.subnet, bench.network.subnet, "an instance gets the same subnet again");
    assert_ne!(again.id, bench.network.id);
    bench.clean().await;
}

#[tokio::test]
async fn of_two_networks_with_our_name_the_older_is_taken_and_both_are_removed() {
    let Some(bench) = Bench::new("double").await else { return };
    let double = bollard::models::NetworkCreateRequest {
        name: dubernetes_core::identity::network_name(&bench.instance),
        labels: Some([("dubernetes.instance".into(), bench.instance.to_string())].into()),
        ..Default::default()
    };
    let docker = bollard::Docker::connect_with_unix_defaults().unwrap();
    // Engines from API 1.44 on refuse a second network of the name.
    let refused = docker.create_network(double).await.err();
    assert!(
        matches!(
            refused,
            None | Some(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. })
        ),
        "{refused:?}"
    );
    let found = bench.runtime.find_network(&bench.instance).await.unwrap();
    assert_eq!(found, Some(bench.network.clone()));
    bench.runtime.remove_network(&bench.instance).await.unwrap();
    assert_eq!(bench.runtime.find_network(&bench.instance).await.unwrap(), None);
    bench.clean().await;
}

#[tokio::test]
async fn a_network_of_our_name_without_our_label_is_left_alone() {
    let Some(bench) = Bench::new("stranger").await else { return };
    bench.runtime.remove_network(&bench.instance).await.unwrap();
    let name = dubernetes_core::identity::network_name(&bench.instance);
    assert!(docker(&["network", "create", &name]));
    let found = bench.runtime.find_network(&bench.instance).await;
    bench.runtime.remove_network(&bench.instance).await.unwrap();
    let kept = docker(&["network", "rm", &name]);
    assert_eq!(found.unwrap(), None, "it is not ours");
    assert!(kept, "and it was still there");
    bench.clean().await;
}

/// A port that is free now, and not one that the kernel gives to clients (from 32768 on).
fn free_port() -> std::net::SocketAddr {
    let begin = 30_000 + std::process::id() % 1000;
    let mut ports = (begin..begin + 1000).map(|port| u16::try_from(port).unwrap());
    let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).ok();
    ports.find_map(is_free).unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_published_port_answers_on_the_host() {
    let Some(bench) = Bench::new("ports").await else { return };
    let free = free_port();
    let mut request = bench.request("web", 16);
    request.command = ["httpd", "-f", "-p", "80", "-h", "/tmp"].map(str::to_owned).into();
    request.ports =
        vec![PublishedPort { host_ip: free.ip(), host_port: free.port(), container_port: 80 }];
    let id = bench.create(&request).await;
    bench.runtime.start(&id).await.unwrap();
    let target = ProbeTarget {
        id,
        address: "127.0.0.1".parse().unwrap(),
        probe: Probe::Http { port: free.port(), path: "/none".into() },
        timeout: Duration::from_secs(2),
    };
    bench
        .eventually("the port answers", async || {
            matches!(bench.runtime.probe(&target).await, Ok(ProbeAnswer::Http { status: 404, .. }))
        })
        .await;
    bench.clean().await;
}

#[tokio::test]
async fn volumes_keep_their_content_and_folders_of_the_host_their_mode() {
    let Some(bench) = Bench::new("volumes").await else { return };
    let volume = format!("dubernetes.{}.app.data", bench.instance);
    let folder = tempfile::Builder::new().prefix("dubernetes-").tempdir_in("/var/tmp").unwrap();
    std::fs::write(folder.path().join("from-host"), "host").unwrap();
    let mut request = bench.request("volumes", 16);
    request.volumes = vec![
        Volume::parse(&format!("{volume}:/data")).unwrap(),
        Volume::parse(&format!("{}:/host:ro", folder.path().display())).unwrap(),
    ];
    let id = bench.create(&request).await;
    bench.runtime.start(&id).await.unwrap();
    let script = "echo kept > /data/file; cat /host/from-host; touch /host/new";
    let ran = exec_to_end(&bench.runtime, &id, &["sh", "-c", script]).await.unwrap();
    assert_eq!(ran.stdout, b"host");
    assert_ne!(ran.code, 0, "a folder that is mounted to be read cannot be written");
    bench.runtime.remove(&id).await.unwrap();
    let id = bench.create(&request).await;
    bench.runtime.start(&id).await.unwrap();
    let read = exec_to_end(&bench.runtime, &id, &["cat", "/data/file"]).await.unwrap();
    bench.runtime.remove(&id).await.unwrap();
    let removed = docker(&["volume", "rm", &volume]);
    assert_eq!(read.stdout, b"kept\n", "a named volume outlives its container");
    assert!(removed, "a named volume is not removed with a container");
    request.volumes = vec![Volume::parse("/var/tmp/no/such/folder:/data").unwrap()];
    request.name.push_str("-missing");
    let error = bench.runtime.create(&request).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert!(error.to_string().contains("/var/tmp/no/such/folder"), "{error}");
    bench.clean().await;
}

#[tokio::test]
async fn a_lack_of_memory_is_told_from_other_ends() {
    let Some(bench) = Bench::new("memory").await else { return };
    let mut request = bench.request("greedy", 16);
    request.command = ["sh", "-c", "x=a; while true; do x=$x$x; done"].map(str::to_owned).into();
    request.resources.memory = dubernetes_core::app::Memory::parse("8Mi").ok();
    let id = bench.create(&request).await;
    bench.runtime.start(&id).await.unwrap();
    bench
        .eventually("it is killed for lack of memory", async || {
            let state = bench.runtime.inspect(&id).await.unwrap().state;
            matches!(state, ContainerState::Exited { code: 137, out_of_memory: true, .. })
        })
        .await;
    bench.clean().await;
}

#[tokio::test]
async fn lists_stay_whole_while_containers_come_and_go() {
    let Some(bench) = Bench::new("churn").await else { return };
    let steady = bench.create(&bench.request("steady", 16)).await;
    bench.runtime.start(&steady).await.unwrap();
    let coming_and_going = async {
        for round in 0..8_u32 {
            let id = bench.create(&bench.request(&format!("brief-{round}"), 17)).await;
            bench.runtime.remove(&id).await.unwrap();
        }
    };
    let listing = async {
        loop {
            let listed = bench.runtime.list(&bench.instance).await.unwrap();
            assert!(listed.iter().any(|container| container.id == steady), "{listed:?}");
            tokio::time::sleep(StdDuration::from_millis(5)).await;
        }
    };
    tokio::select! {
        // Neither is polled again once the first is done.
        () = coming_and_going => {}
        () = listing => {}
    }
    bench.clean().await;
}
