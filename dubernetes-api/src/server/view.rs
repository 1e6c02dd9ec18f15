//! Wire values from stored apps and the last snapshot. Pure.

use dubernetes_controller::{ProbeResult, Snapshot};
use dubernetes_core::app::{AppName, AppSpec, Generation, HostPattern, RevisionId, RoutePath, Tls};
use dubernetes_core::ingress::{self, UrlPorts};
use dubernetes_core::plan::{self, Phase, PodStatus};
use dubernetes_core::store::{
    self, Outcome, RevisionCause, RevisionFailure, RevisionRollout, StoredApp,
};

use crate::server::OrchestratorInfo;
use crate::wire::{App, AppStatus, Failure, Pod, Probe, Revision, RolloutOutcome};

/// Message of a status that is older than the stored spec.
const NOT_OBSERVED: &str = "the new spec is not observed yet";

/// Returns a stored app with its status.
pub(super) fn app(info: &OrchestratorInfo, snapshot: &Snapshot, stored: &StoredApp) -> App {
    let observed = snapshot.plan.statuses.get(&stored.spec.name);
    App {
        name: stored.spec.name.clone(),
        generation: stored.generation,
        spec: AppSpec::clone(&stored.spec),
        status: match observed {
            Some(observed) if observed.observed_generation >= stored.generation => AppStatus {
                since: snapshot.phases_since.get(&stored.spec.name).copied(),
                ..with_observed(unobserved_status(stored), observed)
            },
            Some(observed) => stale_status(stored, observed),
            None => unobserved_status(stored),
        },
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        image_id: stored.image_id.clone(),
        urls: urls(info, snapshot.desired.default_tls.as_ref(), stored),
    }
}

/// Returns the status of an app that no pass has seen yet.
fn unobserved_status(stored: &StoredApp) -> AppStatus {
    AppStatus {
        phase: Phase::Pending,
        desired: u32::from(stored.spec.replicas),
        ready: 0,
        updated: 0,
        revision: stored.revision,
        message: NOT_OBSERVED.to_owned(),
        since: None,
        observed_generation: Generation::NONE,
        next_try: None,
        rollout: rollout_outcome(&stored.rollout.outcome),
        paused: stored.paused,
        failure: app_failure(stored),
    }
}

/// Returns the status of an app whose spec is newer than the last pass. The number of ready
/// replicas is still that of the last pass.
fn stale_status(stored: &StoredApp, observed: &plan::AppStatus) -> AppStatus {
    AppStatus {
        phase: Phase::Progressing,
        ready: observed.ready,
        updated: if observed.revision == stored.revision { observed.updated } else { 0 },
        observed_generation: observed.observed_generation,
        ..unobserved_status(stored)
    }
}

/// Returns `status` with what the last pass observed.
pub(super) fn with_observed(status: AppStatus, observed: &plan::AppStatus) -> AppStatus {
    AppStatus {
        phase: observed.phase,
        desired: observed.desired,
        ready: observed.ready,
        updated: observed.updated,
        revision: observed.revision,
        message: observed.message.clone(),
        observed_generation: observed.observed_generation,
        next_try: observed.next_try,
        ..status
    }
}

fn rollout_outcome(outcome: &Outcome) -> RolloutOutcome {
    match outcome {
        Outcome::Progressing => RolloutOutcome::Progressing,
        Outcome::Complete { .. } => RolloutOutcome::Complete,
        Outcome::Stable => RolloutOutcome::Stable,
        Outcome::Failed(_) => RolloutOutcome::Failed,
        Outcome::Superseded => RolloutOutcome::Superseded,
    }
}

/// Returns why the stored revision failed, or the revision that it rolled back from.
fn app_failure(stored: &StoredApp) -> Option<Failure> {
    if let RevisionCause::RollBack { from, to, failure: why } = &stored.rollout.cause {
        return Some(Failure { back_to: Some(*to), ..failure(*from, why) });
    }
    stored.rollout.outcome.failure().map(|why| failure(stored.revision, why))
}

fn failure(revision: RevisionId, why: &RevisionFailure) -> Failure {
    let RevisionFailure { at, reason, pod, log, call: _ } = why.clone();
    Failure { revision, at, reason, pod, log, back_to: None }
}

/// Returns a kept revision of an app whose desired revision is `desired`.
pub(super) fn revision(app: &AppName, desired: RevisionId, kept: store::Revision) -> Revision {
    let RevisionRollout { cause, outcome, pre_deploy_log, .. } = kept.rollout;
    Revision {
        app: app.clone(),
        revision: kept.revision,
        created_at: kept.created_at,
        image: kept.spec.artifact.to_string(),
        digest: kept.image_id,
        current: kept.revision == desired,
        cause: match cause {
            RevisionCause::Apply => "apply".to_owned(),
            RevisionCause::Retry { of } => format!("retry of {of}"),
            RevisionCause::Restart => "restart".to_owned(),
            RevisionCause::SecretChange { secret } => format!("secret {secret} changed"),
            RevisionCause::Undo { to } => format!("undo to {to}"),
            RevisionCause::RollBack { from, to, .. } => format!("rollback from {from} to {to}"),
        },
        failure: outcome.failure().map(|why| failure(kept.revision, why)),
        outcome: rollout_outcome(&outcome),
        pre_deploy_log,
        spec: kept.spec.into_inner(),
    }
}

fn urls(info: &OrchestratorInfo, default: Option<&Tls>, stored: &StoredApp) -> Vec<String> {
    let ports = UrlPorts { http: info.http_port, https: info.https_port };
    let url = |(host, path): (HostPattern, &RoutePath)| {
        let has_tls = stored.spec.tls_hosts(default).any(|(secured, _)| *secured == host);
        ingress::url(&host, path, ports, has_tls)
    };
    stored.spec.routes().into_iter().map(url).collect()
}

/// Returns a pod that runs `image`, with its last probe results.
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
        endpoint: status.endpoint,
        container_id: status.container_id.clone(),
        node: None,
        started_at: status.started_at,
        created_at: status.created_at,
        image,
        message: status.message.clone(),
        next_try: status.next_try,
        probes: probes.into_iter().map(probe).collect(),
    }
}
