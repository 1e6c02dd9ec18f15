//! A system at rest, of any size: the input of measurements.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use dubernetes_core::app::{AppSpec, RevisionId};
use dubernetes_core::identity::spec_hash;
use dubernetes_core::ingress::ObservedIngress;
use dubernetes_core::labels::ReplicaLabels;
use dubernetes_core::reconcile;
use dubernetes_core::runtime::{ContainerId, ContainerState, ImageId, Network};
use dubernetes_core::state::{DesiredState, ObservedReplica, ObservedState, Readiness};
use dubernetes_core::store::{Outcome, StoredApp};
use jiff::Timestamp;

/// Returns the state of `apps` apps with a route, of which all replicas are ready and served since
/// `now`. A pass at `now` plans nothing.
pub fn converged(apps: u32, replicas: u16, now: Timestamp) -> (DesiredState, ObservedState) {
    let mut desired = DesiredState::default();
    let mut observed = ObservedState {
        network: "10.0.0.0/8".parse().ok().map(|subnet| Network { id: "net".into(), subnet }),
        ..ObservedState::default()
    };
    for n in 0..apps {
        let spec = super::app(&format!("app{n}"), "app:1", replicas);
        let ordinals = 1..=u32::from(replicas);
        observed.replicas.extend(ordinals.map(|ordinal| ready(&spec, n, ordinal, now)));
        let mut stored = StoredApp::first(spec, now);
        stored.image_id = Some(ImageId("sha256:app".into()));
        stored.rollout.outcome = Outcome::Stable;
        desired.apps.insert(stored.spec.name.clone(), stored);
    }
    let table = reconcile(&desired, &observed, now).routes.table;
    observed.ingress = ObservedIngress::Serving { table };
    (desired, observed)
}

fn ready(spec: &AppSpec, app: u32, ordinal: u32, now: Timestamp) -> ObservedReplica {
    let address = Ipv4Addr::from(0x0a00_0100 + app * 256 + ordinal);
    ObservedReplica {
        id: ContainerId(format!("{app:032x}{ordinal:032x}").into()),
        name: format!("dubernetes.default.{}-{ordinal}.r1", spec.name),
        labels: ReplicaLabels {
            app: spec.name.clone(),
            revision: RevisionId(1),
            ordinal,
            spec_hash: spec_hash(spec),
            image: Some(ImageId("sha256:app".into())),
            address: Some(address.into()),
            port: spec.port(),
            published: BTreeSet::new(),
            restarts: 0,
            consecutive_restarts: 0,
            last_end: None,
        },
        state: ContainerState::Running { started_at: now },
        created_at: now,
        image_id: ImageId("sha256:app".into()),
        endpoint: Some((address, spec.port()).into()),
        readiness: Readiness::Ready { since: now },
        limits: Some(spec.resources.clone()),
    }
}
