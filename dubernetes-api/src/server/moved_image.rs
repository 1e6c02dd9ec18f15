//! What an apply of an unchanged app finds out about its image: a tag may name another image than
//! the one that runs.

use dubernetes_core::app::PullPolicy;
use dubernetes_core::error::chain;
use dubernetes_core::store::{Change, Outcome, RolloutAction, StoredApp};

use super::{ApiState, apps, view};
use crate::problem::ApiError;
use crate::wire::Applied;

/// Looks at the image of an app that was applied unchanged. With `pull: always` an image that has
/// moved in the registry makes a new revision; otherwise one that has moved on the engine is only
/// mentioned.
pub(super) async fn check(state: &ApiState, applied: Applied) -> Result<Applied, ApiError> {
    if applied.change != Change::Unchanged {
        return Ok(applied);
    }
    let stored = state.store.get(&applied.app.spec.name).await?;
    let note = match stored.spec.pull {
        PullPolicy::Always => match is_moved(state, &stored, PullPolicy::Always).await {
            Ok(false) => return Ok(applied),
            Ok(true) => return restart(state, &stored).await,
            Err(error) => format!("cannot ask for a newer image: {error}"),
        },
        PullPolicy::Missing | PullPolicy::Never => {
            match is_moved(state, &stored, PullPolicy::Never).await {
                // Without the tag there is nothing to compare; the replicas have their image.
                Ok(false) | Err(_) => return Ok(applied),
                Ok(true) => format!(
                    "`{}` names another image by now than the one that runs; `dubernetes rollout \
                     restart {}` replaces the replicas",
                    stored.spec.artifact, stored.spec.name
                ),
            }
        }
    };
    Ok(Applied { note: Some(note), ..applied })
}

/// Whether the app's image reference names another image than its revision was rolled out with.
async fn is_moved(
    state: &ApiState,
    stored: &StoredApp,
    policy: PullPolicy,
) -> Result<bool, String> {
    let is_rolled_out = match stored.rollout.outcome {
        Outcome::Complete { .. } | Outcome::Stable => true,
        Outcome::Progressing | Outcome::Failed(_) | Outcome::Superseded => false,
    };
    let Some(runs) = stored.image_id.as_ref().filter(|_| is_rolled_out) else { return Ok(false) };
    match state.runtime.resolve(&stored.spec.artifact, policy).await {
        Ok(found) => Ok(found != *runs),
        Err(error) => Err(chain(&error)),
    }
}

async fn restart(state: &ApiState, stored: &StoredApp) -> Result<Applied, ApiError> {
    let name = &stored.spec.name;
    let put = state.controller.update_rollout(name, RolloutAction::Restart).await?;
    apps::record_request(state, name, None, "newer image with the same tag").await;
    let app = view::app(&state.info, &state.controller.snapshot(), &put.app);
    let note = format!("`{}` names a newer image", stored.spec.artifact);
    Ok(Applied { change: put.change, app, note: Some(note) })
}
