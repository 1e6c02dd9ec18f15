//! The command before a revision: run once, from its image, before it replaces anything.

use crate::app::{AppName, PreDeploy, Stop};
use crate::identity::job_pod_name;
use crate::labels::JobLabels;
use crate::plan::{Action, Plan, Planned, Reason, Verdict, Wait, Waiting};
use crate::runtime::ContainerState;
use crate::state::ObservedJob;
use crate::store::StoredApp;

use super::view::{World, is_held};
use super::{create, gate, restart};

/// The next step of the command, if the present revision has one that has not succeeded.
pub(super) fn step(world: &mut World<'_>, stored: &StoredApp, plan: &mut Plan) {
    if !is_due(stored) {
        return;
    }
    let Some(before) = &stored.spec.pre_deploy else { return };
    match of(world, stored) {
        // The command of an older revision is ended first: two migrations never run at once.
        None if world.is_job_coming(&stored.spec.name) || has_job(world, &stored.spec.name) => {
            let (app, pod) = (stored.spec.name.clone(), Some(job_pod_name(&stored.spec.name)));
            plan.waiting.push(Waiting { app, pod, wait: Wait::UnderWay, until: None });
        }
        None => create(world, stored, plan),
        Some(job) => advance(world, stored, before, job, plan),
    }
}

/// Why the command has failed, if it has.
pub(super) fn failure(world: &World<'_>, stored: &StoredApp) -> Option<String> {
    if !is_due(stored) {
        return None;
    }
    let limit = stored.spec.pre_deploy.as_ref()?.timeout.to_signed();
    match &of(world, stored)?.state {
        ContainerState::Exited { code, out_of_memory, started_at, finished_at } => {
            let ran = finished_at.duration_since(*started_at);
            match code {
                _ if *out_of_memory => {
                    Some("pre_deploy needed more memory than its limit".to_owned())
                }
                // Whatever it says then: it was told to stop before it was done.
                _ if ran >= limit => {
                    Some(format!("pre_deploy took longer than {}", restart::span(limit)))
                }
                0 => None,
                code => Some(format!("pre_deploy: {}", restart::exit(*code, ran))),
            }
        }
        ContainerState::StartFailed { error, .. } => Some(format!("pre_deploy: {error}")),
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => None,
    }
}

/// The container of the command of the present revision.
pub(super) fn of<'a>(world: &World<'a>, stored: &StoredApp) -> Option<&'a ObservedJob> {
    world.observed.jobs.iter().find(|job| is_of(job, stored))
}

/// Containers of commands that are over, or that nobody waits for any more.
pub(super) fn garbage(world: &World<'_>, plan: &mut Plan) {
    let mut jobs: Vec<_> = world.observed.jobs.iter().collect();
    jobs.sort_by_key(|job| (&job.labels.app, job.labels.revision, &job.id));
    for job in jobs {
        let stored = world.desired.apps.get(&job.labels.app);
        let known = stored.is_some() || world.desired.tombstones.contains_key(&job.labels.app);
        let needed = stored.is_some_and(|stored| is_of(job, stored) && is_due(stored));
        if known && !needed {
            end(world, job, Reason::JobOver, plan);
        }
    }
}

/// Whether it is for this try of the present revision.
fn is_of(job: &ObservedJob, stored: &StoredApp) -> bool {
    let labels = &job.labels;
    (&labels.app, labels.revision, labels.tries)
        == (&stored.spec.name, stored.revision, stored.course.tries)
}

/// Whether the command of the present revision has still to succeed.
fn is_due(stored: &StoredApp) -> bool {
    let open = stored.spec.pre_deploy.is_some() && !stored.course.pre_deployed;
    open && stored.image_id.is_some() && stored.spec.replicas > 0 && !is_held(stored)
}

