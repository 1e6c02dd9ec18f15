//! Credentials for private registries, taken from the configuration of the user's Docker client.
//!
//! The configuration is read at each pull, so that a new log-in applies at once. Nothing is cached.
//!
//! The crate `docker_credential` is not used: its helpers block without a deadline, its errors do
//! not name the cause, and it prefers stored credentials to `credsStore`, unlike the client.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use dubernetes_core::app::ImageRef;
use dubernetes_core::error::one_line;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::engine::{Engine, READ};

/// Deadline of a credential helper. A key chain answers at once; a prompt is never answered.
const HELPER_DEADLINE: Duration = Duration::from_secs(10);

/// User name by which a helper marks the secret as a token.
const TOKEN_USER: &str = "<token>";

/// Returns the credentials for an image, if the user has any. The error is the reason why they
/// cannot be read.
pub(crate) async fn find(
    engine: &Engine,
    image: &ImageRef,
) -> Result<Option<DockerCredentials>, String> {
    let Some(path) = config_path() else { return Ok(None) };
    let Some(config) = read_config(&path).await? else { return Ok(None) };
    if config.is_empty() {
        return Ok(None);
    }
    // The default registry of images without one is a setting of the engine.
    let index = read_default_registry(engine).await.unwrap_or_default();
    let server = find_server(image, &index);
    match config.find_source(&server) {
        Source::None => Ok(None),
        Source::Stored(credentials) => Ok(Some(credentials)),
        Source::Helper(helper) => ask_helper(&helper, &server).await,
    }
}

fn config_path() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

async fn read_config(path: &Path) -> Result<Option<Config>, String> {
    match tokio::fs::read(path).await {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(config) => Ok(Some(config)),
            Err(error) => Err(format!("cannot parse `{}`: {error}", path.display())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read `{}`: {error}", path.display())),
    }
}

async fn read_default_registry(engine: &Engine) -> Option<String> {
    let call = engine.docker().ok()?.info();
    engine.call(READ, "report its default registry", call).await.ok()?.index_server_address
}

/// The parts of the client's configuration that concern credentials.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, StoredCredentials>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct StoredCredentials {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where the credentials for a registry come from.
#[derive(Debug, PartialEq)]
enum Source {
    None,
    Stored(DockerCredentials),
    Helper(String),
}

impl Config {
    fn is_empty(&self) -> bool {
        self.auths.is_empty() && self.cred_helpers.is_empty() && self.creds_store.is_none()
    }

    /// Returns the source for a registry. As in the client, a helper for this registry takes
    /// precedence over the helper for all, and that one over stored credentials.
    fn find_source(&self, server: &str) -> Source {
        let matches = |key: &String| parse_host(key) == parse_host(server);
        let own = self.cred_helpers.iter().find(|(key, _)| matches(key)).map(|(_, helper)| helper);
        if let Some(helper) = own.or(self.creds_store.as_ref()).filter(|helper| !helper.is_empty())
        {
            return Source::Helper(helper.clone());
        }
        let stored = self.auths.iter().find(|(key, _)| matches(key)).map(|(_, stored)| stored);
        stored.and_then(|stored| stored.decode(server)).map_or(Source::None, Source::Stored)
    }
}

impl StoredCredentials {
    fn decode(&self, server: &str) -> Option<DockerCredentials> {
        let pair = self.auth.as_deref().and_then(decode_auth);
        let (username, password) = match pair {
            Some((username, password)) => (Some(username), Some(password)),
            None => (self.username.clone(), self.password.clone()),
        };
        let credentials = DockerCredentials {
            username,
            password,
            identitytoken: self.identitytoken.clone().filter(|token| !token.is_empty()),
            registrytoken: self.registrytoken.clone().filter(|token| !token.is_empty()),
            serveraddress: Some(server.to_owned()),
            ..DockerCredentials::default()
        };
        let has_any = credentials.username.is_some()
            || credentials.identitytoken.is_some()
            || credentials.registrytoken.is_some();
        has_any.then_some(credentials)
    }
}

/// Decodes `NAME:PASSWORD` from base 64. The password may contain colons.
fn decode_auth(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// Returns the registry of a reference as the configuration names it: the registry in the
/// reference, or else the default registry `index`.
fn find_server(image: &ImageRef, index: &str) -> String {
    match image.registry() {
        // The default registry may also be named without its first label.
        Some(named)
            if parse_host(index) != named
                && parse_host(index).split_once('.').map(|(_, rest)| rest) != Some(named) =>
        {
            named.to_owned()
        }
        Some(_) | None => index.to_owned(),
    }
}

/// Returns the host and port of a key, which may have a scheme and a path.
fn parse_host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The response of a helper.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperResponse {
    username: String,
    secret: String,
}

async fn ask_helper(helper: &str, server: &str) -> Result<Option<DockerCredentials>, String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !helper.chars().all(is_legal) {
        return Err(format!("invalid name of a credential helper: `{}`", helper.escape_debug()));
    }
    let program = format!("docker-credential-{helper}");
    let result = tokio::time::timeout(HELPER_DEADLINE, run_helper(&program, server)).await;
    let output = match result {
        Err(_) => {
            let seconds = HELPER_DEADLINE.as_secs();
            return Err(format!("`{program}` timed out after {seconds}s"));
        }
        Ok(Err(error)) => return Err(format!("cannot run `{program}`: {error}")),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        // Includes the common case that there are no credentials for this registry; the text
        // shows which it is.
        let text = String::from_utf8_lossy(&output.stdout);
        return Err(format!("`{program}` failed: {}", one_line(&text)));
    }
    let response: HelperResponse = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cannot parse the output of `{program}`: {error}"))?;
    let mut credentials = DockerCredentials {
        serveraddress: Some(server.to_owned()),
        ..DockerCredentials::default()
    };
    if response.username == TOKEN_USER {
        credentials.identitytoken = Some(response.secret);
    } else {
        credentials.username = Some(response.username);
        credentials.password = Some(response.secret);
    }
    Ok(Some(credentials))
}

async fn run_helper(program: &str, server: &str) -> std::io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that ignores its input may have exited already; its output decides.
        let _ = input.write_all(server.as_bytes()).await;
    }
    child.wait_with_output().await
}

#[cfg(test)]
mod tests;
