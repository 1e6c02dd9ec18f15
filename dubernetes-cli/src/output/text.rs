//! Texts of values that several commands show.

use std::net::SocketAddr;

use dubernetes_api::wire::RuntimeInfo;

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
