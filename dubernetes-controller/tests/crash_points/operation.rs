//! What the user does, and when it is done.

use std::time::Duration;

use dubernetes_controller::Snapshot;
use dubernetes_core::app::{AppName, AppSpec, Generation};
use dubernetes_core::error;
use dubernetes_core::plan::Phase;
use dubernetes_core::store::{RolloutAction, Store as _, StoreError};
use dubernetes_testkit::build::{TestOrchestrator, app_name};

/// What the user does in a test.
pub(crate) struct Operation {
    /// What happens before, without a fault.
    pub(crate) before: Vec<Step>,
    /// What happens with a fault, step by step: each is done before the next one.
    pub(crate) steps: Vec<Step>,
    /// Fewest endpoints of a route in any table that is applied during the steps.
    pub(crate) min_routed: usize,
    /// Fewest changing calls of a clean run: fewer would mean that calls are not counted.
    pub(crate) min_effects: usize,
}

/// One change, by the user or from outside.
pub(crate) enum Step {
    Apply(Box<AppSpec>),
    Rollout(&'static str, RolloutAction),
    Delete(&'static str),
    /// Deletes without waiting for the end.
    DeleteAtOnce(&'static str),
    /// Evicts the first replica of an app.
    Evict(&'static str),
    TearDown,
    /// Ends the process of a container.
    Kill(&'static str),
    KillIngress,
    DamageIngress,
    /// Makes lists omit young containers from now on.
    DelayLists(Duration),
}

/// What a user knows before a step, to see afterwards whether a request without an answer was
/// accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    generation: Generation,
    pub(crate) at: jiff::Timestamp,
}

impl Operation {
    /// Returns how much longer than a clean run it may take with a fault.
    pub(crate) fn delay(&self) -> Duration {
        // A repair that failed is tried again after a resync.
        let repairs = self.steps.iter().any(|step| matches!(step, Step::DamageIngress));
        Duration::from_secs(if repairs { 16 } else { 5 })
    }

    /// Returns whether tombstones are left for a while.
    pub(crate) fn deletes(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Delete(_) | Step::TearDown))
    }
}

impl Step {
    fn app(&self) -> Option<AppName> {
        match self {
            Self::Apply(spec) => Some(spec.name.clone()),
            Self::Rollout(name, _)
            | Self::Delete(name)
            | Self::DeleteAtOnce(name)
            | Self::Evict(name) => Some(app_name(name)),
            Self::TearDown
            | Self::Kill(_)
            | Self::KillIngress
            | Self::DamageIngress
            | Self::DelayLists(_) => None,
        }
    }

    pub(crate) async fn before(&self, on: &TestOrchestrator) -> Before {
        use dubernetes_core::clock::Clock as _;
        let stored = match self.app() {
            Some(name) => on.store.get(&name).await.ok(),
            None => None,
        };
        let generation = stored.map_or(Generation::NONE, |stored| stored.generation);
        Before { generation, at: on.clock.now() }
    }

    /// Sends the request. An error means that it was not answered.
    pub(crate) async fn act(&self, on: &TestOrchestrator, before: Before) -> Result<(), String> {
        let text = |error: StoreError| error::chain(&error);
        match self {
            // Repeated without a look: the same specification twice is one change.
            Self::Apply(spec) => on.apply(spec).await.map(drop).map_err(text),
            Self::Rollout(name, action) => {
                let stored = on.store.get(&app_name(name)).await.map_err(text)?;
                if stored.generation > before.generation {
                    return Ok(());
                }
                let action = *action;
                on.handle.update_rollout(&app_name(name), action).await.map(drop).map_err(text)
            }
            Self::Delete(name) | Self::DeleteAtOnce(name) => {
                match on.handle.delete(&app_name(name)).await {
                    Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                    Err(error) => Err(text(error)),
                }
            }
            Self::Evict(name) => {
                let first = on.runtime.containers().into_iter().find(|c| c.created_at < before.at);
                let id = first.ok_or("no replica")?.id;
                on.handle.evict(&app_name(name), &id).await.map_err(text)
            }
            Self::TearDown => on.handle.teardown().await.map_err(|error| error::chain(&error)),
            Self::Kill(name) => {
                on.runtime.kill(name, 1);
                Ok(())
            }
            Self::KillIngress => {
                on.ingress.kill();
                Ok(())
            }
            Self::DamageIngress => {
                on.ingress.damage();
                Ok(())
            }
            Self::DelayLists(lag) => {
                on.runtime.set_list_lag(*lag);
                Ok(())
            }
        }
    }

    /// Waits until the step is done. Never returns if the orchestrator has crashed.
    pub(crate) async fn until_done(&self, on: &TestOrchestrator, before: Before) {
        match self {
            Self::Apply(_) | Self::Rollout(..) => {
                let name = self.app().unwrap();
                until(on, |seen| is_ready(seen, &name, before.generation)).await;
            }
            Self::Delete(name) => {
                let name = app_name(name);
                let is_gone = |seen: &Snapshot| {
                    let replicas = &seen.observed.replicas;
                    !seen.desired.apps.contains_key(&name)
                        && replicas.iter().all(|replica| replica.labels.app != name)
                };
                until(on, is_gone).await;
            }
            Self::DeleteAtOnce(_) | Self::TearDown | Self::DelayLists(_) => {}
            Self::Evict(_) | Self::Kill(_) => {
                let is_replaced = |seen: &Snapshot| {
                    is_quiet_since(seen, before)
                        && seen.desired.apps.values().all(|app| {
                            app.evicted.is_empty()
                                && is_ready(seen, &app.spec.name, Generation::NONE)
                        })
                };
                until(on, is_replaced).await;
            }
            Self::KillIngress => {
                while on.ingress.observed().table().is_none() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            Self::DamageIngress => {
                while on.ingress.is_damaged() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}

/// Returns whether a pass after the change has found nothing to do.
fn is_quiet_since(seen: &Snapshot, before: Before) -> bool {
    seen.at.is_some_and(|at| at > before.at) && seen.plan.actions.is_empty()
}

fn is_ready(seen: &Snapshot, name: &AppName, above: Generation) -> bool {
    let Some(stored) = seen.desired.apps.get(name) else { return false };
    seen.plan.statuses.get(name).is_some_and(|status| {
        stored.generation > above
            && status.phase == Phase::Ready
            && status.observed_generation == stored.generation
    })
}

async fn until(on: &TestOrchestrator, condition: impl Fn(&Snapshot) -> bool) {
    let mut snapshots = on.handle.snapshots();
    if snapshots.wait_for(|seen| condition(seen)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
