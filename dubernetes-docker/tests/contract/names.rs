//! Names that containers resolve.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use dubernetes_core::app::AppName;
use dubernetes_core::runtime::{ContainerRequest, ContainerRuntime as _};

use super::fixture::EngineFixture;

fn names(names: &[(&str, u8)]) -> BTreeMap<AppName, Ipv4Addr> {
    let name = |(name, last): &(&str, u8)| {
        (AppName::parse(name).unwrap(), Ipv4Addr::new(10, 201, 2, *last))
    };
    names.iter().map(name).collect()
}

/// Resolves names in a new container, and again after other names were published.
async fn resolve(fixture: &EngineFixture) -> (String, String) {
    let request =
        ContainerRequest { names: Some(names(&[("api", 7)])), ..fixture.request("web-1", 16) };
    let id = fixture.create(&request).await;
    fixture.runtime.start(&id).await.unwrap();
    let resolve = ["sh", "-c", "for n in localhost web-1 api db; do ping -c1 -w1 $n; done 2>&1"];
    let text = async || String::from_utf8(fixture.run(&id, &resolve).await.stdout).unwrap();
    let before = text().await;
    let more = names(&[("api", 7), ("db", 8)]);
    fixture.networks().publish_names(&fixture.instance, &more).await.unwrap();
    (before, text().await)
}

#[tokio::test]
async fn running_container_sees_published_names() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut fixture) = EngineFixture::new("names").await else { return };
    fixture.runtime = fixture.runtime.clone().with_state_dir(folder.path());
    let (before, after) = resolve(&fixture).await;
    for known in ["PING localhost (127.0.0.1)", "PING web-1 (10.", "PING api (10.201.2.7)"] {
        assert!(before.contains(known), "{known}: {before}");
    }
    assert!(before.contains("bad address 'db'"), "{before}");
    assert!(after.contains("PING db (10.201.2.8)"), "{after}");
    fixture.clean().await;
}

#[tokio::test]
async fn container_keeps_names_of_its_request_without_a_state_directory() {
    let Some(fixture) = EngineFixture::new("fixed-names").await else { return };
    let (before, after) = resolve(&fixture).await;
    for text in [&before, &after] {
        assert!(text.contains("PING api (10.201.2.7)"), "{text}");
        assert!(text.contains("bad address 'db'"), "{text}");
    }
    fixture.clean().await;
}
