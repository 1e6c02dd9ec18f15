//! URLs of the API: templates for the router, and paths for the client.

/// Version of the API, part of the path of every resource.
pub const API_VERSION: &str = "v1";

/// All apps.
pub const APPS: &str = "/v1/apps";
/// One app.
pub const APP: &str = "/v1/apps/{name}";
/// Number of replicas of an app.
pub const APP_SCALE: &str = "/v1/apps/{name}/scale";
/// Rollout of an app: undo, restart, pause, resume.
pub const APP_ROLLOUT: &str = "/v1/apps/{name}/rollout";
/// Dry run of a change of an app's rollout.
pub const APP_ROLLOUT_PLAN: &str = "/v1/apps/{name}/rollout/plan";
/// What happens to an app from now on.
pub const APP_FORECAST: &str = "/v1/apps/{name}/forecast";
/// Revisions of an app.
pub const APP_REVISIONS: &str = "/v1/apps/{name}/revisions";
/// Recorded decisions about an app.
pub const APP_DECISIONS: &str = "/v1/apps/{name}/decisions";
/// What an app used in the last hour.
pub const APP_HISTORY: &str = "/v1/apps/{name}/history";
/// Explanation of the state of an app.
pub const APP_WHY: &str = "/v1/apps/{name}/why";
/// Logs of all replicas of an app.
pub const APP_LOGS: &str = "/v1/apps/{name}/logs";
/// Requests to an app, as the ingress has logged them.
pub const APP_ACCESS_LOG: &str = "/v1/apps/{name}/access-log";
/// The certificates of all hosts.
pub const CERTIFICATES: &str = "/v1/certificates";
/// Renewal of the certificate of a host.
pub const CERTIFICATE_RENEWAL: &str = "/v1/certificates/{name}/renewal";
/// The certificate of the instance's own authority.
pub const CERTIFICATE_ROOT: &str = "/v1/certificates/root";
/// All secrets.
pub const SECRETS: &str = "/v1/secrets";
/// One secret.
pub const SECRET: &str = "/v1/secrets/{name}";
/// Rotation of the key that encrypts the secrets.
pub const SECRET_KEY_ROTATION: &str = "/v1/secret-key/rotation";
/// Session of a one-off container of an app.
pub const APP_RUN: &str = "/v1/apps/{name}/run";
/// All pods.
pub const PODS: &str = "/v1/pods";
/// One pod.
pub const POD: &str = "/v1/pods/{name}";
/// Explanation of the state of a pod.
pub const POD_WHY: &str = "/v1/pods/{name}/why";
/// Logs of one pod.
pub const POD_LOGS: &str = "/v1/pods/{name}/logs";
/// Exec session in a pod.
pub const POD_EXEC: &str = "/v1/pods/{name}/exec";
/// Connection to a port of a pod.
pub const POD_FORWARD: &str = "/v1/pods/{name}/forward";
/// Images of the engine.
pub const IMAGES: &str = "/v1/images";
/// Resource usage of pods.
pub const STATS: &str = "/v1/stats";
/// Events.
pub const EVENTS: &str = "/v1/events";
/// Watch of apps.
pub const WATCH: &str = "/v1/watch";
/// Dry run.
pub const PLAN: &str = "/v1/plan";
/// Routes.
pub const ROUTES: &str = "/v1/routes";
/// Hosts on which replicas run.
pub const NODES: &str = "/v1/nodes";
/// State of the orchestrator.
pub const STATUS: &str = "/v1/status";
/// Versions of the orchestrator, its API and its engine.
pub const VERSION: &str = "/v1/version";
/// Teardown of the instance.
pub const DOWN: &str = "/v1/down";
/// Liveness.
pub const HEALTHZ: &str = "/healthz";
/// Readiness of store, engine and ingress.
pub const READYZ: &str = "/readyz";
/// JSON schema of the manifest.
pub const SCHEMA: &str = "/v1/schema.json";
/// OpenAPI document.
pub const OPENAPI: &str = "/openapi.json";

/// WebSocket subprotocol of [`POD_EXEC`].
pub const EXEC_PROTOCOL: &str = "v1.exec.dubernetes";
/// WebSocket subprotocol of [`APP_RUN`].
pub const RUN_PROTOCOL: &str = "v1.run.dubernetes";
/// WebSocket subprotocol of [`POD_FORWARD`].
pub const FORWARD_PROTOCOL: &str = "v1.forward.dubernetes";

/// Replaces `{name}` in `template` by `name`.
///
/// Percent-encodes everything but unreserved characters, so that no name changes the path.
///
/// # Examples
///
/// ```
/// use dubernetes_api::path;
///
/// assert_eq!(path::named(path::APP_LOGS, "web"), "/v1/apps/web/logs");
/// ```
pub fn named(template: &str, name: &str) -> String {
    template.replace("{name}", &encode(name))
}

fn encode(name: &str) -> String {
    // A segment of dots alone would be taken for a relative segment, even if encoded.
    let dots = name.chars().all(|c| c == '.');
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
        if plain || (byte == b'.' && !dots) {
            out.push(char::from(byte));
        } else if byte == b'.' {
            out.push_str("%252E");
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_change_the_path() {
        for (name, path) in [
            ("web", "/v1/apps/web"),
            ("a/b", "/v1/apps/a%2Fb"),
            ("x?y#z", "/v1/apps/x%3Fy%23z"),
            ("..", "/v1/apps/%252E%252E"),
            ("ü", "/v1/apps/%C3%BC"),
        ] {
            assert_eq!(named(APP, name), path);
        }
    }
}
