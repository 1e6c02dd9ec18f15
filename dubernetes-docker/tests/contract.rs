//! The contract of `ContainerRuntime` on this host's engine, and behaviour that only an engine has.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "contract/fixture.rs"]
mod fixture;
#[path = "contract/image.rs"]
mod image;
#[path = "contract/names.rs"]
mod names;
#[path = "../../dubernetes-testkit/tests/contracts/runtime_mutant.rs"]
mod runtime_mutant;
#[path = "contract/staging.rs"]
mod staging;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use dubernetes_core::app::{ImageRef, Transport, Volume};
use dubernetes_core::runtime::{
    ContainerRuntime as _, ContainerState, Exit, PublishedPort, RuntimeError,
};
use dubernetes_docker::DockerRuntime;
use dubernetes_testkit::contract::container_runtime::{Facts, RuntimeSubject};
use dubernetes_testkit::contract::run_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::fixture::{EngineFixture, docker, engine, instance};
use self::runtime_mutant::{Defect, Mutant};

/// Checks run side by side, each lane with instances and a volume of its own.
const LANES: usize = 4;

#[tokio::test]
async fn engine_fulfils_the_contract() {
    let Some(runtime) = engine().await else { return };
    let subjects: Vec<_> = (0..LANES).map(|lane| subject(&runtime, lane)).collect();
    let report = run_all(&subjects, "").await;
    for volume in subjects.iter().filter_map(|subject| subject.facts.volume.as_deref()) {
        docker(&["volume", "rm", volume]);
    }
    report.assert_passed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance/docker.json");
    report.assert_golden(&page);
}

/// Mutants that only an engine shows, each with the check that catches it.
#[tokio::test]
async fn mutants_of_the_engine_are_caught() {
    let Some(runtime) = engine().await else { return };
    for (defect, check) in [
        (Defect::HostNameIgnored, "host_name_is_set"),
        (Defect::UserIgnored, "process_runs_as_user"),
        (Defect::VolumesDropped, "volume_outlives_its_containers"),
        (Defect::ReadOnlyIgnored, "read_only_volume_is_not_written"),
        (Defect::LimitsDropped, "limits_are_reported"),
        (Defect::ExecUserIgnored, "command_runs_as_user"),
        (Defect::TerminalSizeIgnored, "terminal_has_requested_size"),
    ] {
        let sound = subject(&runtime, LANES);
        let runtime = Arc::new(Mutant::new(Arc::clone(&sound.runtime), defect, false));
        let mutant = RuntimeSubject { runtime, ..sound };
        let report = run_all(std::slice::from_ref(&mutant), check).await;
        let _ = docker(&["volume", "rm", mutant.facts.volume.as_deref().unwrap()]);
        assert_eq!(report.failed(), [check], "{defect:?} survives: {report}");
    }
}

fn subject(runtime: &DockerRuntime, lane: usize) -> RuntimeSubject {
    let facts = Facts {
        instance: instance(&format!("a{lane}")),
        other_instance: instance(&format!("b{lane}")),
        image: ImageRef::parse(image::NAME).unwrap().into(),
        missing_image: ImageRef::parse("localhost:1/no/such/image:1").unwrap().into(),
        real_commands: true,
        folder: "/contract".to_owned(),
        web_server: Some("httpd -f -p 80 -h".to_owned()),
        volume: Some(instance(&format!("v{lane}")).to_string()),
    };
    let (runtime, second) = (Arc::new(runtime.clone()), Arc::new(runtime.clone()));
    RuntimeSubject { runtime, second: Some(second), facts }
}

#[tokio::test]
async fn start_with_taken_address_fails_and_container_is_listed_and_removable() {
    let Some(fixture) = EngineFixture::new("clash").await else { return };
    let first = fixture.create(&fixture.request("first", 16)).await;
    fixture.runtime.start(&first).await.unwrap();
    let second = fixture.create(&fixture.request("second", 16)).await;
    let error = fixture.runtime.start(&second).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    let state = fixture.runtime.inspect(&second).await.unwrap().state;
    assert!(matches!(state, ContainerState::StartFailed { .. }), "{state:?}");
    let listed = fixture.runtime.list(&fixture.instance).await.unwrap();
    assert_eq!(listed.len(), 2, "both are listed: {listed:?}");
    fixture.runtime.remove(&second).await.unwrap();
    fixture.clean().await;
}

#[tokio::test]
async fn start_on_removed_network_is_rejected_and_subnet_is_stable() {
    let Some(fixture) = EngineFixture::new("gone").await else { return };
    let created = fixture.create(&fixture.request("left", 16)).await;
    fixture.networks().remove(&fixture.instance).await.unwrap();
    let error = fixture.runtime.start(&created).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    let again = fixture.networks().ensure(&fixture.instance).await.unwrap();
    assert_eq!(again.subnet, fixture.network.subnet, "an instance gets the same subnet again");
    assert_ne!(again.id, fixture.network.id);
    fixture.clean().await;
}

#[tokio::test]
async fn older_of_two_networks_is_used_and_both_are_removed() {
    let Some(fixture) = EngineFixture::new("double").await else { return };
    let double = bollard::models::NetworkCreateRequest {
        name: dubernetes_core::identity::network_name(&fixture.instance),
        labels: Some([("dubernetes.instance".into(), fixture.instance.to_string())].into()),
        ..Default::default()
    };
    let docker = bollard::Docker::connect_with_unix_defaults().unwrap();
    // Engines from API 1.44 on refuse a second network with the same name.
    let refused = docker.create_network(double).await.err();
    assert!(
        matches!(
            refused,
            None | Some(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. })
        ),
        "{refused:?}"
    );
    let found = fixture.networks().find(&fixture.instance).await.unwrap();
    assert_eq!(found, Some(fixture.network.clone()));
    fixture.networks().remove(&fixture.instance).await.unwrap();
    assert_eq!(fixture.networks().find(&fixture.instance).await.unwrap(), None);
    fixture.clean().await;
}

