//! Credentials for private registries: those that the user's own engine client has.
//!
//! They are read from its configuration at each pull, so that a new log-in counts at once, and
//! kept nowhere. A public image needs none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use dubernetes_core::error::one_line;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::engine::{Engine, READ};

/// A helper may ask a key chain, which answers at once, or a person, who cannot be here.
const HELPER_LIMIT: Duration = Duration::from_secs(10);

/// A helper says so instead of a name where the secret is a token.
const TOKEN_USER: &str = "<token>";

/// The credentials for an image, if the user has any; the error says why they cannot be read.
pub(crate) async fn of(
    engine: &Engine,
    reference: &str,
) -> Result<Option<DockerCredentials>, String> {
    let Some(path) = config_path() else { return Ok(None) };
    let Some(config) = read_config(&path).await? else { return Ok(None) };
    if config.is_empty() {
        return Ok(None);
    }
    // Only the engine knows which registry an image without one comes from.
    let index = index_server(engine).await.unwrap_or_default();
    let server = server_of(reference, &index);
    match config.source(&server) {
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
            Err(error) => Err(format!("`{}` cannot be read: {error}", path.display())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("`{}` cannot be read: {error}", path.display())),
    }
}

async fn index_server(engine: &Engine) -> Option<String> {
    let call = engine.docker().ok()?.info();
    engine.call(READ, "ask for the default registry", call).await.ok()?.index_server_address
}

/// The part of the client's configuration that is about credentials.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Stored>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Stored {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where the credentials for one registry are.
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

    /// A helper for this registry wins over the one for all, and that over stored credentials.
    fn source(&self, server: &str) -> Source {
        let is_ours = |key: &String| host(key) == host(server);
        let own = self.cred_helpers.iter().find(|(key, _)| is_ours(key)).map(|(_, helper)| helper);
        if let Some(helper) = own.or(self.creds_store.as_ref()).filter(|helper| !helper.is_empty())
        {
            return Source::Helper(helper.clone());
        }
        let stored = self.auths.iter().find(|(key, _)| is_ours(key)).map(|(_, stored)| stored);
        stored.and_then(|stored| stored.read(server)).map_or(Source::None, Source::Stored)
    }
}

impl Stored {
    fn read(&self, server: &str) -> Option<DockerCredentials> {
        let pair = self.auth.as_deref().and_then(decode);
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
        let any = credentials.username.is_some()
            || credentials.identitytoken.is_some()
            || credentials.registrytoken.is_some();
        any.then_some(credentials)
    }
}

/// `NAME:PASSWORD`, in base 64; the password may have colons.
fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// The registry that a reference names, or the engine's default one, as credentials are kept
/// under it.
fn server_of(reference: &str, index: &str) -> String {
    let named = reference
        .split_once('/')
        .map(|(first, _)| first)
        .filter(|first| first.contains(['.', ':']) || *first == "localhost");
    match named {
        // The default registry is also known without its first label.
        Some(named)
            if host(index) != named
                && host(index).split_once('.').map(|(_, rest)| rest) != Some(named) =>
        {
            named.to_owned()
        }
        Some(_) | None => index.to_owned(),
    }
}

/// The host and port of a key, which may be written with a scheme and a path.
fn host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// What a helper prints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

async fn ask_helper(helper: &str, server: &str) -> Result<Option<DockerCredentials>, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !helper.chars().all(legal) {
        return Err(format!("`{}` is not the name of a helper", helper.escape_debug()));
    }
    let program = format!("docker-credential-{helper}");
    let asked = tokio::time::timeout(HELPER_LIMIT, run_helper(&program, server)).await;
    let output = match asked {
        Err(_) => return Err(format!("`{program}` did not answer within 10s")),
        Ok(Err(error)) => return Err(format!("`{program}` cannot be run: {error}")),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        // Also where it has none for this registry, which is the usual case for public images;
        // the text tells the two apart, for a person.
        let text = String::from_utf8_lossy(&output.stdout);
        return Err(format!("`{program}` says: {}", one_line(&text)));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`{program}` answered no credentials: {error}"))?;
    let mut credentials = DockerCredentials {
        serveraddress: Some(server.to_owned()),
        ..DockerCredentials::default()
    };
    if answer.username == TOKEN_USER {
        credentials.identitytoken = Some(answer.secret);
    } else {
        credentials.username = Some(answer.username);
        credentials.password = Some(answer.secret);
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
        // A helper that does not read its input may have ended already; its answer tells.
        let _ = input.write_all(server.as_bytes()).await;
    }
    child.wait_with_output().await
}

#[cfg(test)]
mod tests;
