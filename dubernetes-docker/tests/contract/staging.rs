//! Containers that get files before their start: whole, or not there.

use std::cell::Cell;

use dubernetes_core::app::{FileMode, FileTarget, Secret};
use dubernetes_core::runtime::{
    ContainerFile, ContainerId, ContainerRequest, ContainerRuntime as _, ContainerState,
    RuntimeError, exec_to_end,
};

use super::bench::{Bench, docker};

fn with_file(mut request: ContainerRequest, target: &str) -> ContainerRequest {
    let target = FileTarget::parse(target).unwrap();
    let content = Secret::new("content");
    request.files = vec![ContainerFile { target, content, mode: FileMode::default() }];
    request
}

#[tokio::test]
async fn a_file_that_cannot_be_put_leaves_no_container() {
    let Some(bench) = Bench::new("no-put").await else { return };
    let request = with_file(bench.request("web", 16), "/etc");
    let error = bench.runtime.create(&request).await.unwrap_err();
    assert!(!format!("{error:?}").contains("content\""), "{error:?}");
    assert!(
        matches!(error, RuntimeError::Rejected { .. } | RuntimeError::Failed { .. }),
        "{error:?}"
    );
    assert_eq!(bench.runtime.list(&bench.instance).await.unwrap(), []);
    bench.clean().await;
}

#[tokio::test]
async fn a_container_that_was_left_without_its_files_is_no_replica() {
    let Some(bench) = Bench::new("left").await else { return };
    let whole = with_file(bench.request("web", 16), "/etc/web.conf");
    // As a process leaves it that ends between the two calls.
    let left =
        ContainerRequest { name: format!("{}.unfinished", whole.name), ..bench.request("", 16) };
    let left = bench.create(&left).await;
    let listed = bench.runtime.list(&bench.instance).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(
        matches!(&listed[0].state, ContainerState::StartFailed { error, .. } if error.contains("files")),
        "{listed:?}"
    );
    let id = bench.create(&whole).await;
    let listed = bench.runtime.list(&bench.instance).await.unwrap();
    assert_eq!(listed.len(), 1, "what was left over is gone: {listed:?}");
    assert_eq!((&listed[0].id, &listed[0].state), (&id, &ContainerState::Created));
    assert_ne!(listed[0].id, left);
    bench.runtime.start(&id).await.unwrap();
    let read = exec_to_end(&bench.runtime, &id, &["cat", "/etc/web.conf"]).await.unwrap();
    assert_eq!(read.stdout, b"content");
    bench.clean().await;
}

#[tokio::test]
async fn a_container_of_somebody_else_under_that_name_is_left_alone() {
    let Some(bench) = Bench::new("stranger-name").await else { return };
    let request = with_file(bench.request("web", 16), "/etc/web.conf");
    let name = format!("{}.unfinished", request.name);
    assert!(docker(&["create", "--name", &name, super::image::NAME]));
    let error = bench.runtime.create(&request).await.unwrap_err();
    let kept = docker(&["rm", &name]);
    assert!(matches!(error, RuntimeError::NameTaken { .. }), "{error:?}");
    assert!(kept, "it was still there");
    bench.clean().await;
}

#[tokio::test]
async fn nobody_sees_a_container_before_it_has_its_files() {
    let Some(bench) = Bench::new("unseen").await else { return };
    let (round, met) = (Cell::new(0_u32), Cell::new(0_u32));
    let making = async {
        // A look meets some of them between their two calls.
        while met.get() < 3 && round.get() < 100 {
            round.set(round.get() + 1);
            let request = bench.request(&format!("web-{}", round.get()), 17);
            let mut request = with_file(request, "/etc/web.conf");
            request.files[0].content = Secret::new("x".repeat(1 << 20));
            bench.create(&request).await;
        }
    };
    let is_unfinished = async || {
        let name = bench.request(&format!("web-{}.unfinished", round.get()), 17).name;
        bench.runtime.inspect(&ContainerId(name)).await.is_ok()
    };
    let looking = async {
        loop {
            let before = is_unfinished().await;
            for container in bench.runtime.list(&bench.instance).await.unwrap() {
                assert_eq!(container.state, ContainerState::Created, "{container:?}");
                assert!(!container.name.ends_with(".unfinished"), "{container:?}");
            }
            met.set(met.get() + u32::from(before && is_unfinished().await));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        // Neither is polled again once the first is done.
        () = making => {}
        () = looking => {}
    }
    assert!(met.get() > 0, "no look met one in the middle, in {} rounds", round.get());
    bench.clean().await;
}
