//! Makes sure that an image is on the engine, and says in one line why it is not.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use dubernetes_core::app::{ImageRef, PullPolicy};
use dubernetes_core::runtime::{ImageId, ImageProblem, RuntimeError};
use futures_util::StreamExt as _;

use crate::credentials;
use crate::engine::{Engine, READ};
use crate::error::{Failure, unreadable};

/// A pull that shows no progress for so long is stuck: the engine itself retries a broken layer
/// for 75 s in five tries, and shows each of them.
const STALLED: Duration = Duration::from_secs(60);

/// The one text of an engine that is looked at: a registry wants a name and a password, and the
/// user has none. The request is not even sent then, so there is no status that would tell.
const NO_CREDENTIALS: &str = "no basic auth credentials";

/// The image's id, after a pull where `policy` wants one.
pub(crate) async fn ensure(
    engine: &Engine,
    image: &ImageRef,
    policy: PullPolicy,
) -> Result<ImageId, RuntimeError> {
    let reference = with_tag(image.as_str());
    let present = match policy {
        PullPolicy::Always => None,
        PullPolicy::Missing | PullPolicy::Never => find(engine, &reference).await?,
    };
    match (present, policy) {
        (Some(id), _) => Ok(id),
        (None, PullPolicy::Never) => Err(image_error(
            image,
            ImageProblem::Missing,
            "it is not on this engine, and `pull: never` forbids to pull it".to_owned(),
        )),
        (None, PullPolicy::Missing) => {
            pull(engine, image, &reference, "it is not on this engine, and cannot be pulled").await
        }
        (None, PullPolicy::Always) => pull(engine, image, &reference, "it cannot be pulled").await,
    }
}

/// The id of an image, or `None` if the engine does not have it.
pub(crate) async fn find(engine: &Engine, name: &str) -> Result<Option<ImageId>, RuntimeError> {
    let operation = format!("inspect image `{name}`");
    match engine.call(READ, &operation, engine.docker()?.inspect_image(name)).await {
        Ok(answer) => match answer.id {
            Some(id) => Ok(Some(ImageId(id))),
            None => Err(unreadable(&operation, "the answer has no `Id`")),
        },
        Err(failure) if failure.status() == Some(404) => Ok(None),
        Err(failure) => Err(failure.general()),
    }
}

async fn pull(
    engine: &Engine,
    image: &ImageRef,
    reference: &str,
    failed: &str,
) -> Result<ImageId, RuntimeError> {
    let operation = format!("pull image `{reference}`");
    // A public image can be pulled although the user's credentials cannot be read, so that is
    // told only if the pull fails.
    let (credentials, trouble) = match credentials::of(engine, reference).await {
        Ok(credentials) => (credentials, String::new()),
        Err(why) => (None, format!("; it was tried without credentials, since {why}")),
    };
    let options = CreateImageOptionsBuilder::default().from_image(reference).build();
    let pull = engine.docker()?.create_image(Some(options), None, credentials.clone());
    let mut progress = pull.boxed();
    loop {
        match tokio::time::timeout(STALLED, progress.next()).await {
            Err(_) => return Err(Failure::timeout(&operation).general()),
            Ok(None) => break,
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => {
                let failure = Failure::new(engine, &operation, error);
                let Some(message) = failure.message() else { return Err(failure.general()) };
                let problem = problem(engine, reference, credentials, &message).await;
                return Err(image_error(image, problem, format!("{failed}: {message}{trouble}")));
            }
        }
    }
    find(engine, reference).await?.ok_or_else(|| {
        let message = "it is not on this engine after its pull".to_owned();
        image_error(image, ImageProblem::Unavailable, message)
    })
}

/// Why a pull failed. The engine answers every failed pull alike, with a status of its own or in
/// the stream; asked about the same image, it passes on the registry's.
async fn problem(
    engine: &Engine,
    reference: &str,
    credentials: Option<DockerCredentials>,
    message: &str,
) -> ImageProblem {
    let Ok(docker) = engine.docker() else { return ImageProblem::Unavailable };
    let asked = docker.inspect_registry_image(reference, credentials);
    let asked = engine.call(READ, "ask the registry about an image", asked).await;
    match asked.err().and_then(|failure| failure.status()) {
        Some(404) => ImageProblem::Missing,
        Some(401 | 403) => ImageProblem::Denied,
        _ if message.ends_with(NO_CREDENTIALS) => ImageProblem::Denied,
        _ => ImageProblem::Unavailable,
    }
}

fn image_error(image: &ImageRef, problem: ImageProblem, message: String) -> RuntimeError {
    RuntimeError::Image { image: image.to_string(), problem, message }
}

/// The reference with the tag that it means: without one, an engine would pull every tag.
pub(crate) fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_a_tag_means_the_latest() {
        assert_eq!(with_tag("web"), "web:latest");
        assert_eq!(with_tag("localhost:5000/team/web"), "localhost:5000/team/web:latest");
        assert_eq!(with_tag("localhost:5000/web:1"), "localhost:5000/web:1");
        let digest = format!("web@sha256:{}", "0".repeat(64));
        assert_eq!(with_tag(&digest), digest);
    }
}
