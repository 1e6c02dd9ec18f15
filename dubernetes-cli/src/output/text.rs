//! Texts of values that several commands show.

use std::net::SocketAddr;

use dubernetes_api::wire::{AppPlan, Refused, RuntimeInfo};
use dubernetes_core::error::one_line;

/// Returns `1 replica`, `2 replicas`.
pub(crate) fn replicas(count: usize) -> String {
    if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") }
}

/// Returns name, version and platform of an engine, on one line.
pub(crate) fn engine(engine: &RuntimeInfo) -> String {
    let RuntimeInfo { name, version, api_version, platform } = engine;
    format!("{name} {version} (API {api_version}, {platform})")
}

/// Returns the URLs of these addresses.
pub(crate) fn urls(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(|address| format!("http://{address}")).collect::<Vec<_>>().join(", ")
}

/// Returns why an apply would be refused.
pub(crate) fn refusal(refused: &Refused) -> String {
    let Refused { revision, reason } = refused;
    one_line(&format!("revision {revision} already failed with this spec: {reason}"))
}

/// Returns the fields that an apply changes, each as `field old -> new`. For files the values are
/// hashes.
pub(crate) fn changed_fields(plan: &AppPlan) -> Vec<String> {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "<none>".to_owned());
    let is_hash =
        |value: &Option<String>| value.as_ref().is_some_and(|text| text.starts_with("sha256:"));
    let fields = plan.changes.iter().map(|change| {
        let note = if is_hash(&change.old) && is_hash(&change.new) { " (changed)" } else { "" };
        one_line(&format!("{} {} -> {}{note}", change.path, shown(&change.old), shown(&change.new)))
    });
    fields.collect()
}
