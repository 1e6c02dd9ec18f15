//! Containers with files: complete, or absent.

use std::cell::Cell;

use dubernetes_core::app::{FileMode, FileTarget, Secret};
use dubernetes_core::runtime::{
    ContainerFile, ContainerId, ContainerRequest, ContainerRuntime as _, ContainerState,
    RuntimeError,
};

use super::fixture::{EngineFixture, docker};

fn with_file(mut request: ContainerRequest, target: &str) -> ContainerRequest {
    let target = FileTarget::parse(target).unwrap();
    let content = Secret::new("content");
    request.files = vec![ContainerFile { target, content, mode: FileMode::default(), owner: None }];
    request
}

#[tokio::test]
async fn failed_file_copy_leaves_no_container() {
    let Some(fixture) = EngineFixture::new("no-put").await else { return };
    let request = with_file(fixture.request("web", 16), "/etc");
    let error = fixture.runtime.create(&request).await.unwrap_err();
    assert!(!format!("{error:?}").contains("content\""), "{error:?}");
    assert!(
        matches!(error, RuntimeError::Rejected { .. } | RuntimeError::Failed { .. }),
        "{error:?}"
    );
    assert_eq!(fixture.runtime.list(&fixture.instance).await.unwrap(), []);
    fixture.clean().await;
}

#[tokio::test]
async fn abandoned_staged_container_is_a_failed_start_and_is_replaced() {
    let Some(fixture) = EngineFixture::new("left").await else { return };
    let whole = with_file(fixture.request("web", 16), "/etc/web.conf");
    // As left by a process that ended between the two calls.
    let left =
        ContainerRequest { name: format!("{}.unfinished", whole.name), ..fixture.request("", 16) };
    let left = fixture.create(&left).await;
    let listed = fixture.runtime.list(&fixture.instance).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let ContainerState::StartFailed { error, .. } = &listed[0].state else { panic!("{listed:?}") };
    assert!(error.contains("files"), "{error}");
    let id = fixture.create(&whole).await;
    let listed = fixture.runtime.list(&fixture.instance).await.unwrap();
    assert_eq!(listed.len(), 1, "the abandoned container is removed: {listed:?}");
    assert_eq!((&listed[0].id, &listed[0].state), (&id, &ContainerState::Created));
    assert_ne!(listed[0].id, left);
    fixture.runtime.start(&id).await.unwrap();
    let read = fixture.run(&id, &["cat", "/etc/web.conf"]).await;
    assert_eq!(read.stdout, b"content");
    fixture.clean().await;
}

#[tokio::test]
async fn foreign_container_with_staged_name_is_kept() {
    let Some(fixture) = EngineFixture::new("stranger-name").await else { return };
    let request = with_file(fixture.request("web", 16), "/etc/web.conf");
    let name = format!("{}.unfinished", request.name);
    assert!(docker(&["create", "--name", &name, super::image::NAME]));
    let error = fixture.runtime.create(&request).await.unwrap_err();
    let kept = docker(&["rm", &name]);
    assert!(matches!(error, RuntimeError::NameTaken { .. }), "{error:?}");
    assert!(kept, "the foreign container was removed");
    fixture.clean().await;
}

#[tokio::test]
async fn staged_container_is_not_listed() {
    let Some(fixture) = EngineFixture::new("unseen").await else { return };
    let round = Cell::new(0_u32);
    let observed = Cell::new(0_u32);
    let creating = async {
        // Repeated until a list ran between the two calls of a creation.
        while observed.get() < 3 && round.get() < 100 {
            round.set(round.get() + 1);
            let request = fixture.request(&format!("web-{}", round.get()), 17);
            let mut request = with_file(request, "/etc/web.conf");
            request.files[0].content = Secret::new("x".repeat(1 << 20));
            fixture.create(&request).await;
        }
    };
    let is_staged = async || {
        let name = fixture.request(&format!("web-{}.unfinished", round.get()), 17).name;
        fixture.runtime.inspect(&ContainerId(name.into())).await.is_ok()
    };
    let listing = async {
        loop {
            let before = is_staged().await;
            for container in fixture.runtime.list(&fixture.instance).await.unwrap() {
                assert_eq!(container.state, ContainerState::Created, "{container:?}");
                assert!(!container.name.ends_with(".unfinished"), "{container:?}");
            }
            observed.set(observed.get() + u32::from(before && is_staged().await));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        // Neither is polled again once the first is done.
        () = creating => {}
        () = listing => {}
    }
    assert!(observed.get() > 0, "no list met a staged container in {} rounds", round.get());
    fixture.clean().await;
}