fn create(world: &mut World<'_>, stored: &StoredApp, plan: &mut Plan) {
    let name = &stored.spec.name;
    let Some(image) = &stored.image_id else { return };
    let Some(network) = world.observed.network.as_ref().map(|network| network.id.clone()) else {
        super::growth::ensure_network(world, name, plan);
        return;
    };
    // Without an address to spare it waits for one.
    let Some(address) = world.pick_address(name, 0) else { return };
    let (revision, tries) = (stored.revision, stored.course.tries);
    let labels = JobLabels { app: name.clone(), revision, tries, address };
    let job = create::job(&world.desired.instance, &network, &stored.spec, image, labels);
    let pod = job.pod.clone();
    let planned = Planned {
        app: Some(name.clone()),
        action: Action::CreateJob(Box::new(job)),
        reason: Reason::BeforeRevision { revision },
    };
    gate::plan_or_wait(world, name, Some(&pod), planned, plan);
}

fn advance(
    world: &World<'_>,
    stored: &StoredApp,
    before: &PreDeploy,
    job: &ObservedJob,
    plan: &mut Plan,
) {
    let name = &stored.spec.name;
    let (id, pod) = (job.id.clone(), job_pod_name(name));
    let (action, reason) = match &job.state {
        ContainerState::Created => (Action::Start { id, pod: pod.clone() }, Reason::NotStarted),
        ContainerState::Running { started_at } => {
            let until = started_at.min(&world.now).saturating_add(before.timeout.to_signed()).ok();
            if until.is_some_and(|until| until > world.now) {
                let (app, pod, wait) = (name.clone(), Some(pod), Wait::PreDeploy);
                plan.waiting.push(Waiting { app, pod, wait, until });
                return;
            }
            let Stop { signal, grace, .. } = stored.spec.stop;
            let limit = before.timeout;
            (Action::Stop { id, pod: pod.clone(), signal, grace }, Reason::TookTooLong { limit })
        }
        ContainerState::Exited { .. } if failure(world, stored).is_none() => {
            let verdict = Verdict::PreDeployed { job: id };
            let what = "pre_deploy succeeded".to_owned();
            let (app, revision) = (name.clone(), stored.revision);
            let reason = Reason::Concluded { revision, what };
            (Action::Conclude { app, revision, verdict }, reason)
        }
        // The verdict on the revision says so.
        ContainerState::Exited { .. } | ContainerState::StartFailed { .. } => return,
        ContainerState::Paused | ContainerState::Removing => {
            end(world, job, Reason::Paused, plan);
            return;
        }
    };
    let planned = Planned { app: Some(name.clone()), action, reason };
    gate::plan_or_wait(world, name, Some(&pod), planned, plan);
}

/// Stops and removes it; no request ever goes to it.
fn end(world: &World<'_>, job: &ObservedJob, reason: Reason, plan: &mut Plan) {
    let app = &job.labels.app;
    let (id, pod) = (job.id.clone(), job_pod_name(app));
    let action = match job.state {
        ContainerState::Running { .. } | ContainerState::Paused => {
            let of_app = world.desired.apps.get(app).map(|stored| &stored.spec.stop);
            let of_deleted = world.desired.tombstones.get(app).map(|tombstone| &tombstone.stop);
            let stop = of_app.or(of_deleted).cloned().unwrap_or_default();
            let Stop { signal, grace, .. } = stop;
            Action::Stop { id, pod: pod.clone(), signal, grace }
        }
        ContainerState::Removing => {
            let (app, pod, wait) = (app.clone(), Some(pod), Wait::UnderWay);
            plan.waiting.push(Waiting { app, pod, wait, until: None });
            return;
        }
        ContainerState::Created
        | ContainerState::StartFailed { .. }
        | ContainerState::Exited { .. } => Action::Remove { id, pod: pod.clone() },
    };
    let planned = Planned { app: Some(app.clone()), action, reason };
    gate::plan_or_wait(world, app, Some(&pod), planned, plan);
}

/// Whether the app has a container of any such command.
pub(super) fn has_job(world: &World<'_>, name: &AppName) -> bool {
    world.observed.jobs.iter().any(|job| job.labels.app == *name)
}
