//! Volumes.

use dubernetes_core::app::Volume;
use dubernetes_core::runtime::ContainerRequest;

use super::harness::ContractHarness;

/// Returns a request whose script runs with the volume of the facts.
fn with_volume(
    harness: &ContractHarness<'_>,
    name: &str,
    options: &str,
    script: &str,
) -> ContainerRequest {
    let Some(volume) = &harness.facts.volume else { panic!("the facts name a volume") };
    let target = harness.path("volume");
    let parsed = Volume::parse(&format!("{volume}:{target}{options}"));
    let Ok(volume) = parsed else { panic!("the volume of the facts is legal; seen: {parsed:?}") };
    let script = format!("cd {target} && {script}");
    ContainerRequest { volumes: vec![volume], ..harness.script(name, &script) }
}

pub(super) async fn volume_outlives_its_containers(harness: &ContractHarness<'_>) {
    let write = with_volume(harness, "writes", "", "echo kept >file");
    assert_eq!(harness.run_script(&write).await, (0, String::new()), "a volume is written");
    for options in ["", ":ro"] {
        let read = with_volume(harness, "reads", options, "cat file");
        let seen = harness.run_script(&read).await;
        assert_eq!(seen, (0, "kept\n".to_owned()), "the next container reads what was written");
    }
}

pub(super) async fn read_only_volume_is_not_written(harness: &ContractHarness<'_>) {
    let script = "{ echo new >other; } 2>/dev/null || echo refused; ls other 2>/dev/null";
    let (_, seen) = harness.run_script(&with_volume(harness, "only-reads", ":ro", script)).await;
    assert_eq!(seen, "refused\n", "a volume that is mounted for reading is not written");
}
