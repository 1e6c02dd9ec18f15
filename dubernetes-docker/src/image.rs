//! Images: lookup and pull, with the reason for a failed pull in one line.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use dubernetes_core::app::{ImageRef, PullPolicy};
use dubernetes_core::runtime::{ImageId, ImageProblem, RuntimeError};
use futures_util::StreamExt as _;

use crate::credentials;
use crate::engine::{Engine, READ};
use crate::error::{CallError, unreadable};

/// Time without progress after which a pull fails. The engine itself retries a broken layer five
/// times within 75 s, and reports each try as progress.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The only engine message that is matched: the registry requires a log-in, and the user has no
/// credentials. The engine does not send the request then, so there is no status code.
const NO_CREDENTIALS: &str = "no basic auth credentials";

/// Returns the image's id, after a pull if `policy` requires one.
pub(crate) async fn resolve(
    engine: &Engine,
    image: &ImageRef,
    policy: PullPolicy,
) -> Result<ImageId, RuntimeError> {
    let reference = image.with_default_tag();
    let present = match policy {
        PullPolicy::Always => None,
        PullPolicy::Missing | PullPolicy::Never => find(engine, &reference).await?,
    };
    match (present, policy) {
        (Some(id), _) => Ok(id),
        (None, PullPolicy::Never) => Err(image_error(
            image,
            ImageProblem::Missing,
            "not on this engine, and `pull: never` forbids a pull".to_owned(),
        )),
        (None, PullPolicy::Missing | PullPolicy::Always) => pull(engine, image, &reference).await,
    }
}

/// Returns the id of an image, or `None` if the engine does not have it.
pub(crate) async fn find(engine: &Engine, name: &str) -> Result<Option<ImageId>, RuntimeError> {
    let operation = format!("inspect image `{name}`");
    match engine.call(READ, &operation, engine.docker()?.inspect_image(name)).await {
        Ok(answer) => match answer.id {
            Some(id) => Ok(Some(ImageId(id))),
            None => Err(unreadable(&operation, "the response has no `Id`")),
        },
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error.into_runtime_error()),
    }
}

/// Returns the command of the `HEALTHCHECK` of an image.
pub(crate) async fn health_check(
    engine: &Engine,
    image: &ImageId,
) -> Result<Option<Vec<String>>, RuntimeError> {
    let operation = format!("inspect image `{image}`");
    let answer = engine.call(READ, &operation, engine.docker()?.inspect_image(&image.0)).await;
    let answer = answer.map_err(|error| error.into_not_found("image", &image.0))?;
    let declared = answer.config.and_then(|config| config.healthcheck?.test);
    Ok(parse_health_check(&declared.unwrap_or_default()))
}

/// Parses `["CMD", …]` or `["CMD-SHELL", "…"]`; `["NONE"]` and an empty list are none.
fn parse_health_check(test: &[String]) -> Option<Vec<String>> {
    match test.split_first() {
        Some((kind, words)) if kind == "CMD" => Some(words.to_vec()),
        Some((kind, words)) if kind == "CMD-SHELL" => {
            let shell = ["/bin/sh", "-c"].map(str::to_owned);
            Some(shell.into_iter().chain(words.iter().cloned()).collect())
        }
        Some(_) | None => None,
    }
}

async fn pull(engine: &Engine, image: &ImageRef, reference: &str) -> Result<ImageId, RuntimeError> {
    let operation = format!("pull image `{reference}`");
    // A public image needs no credentials, so the reason for their absence matters only if the
    // pull fails.
    let (credentials, note) = match credentials::find(engine, image).await {
        Ok(credentials) => (credentials, String::new()),
        Err(reason) => (None, format!("; pulled without credentials: {reason}")),
    };
    let options = CreateImageOptionsBuilder::default().from_image(reference).build();
    let pull = engine.docker()?.create_image(Some(options), None, credentials.clone());
    let mut messages = pull.boxed();
    let progress = engine.pulls.follow(reference);
    loop {
        match tokio::time::timeout(STALL_TIMEOUT, messages.next()).await {
            Err(_) => return Err(CallError::timeout(&operation).into_runtime_error()),
            Ok(None) => break,
            Ok(Some(Ok(message))) => progress.advance(&message),
            Ok(Some(Err(error))) => {
                let error = engine.call_error(&operation, error);
                let Some(message) = error.message() else {
                    return Err(error.into_runtime_error());
                };
                let problem = classify_failed_pull(engine, reference, credentials, message).await;
                return Err(image_error(image, problem, format!("pull failed: {message}{note}")));
            }
        }
    }
    find(engine, reference).await?.ok_or_else(|| {
        let message = "the pull succeeded, but the image is not on this engine".to_owned();
        image_error(image, ImageProblem::Unavailable, message)
    })
}

/// Classifies a failed pull. The engine reports every failed pull alike, but passes on the
/// registry's status code when asked about the image.
async fn classify_failed_pull(
    engine: &Engine,
    reference: &str,
    credentials: Option<DockerCredentials>,
    message: &str,
) -> ImageProblem {
    let Ok(docker) = engine.docker() else { return ImageProblem::Unavailable };
    let operation = format!("look up image `{reference}` in its registry");
    let lookup = docker.inspect_registry_image(reference, credentials);
    let lookup = engine.call(READ, &operation, lookup).await;
    match lookup.err().and_then(|error| error.status()) {
        Some(404) => ImageProblem::Missing,
        Some(401 | 403) => ImageProblem::Denied,
        Some(_) | None if message.ends_with(NO_CREDENTIALS) => ImageProblem::Denied,
        Some(_) | None => ImageProblem::Unavailable,
    }
}

fn image_error(image: &ImageRef, problem: ImageProblem, message: String) -> RuntimeError {
    RuntimeError::Image { image: image.to_string(), problem, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_check_is_a_command_or_a_shell_line() {
        let parse = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            parse_health_check(&words).map(|words| words.join(" "))
        };
        assert_eq!(parse(&["CMD", "/check", "-q"]).as_deref(), Some("/check -q"));
        assert_eq!(parse(&["CMD-SHELL", "a || b"]).as_deref(), Some("/bin/sh -c a || b"));
        assert_eq!(parse(&["NONE"]), None);
        assert_eq!(parse(&[]), None);
    }
}
