//! Every URL of the API: the templates that the router serves, and the paths that the client asks
//! for.

/// The version of the API; it is in the path of every resource.
pub const API_VERSION: &str = "v1";

/// The apps.
pub const APPS: &str = "/v1/apps";
/// One app.
pub const APP: &str = "/v1/apps/{name}";
/// Sets the number of an app's replicas.
pub const APP_SCALE: &str = "/v1/apps/{name}/scale";
/// Goes back, restarts, pauses or resumes the rollout of an app.
pub const APP_ROLLOUT: &str = "/v1/apps/{name}/rollout";
/// The revisions of an app.
pub const APP_REVISIONS: &str = "/v1/apps/{name}/revisions";
/// Why an app is as it is.
pub const APP_WHY: &str = "/v1/apps/{name}/why";
/// The output of all replicas of an app.
pub const APP_LOGS: &str = "/v1/apps/{name}/logs";
/// The pods.
pub const PODS: &str = "/v1/pods";
/// One pod.
pub const POD: &str = "/v1/pods/{name}";
/// Why a pod is as it is.
pub const POD_WHY: &str = "/v1/pods/{name}/why";
/// The output of one pod.
pub const POD_LOGS: &str = "/v1/pods/{name}/logs";
/// Runs a command in a pod.
pub const POD_EXEC: &str = "/v1/pods/{name}/exec";
/// Connects to a port of a pod.
pub const POD_FORWARD: &str = "/v1/pods/{name}/forward";
/// What pods use.
pub const STATS: &str = "/v1/stats";
/// The events.
pub const EVENTS: &str = "/v1/events";
/// The changes of apps.
pub const WATCH: &str = "/v1/watch";
/// What would happen.
pub const PLAN: &str = "/v1/plan";
/// The routes.
pub const ROUTES: &str = "/v1/routes";
/// How the orchestrator is.
pub const STATUS: &str = "/v1/status";
/// Who answers.
pub const VERSION: &str = "/v1/version";
/// Removes everything that the instance owns.
pub const DOWN: &str = "/v1/down";
/// Whether the process is alive.
pub const HEALTHZ: &str = "/healthz";
/// Whether store, engine and ingress answer.
pub const READYZ: &str = "/readyz";
/// The JSON schema of the file.
pub const SCHEMA: &str = "/v1/schema.json";
/// The OpenAPI document.
pub const OPENAPI: &str = "/openapi.json";

/// The WebSocket subprotocol of [`POD_EXEC`].
pub const EXEC_PROTOCOL: &str = "v1.exec.dubernetes";
/// The WebSocket subprotocol of [`POD_FORWARD`].
pub const FORWARD_PROTOCOL: &str = "v1.forward.dubernetes";

/// `template` with `name` in the place of `{name}`.
///
/// Everything but unreserved characters is percent-encoded, so that no name can lead to another
/// path.
pub fn named(template: &str, name: &str) -> String {
    template.replace("{name}", &encode(name))
}

fn encode(name: &str) -> String {
    // A segment of dots alone would be taken for a step in the path, even when it is encoded.
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
    fn no_name_leads_to_another_path() {
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
