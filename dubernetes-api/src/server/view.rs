//! What callers see: stored apps and the controller's last look, put together. Pure.

use dubernetes_controller::{ProbeResult, Snapshot};
use dubernetes_core::app::AppName;
use dubernetes_core::ingress;
use dubernetes_core::plan::{self, Phase, PodStatus};
use dubernetes_core::store::{self, RevisionCause, RevisionFailure, RevisionRollout, StoredApp};

use crate::server::About;
use crate::wire::{App, AppStatus, Failure, Pod, Probe, Revision};

/// The message of a status that does not speak of the present specification.
const NOT_LOOKED_AT: &str = "not looked at yet";

/// A stored app, and how it is.
pub(super) fn app(about: &About, snapshot: &Snapshot, stored: &StoredApp) -> App {
    let looked = snapshot.plan.statuses.get(&stored.spec.name);
    App {
        name: stored.spec.name.clone(),
        generation: stored.generation,
        spec: stored.spec.clone(),
        status: AppStatus {
            rollout: stored.rollout.outcome.as_str().to_owned(),
            paused: stored.paused,
            failure: app_failure(stored),
            ..match looked {
                Some(looked) if looked.observed_generation >= stored.generation => status(looked),
                Some(looked) => overtaken(stored, looked),
                None => unseen(stored),
            }
        },
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        image_id: stored.image_id.clone(),
        urls: urls(about, stored),
    }
}

/// The status of an app, without its pods.
pub(super) fn status(looked: &plan::AppStatus) -> AppStatus {
    AppStatus {
        phase: looked.phase,
        desired: looked.desired,
        ready: looked.ready,
        updated: looked.updated,
        revision: looked.revision,
        message: looked.message.clone(),
        observed_generation: looked.observed_generation,
        next_try: looked.next_try,
        rollout: String::new(),
        paused: false,
        failure: None,
    }
}

/// Why the present revision, or the one that it has come back from by itself, has failed.
fn app_failure(stored: &StoredApp) -> Option<Failure> {
    match &stored.rollout.cause {
        RevisionCause::RollBack { from, to, failure: why } => {
            Some(Failure { back_to: Some(*to), ..failure(*from, why) })
        }
        RevisionCause::Apply
        | RevisionCause::Retry { .. }
        | RevisionCause::Restart
        | RevisionCause::Undo { .. } => None,
    }
    .or_else(|| stored.rollout.outcome.failure().map(|why| failure(stored.revision, why)))
}

fn failure(revision: u64, why: &RevisionFailure) -> Failure {
    let RevisionFailure { at, reason, pod, log } = why.clone();
    Failure { revision, at, reason, pod, log, back_to: None }
}

/// A kept revision of an app whose wanted one is `wanted`.
pub(super) fn revision(app: &AppName, wanted: u64, kept: store::Revision) -> Revision {
    let RevisionRollout { cause, outcome, pre_deploy_log, .. } = kept.rollout;
    Revision {
        app: app.clone(),
        revision: kept.revision,
        created_at: kept.created_at,
        image: kept.spec.image.to_string(),
        digest: kept.image_id,
        current: kept.revision == wanted,
        cause: match cause {
            RevisionCause::Apply => "apply".to_owned(),
            RevisionCause::Retry { of } => format!("retry of {of}"),
            RevisionCause::Restart => "restart".to_owned(),
            RevisionCause::Undo { to } => format!("undo to {to}"),
            RevisionCause::RollBack { from, to, .. } => format!("rollback from {from} to {to}"),
        },
        failure: outcome.failure().map(|why| failure(kept.revision, why)),
        outcome: outcome.as_str().to_owned(),
        pre_deploy_log,
        spec: kept.spec,
    }
}

/// The specification has changed since the last look: the replicas are as they were seen.
fn overtaken(stored: &StoredApp, looked: &plan::AppStatus) -> AppStatus {
    AppStatus {
        phase: Phase::Progressing,
        desired: u32::from(stored.spec.replicas),
        ready: looked.ready,
        updated: if looked.revision == stored.revision { looked.updated } else { 0 },
        revision: stored.revision,
        message: NOT_LOOKED_AT.to_owned(),
        observed_generation: looked.observed_generation,
        next_try: None,
        rollout: String::new(),
        paused: false,
        failure: None,
    }
}

fn unseen(stored: &StoredApp) -> AppStatus {
    AppStatus {
        phase: Phase::Pending,
        desired: u32::from(stored.spec.replicas),
        ready: 0,
        updated: 0,
        revision: stored.revision,
        message: NOT_LOOKED_AT.to_owned(),
        observed_generation: 0,
        next_try: None,
        rollout: String::new(),
        paused: false,
        failure: None,
    }
}

fn urls(about: &About, stored: &StoredApp) -> Vec<String> {
    let Some(access) = &stored.spec.access else { return Vec::new() };
    let url = |host| ingress::url(host, &access.path, about.http_port);
    access.hosts.iter().map(url).collect()
}

/// A pod that runs `image`, with its last answers to probes.
pub(super) fn pod(status: &PodStatus, image: Option<String>, probes: Vec<ProbeResult>) -> Pod {
    let probe = |ProbeResult { at, good, text }| Probe { at, good, text };
    Pod {
        name: status.name.clone(),
        app: status.app.clone(),
        revision: status.revision,
        state: status.state,
        ready: status.ready,
        restarts: status.restarts,
        address: status.address,
        container_id: status.container_id.clone(),
        started_at: status.started_at,
        created_at: status.created_at,
        image,
        message: status.message.clone(),
        next_try: status.next_try,
        probes: probes.into_iter().map(probe).collect(),
    }
}
