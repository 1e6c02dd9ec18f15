//! The state of store, runtime and ingress as lines of text, without names and addresses.

use std::collections::BTreeMap;
use std::fmt;

use dubernetes_core::app::InstanceName;
use dubernetes_core::certificate::Authority;
use dubernetes_core::ingress::{Endpoint, ObservedIngress};
use dubernetes_core::labels::{self, ReplicaLabels};
use dubernetes_core::runtime::{Container, ContainerState, Networks as _};
use dubernetes_core::store::Store as _;
use dubernetes_testkit::build::TestOrchestrator;

/// How often each fact holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, usize>);

impl State {
    pub(crate) async fn of(on: &TestOrchestrator) -> Self {
        let mut state = Self::default();
        let containers = on.runtime.containers();
        containers.iter().for_each(|container| state.add(replica(container)));
        let network = on.runtime.find(&InstanceName::default()).await.unwrap();
        state.add(format!("network: {}", network.is_some()));
        state.add_ingress(on, &containers);
        state.add_store(on).await;
        state
    }

    fn add_ingress(&mut self, on: &TestOrchestrator, containers: &[Container]) {
        let names: Vec<_> = on.runtime.names().into_keys().collect();
        self.add(format!("published names: {names:?}"));
        let table = match on.ingress.observed() {
            ObservedIngress::Serving { table } => table,
            other => return self.add(format!("ingress: {other:?}")),
        };
        for tls in &table.tls {
            let has_any = tls.certificate.is_some();
            self.add(format!("HTTPS of {}: certificate {has_any}", tls.host));
        }
        let mut add = |what: String, endpoints: &[Endpoint]| {
            self.add(format!("{what} to {} endpoints", endpoints.len()));
            for endpoint in endpoints {
                let held = containers.iter().any(|c| c.endpoint == Some(endpoint.socket()));
                if !held {
                    self.add(format!("{what} leads to {}, which does not run", endpoint.pod));
                }
            }
        };
        for route in &table.routes {
            add(format!("route {} {} of {}", route.host, route.path, route.app), &route.endpoints);
        }
        for listener in &table.listeners {
            let what = format!("name {} port {}", listener.app, listener.port);
            add(what, &listener.endpoints);
        }
    }

    async fn add_store(&mut self, on: &TestOrchestrator) {
        let stored = on.store.list().await.unwrap();
        self.add(format!("teardown: {}", stored.teardown.is_some()));
        for (host, kept) in &stored.certificates {
            let authority = kept.issued.as_ref().map(|issued| issued.authority);
            self.add(format!("certificate of {host}: {authority:?}, {:?}", kept.failure));
        }
        for authority in [Authority::Internal, Authority::Acme] {
            let account = on.store.authority_account(authority).await.unwrap();
            let orders = on.issuer.orders().into_iter().filter(|order| order.is_issued);
            let mut used = orders.filter(|order| order.authority == authority);
            let is_kept = used.all(|order| {
                account.as_ref().is_some_and(|kept| kept.reveal() == order.account.as_bytes())
            });
            self.add(format!("account of {authority}: {}, {is_kept}", account.is_some()));
        }
        for name in stored.tombstones.keys() {
            self.add(format!("tombstone of {name}"));
        }
        for (name, app) in &stored.apps {
            self.add(format!(
                "app {name}: generation {}, revision {}, {} x {} ({:?}), paused {}, evicted {:?}",
                app.generation,
                app.revision,
                app.spec.replicas,
                app.spec.artifact,
                app.image_id,
                app.paused,
                app.evicted
            ));
            for kept in on.store.revisions(name).await.unwrap() {
                self.add(format!(
                    "revision {} of {name}: {} ({:?}), {}",
                    kept.revision,
                    kept.spec.artifact,
                    kept.image_id,
                    kept.rollout.outcome.as_str()
                ));
            }
        }
    }

    pub(crate) fn add(&mut self, fact: String) {
        *self.0.entry(fact).or_default() += 1;
    }

    /// Returns what differs from a clean run, one fact a line.
    pub(crate) fn difference<'a>(&'a self, clean: &'a Self) -> Difference<'a> {
        Difference { clean, found: self }
    }
}

/// The facts that differ.
pub(crate) struct Difference<'a> {
    clean: &'a State,
    found: &'a State,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.clean.0.keys().chain(self.found.0.keys());
        for fact in facts.collect::<std::collections::BTreeSet<_>>() {
            let count = |state: &State| state.0.get(fact).copied().unwrap_or_default();
            let (clean, found) = (count(self.clean), count(self.found));
            if clean != found {
                writeln!(f, "  {clean} -> {found}  {fact}")?;
            }
        }
        Ok(())
    }
}

fn replica(container: &Container) -> String {
    let state = match &container.state {
        ContainerState::Running { .. } => "running".to_owned(),
        other => format!("{other:?}"),
    };
    match ReplicaLabels::from_map(&container.labels) {
        Ok(labels) => format!(
            "replica of {} revision {}, {}, spec {:.8}, {} restarts: {state}",
            labels.app, labels.revision, container.image_id, labels.spec_hash, labels.restarts
        ),
        Err(_) => format!("{:?}: {state}", container.labels.get(labels::COMPONENT)),
    }
}