#[tokio::test]
async fn network_without_our_label_is_kept() {
    let Some(fixture) = EngineFixture::new("stranger").await else { return };
    fixture.networks().remove(&fixture.instance).await.unwrap();
    let name = dubernetes_core::identity::network_name(&fixture.instance);
    assert!(docker(&["network", "create", &name]));
    let found = fixture.networks().find(&fixture.instance).await;
    fixture.networks().remove(&fixture.instance).await.unwrap();
    let kept = docker(&["network", "rm", &name]);
    assert_eq!(found.unwrap(), None, "the network has no label of ours");
    assert!(kept, "the foreign network was removed");
    fixture.clean().await;
}

/// Returns a free port below the kernel's ephemeral ports (from 32768 on).
fn free_port() -> std::net::SocketAddr {
    let begin = 30_000 + std::process::id() % 1000;
    let mut ports = (begin..begin + 1000).map(|port| u16::try_from(port).unwrap());
    let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).ok();
    ports.find_map(is_free).unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn published_port_answers_on_the_host() {
    let Some(fixture) = EngineFixture::new("ports").await else { return };
    let free = free_port();
    let mut request = fixture.request("web", 16);
    request.command = ["httpd", "-f", "-p", "80", "-h", "/tmp"].map(str::to_owned).into();
    request.ports = vec![PublishedPort {
        host_ip: free.ip(),
        host_port: free.port(),
        container_port: 80,
        transport: Transport::Tcp,
    }];
    let id = fixture.create(&request).await;
    fixture.runtime.start(&id).await.unwrap();
    fixture
        .eventually("the port answers", async || {
            get(free).await.is_ok_and(|response| response.starts_with("HTTP/1.1 404 "))
        })
        .await;
    fixture.clean().await;
}

async fn get(address: std::net::SocketAddr) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET /none HTTP/1.0\r\n\r\n").await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

#[tokio::test]
async fn volume_outlives_container_and_read_only_mount_is_enforced() {
    let Some(fixture) = EngineFixture::new("volumes").await else { return };
    let volume = format!("dubernetes.{}.app.data", fixture.instance);
    let folder = tempfile::Builder::new().prefix("dubernetes-").tempdir_in("/var/tmp").unwrap();
    std::fs::write(folder.path().join("from-host"), "host").unwrap();
    let mut request = fixture.request("volumes", 16);
    request.volumes = vec![
        Volume::parse(&format!("{volume}:/data")).unwrap(),
        Volume::parse(&format!("{}:/host:ro", folder.path().display())).unwrap(),
    ];
    let id = fixture.create(&request).await;
    fixture.runtime.start(&id).await.unwrap();
    let script = "echo kept > /data/file; cat /host/from-host; touch /host/new";
    let ran = fixture.run(&id, &["sh", "-c", script]).await;
    assert_eq!(ran.stdout, b"host");
    assert_ne!(ran.code, 0, "a read-only mount is not writable");
    fixture.runtime.remove(&id).await.unwrap();
    let id = fixture.create(&request).await;
    fixture.runtime.start(&id).await.unwrap();
    let read = fixture.run(&id, &["cat", "/data/file"]).await;
    fixture.runtime.remove(&id).await.unwrap();
    let removed = docker(&["volume", "rm", &volume]);
    assert_eq!(read.stdout, b"kept\n", "a named volume outlives its container");
    assert!(removed, "a named volume is not removed with a container");
    request.volumes = vec![Volume::parse("/var/tmp/no/such/folder:/data").unwrap()];
    request.name.push_str("-missing");
    let error = fixture.runtime.create(&request).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Rejected { .. }), "{error:?}");
    assert!(error.to_string().contains("/var/tmp/no/such/folder"), "{error}");
    fixture.clean().await;
}

#[tokio::test]
async fn out_of_memory_kill_is_reported() {
    let Some(fixture) = EngineFixture::new("memory").await else { return };
    let mut request = fixture.request("greedy", 16);
    request.command = ["sh", "-c", "x=a; while true; do x=$x$x; done"].map(str::to_owned).into();
    request.resources.memory = dubernetes_core::app::Memory::parse("8Mi").ok();
    let id = fixture.create(&request).await;
    fixture.runtime.start(&id).await.unwrap();
    fixture
        .eventually("the container is killed for lack of memory", async || {
            let state = fixture.runtime.inspect(&id).await.unwrap().state;
            matches!(state, ContainerState::Exited(Exit { code: 137, out_of_memory: true, .. }))
        })
        .await;
    fixture.clean().await;
}

#[tokio::test]
async fn list_is_complete_during_churn() {
    let Some(fixture) = EngineFixture::new("churn").await else { return };
    let steady = fixture.create(&fixture.request("steady", 16)).await;
    fixture.runtime.start(&steady).await.unwrap();
    let churn = async {
        for round in 0..8_u32 {
            let id = fixture.create(&fixture.request(&format!("brief-{round}"), 17)).await;
            fixture.runtime.remove(&id).await.unwrap();
        }
    };
    let listing = async {
        loop {
            let listed = fixture.runtime.list(&fixture.instance).await.unwrap();
            assert!(listed.iter().any(|container| container.id == steady), "{listed:?}");
            tokio::time::sleep(StdDuration::from_millis(5)).await;
        }
    };
    tokio::select! {
        // Neither is polled again once the first is done.
        () = churn => {}
        () = listing => {}
    }
    fixture.clean().await;
}
