//! Ingresses that break one promise each, in what they say or in what they do with requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{
    ApplyOutcome, Drained, Ingress, IngressError, ObservedIngress, RequestCounts, RouteTable,
};
use dubernetes_testkit::FakeIngress;
use dubernetes_testkit::contract::ingress::IngressSubject;
use dubernetes_testkit::contract::run_all;

use super::failures;
use super::fake_world::{DataDefect, FakeWorld};
use super::mutants::assert_caught;

const DATA: &[DataDefect] = &[
    DataDefect::HostIgnored,
    DataDefect::HostCaseCounts,
    DataDefect::ShortestPathWins,
    DataDefect::PrefixInsideSegment,
    DataDefect::QueryCounts,
    DataDefect::QueryDropped,
    DataDefect::HostReplaced,
    DataDefect::MethodReplaced,
    DataDefect::BodyDropped,
    DataDefect::LongBodyCut,
    DataDefect::StripIgnored,
    DataDefect::StripEverywhere,
    DataDefect::WildcardOfAnyDepth,
    DataDefect::RestTakesOtherPaths,
    DataDefect::EmptyRouteIsMissing,
    DataDefect::UnknownAnswers503,
    DataDefect::FirstEndpointOnly,
    DataDefect::DeadEndpointRouted,
    DataDefect::PostRepeated,
    DataDefect::PostNotPassedOn,
    DataDefect::SlowRequestAborted,
    DataDefect::KeptConnectionKeepsTable,
    DataDefect::KeptConnectionBreaks,
    DataDefect::PortStays,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    AlwaysDrained,
    EarlyDrain,
    NeverDrained,
    AlwaysChanged,
    NeverChanged,
    EndpointsAreNoChange,
    LateEffect,
    RoutesAdded,
    ProxyAlone,
    TableForgottenByRestart,
    KilledIsServing,
    KilledStaysDown,
    AbsentIsServing,
    TakenPortIsSuccess,
    TakenPortIsAnyFailure,
    BadRoutesServed,
    BadTableClearsRoutes,
    QuarantineNotReported,
    RemovedStillServes,
    SecondRemovalFails,
    AlwaysRepaired,
    OverlappingApplyFails,
    ReloadDropsRequests,
    RequestsNotCounted,
    CountsByFirstApp,
    CountsLostByChange,
}

const ALL: &[Defect] = &[
    Defect::AlwaysDrained,
    Defect::EarlyDrain,
    Defect::NeverDrained,
    Defect::AlwaysChanged,
    Defect::NeverChanged,
    Defect::EndpointsAreNoChange,
    Defect::LateEffect,
    Defect::RoutesAdded,
    Defect::ProxyAlone,
    Defect::TableForgottenByRestart,
    Defect::KilledIsServing,
    Defect::KilledStaysDown,
    Defect::AbsentIsServing,
    Defect::TakenPortIsSuccess,
    Defect::TakenPortIsAnyFailure,
    Defect::BadRoutesServed,
    Defect::BadTableClearsRoutes,
    Defect::QuarantineNotReported,
    Defect::RemovedStillServes,
    Defect::SecondRemovalFails,
    Defect::AlwaysRepaired,
    Defect::OverlappingApplyFails,
    Defect::ReloadDropsRequests,
    Defect::RequestsNotCounted,
    Defect::CountsByFirstApp,
    Defect::CountsLostByChange,
];

#[tokio::test(start_paused = true)]
async fn ingress_mutants_are_caught() {
    run_all(&[super::fake_ingress()], "").await.assert_passed();
    let mut mutants = Vec::new();
    for defect in DATA {
        let fake = FakeIngress::default();
        let (ingress, second) = (Arc::new(fake.clone()), Arc::new(fake.clone()));
        let world = Arc::new(FakeWorld::new(fake, Some(*defect)));
        let subject = IngressSubject { ingress, second: Some(second), world };
        mutants.push((format!("{defect:?}"), failures(&run_all(&[subject], "").await)));
    }
    for defect in ALL {
        let fake = FakeIngress::default();
        let mutant = |is_second| Mutant::new(fake.clone(), *defect, is_second);
        let (ingress, second) = (Arc::new(mutant(false)), Arc::new(mutant(true)));
        let world = Arc::new(FakeWorld::new(fake.clone(), None));
        let subject = IngressSubject { ingress, second: Some(second), world };
        mutants.push((format!("{defect:?}"), failures(&run_all(&[subject], "").await)));
    }
    assert_caught(&mutants);
}

#[derive(Debug)]
struct Mutant {
    fake: FakeIngress,
    defect: Defect,
    is_second: bool,
    /// The table that was applied last.
    last: Mutex<Option<RouteTable>>,
    is_applying: tokio::sync::Mutex<()>,
}

impl Mutant {
    fn new(fake: FakeIngress, defect: Defect, is_second: bool) -> Self {
        Self { fake, defect, is_second, last: Mutex::default(), is_applying: Default::default() }
    }

    fn last(&self) -> Option<RouteTable> {
        self.last.lock().unwrap().clone()
    }

    fn has_bad_route(table: &RouteTable) -> bool {
        table.routes.iter().any(|route| route.endpoints.iter().any(|endpoint| endpoint.port == 0))
    }

    /// Applies a table in a wrong way. `None`: in the right one.
    async fn misapply(&self, table: &RouteTable) -> Option<Result<ApplyOutcome, IngressError>> {
        let changed = || Some(Ok(ApplyOutcome { changed: true, ..ApplyOutcome::default() }));
        match self.defect {
            Defect::LateEffect => {
                let (fake, table) = (self.fake.clone(), table.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    fake.apply(&table).await
                });
                changed()
            }
            Defect::EndpointsAreNoChange => {
                let observed = self.fake.observed();
                let is_same = observed
                    .table()
                    .is_some_and(|own| own.is_same_but_for_endpoints(table, |_, _| true));
                is_same.then(|| Ok(ApplyOutcome::default()))
            }
            Defect::RoutesAdded => {
                let mut all = table.clone();
                let former = self.last().unwrap_or_default();
                all.routes.extend(former.routes);
                Some(self.fake.apply(&all).await)
            }
            Defect::KilledStaysDown => {
                let is_down = matches!(self.fake.observed(), ObservedIngress::Down { .. });
                is_down.then(|| Ok(ApplyOutcome::default()))
            }
            Defect::TakenPortIsSuccess | Defect::TakenPortIsAnyFailure => {
                match self.fake.apply(table).await {
                    Err(IngressError::PortTaken { .. }) => {
                        let is_success = self.defect == Defect::TakenPortIsSuccess;
                        let failure = Err(IngressError::NotAcknowledged);
                        if is_success { changed() } else { Some(failure) }
                    }
                    other => Some(other),
                }
            }
            Defect::BadRoutesServed if Self::has_bad_route(table) => changed(),
            Defect::BadTableClearsRoutes if Self::has_bad_route(table) => {
                let _ = self.fake.apply(&RouteTable::default()).await;
                let message = "no".to_owned();
                Some(Err(IngressError::Refused { message }))
            }
            Defect::QuarantineNotReported if Self::has_bad_route(table) => {
                let applied = self.fake.apply(table).await;
                let quarantined = Default::default();
                Some(applied.map(|applied| ApplyOutcome { quarantined, ..applied }))
            }
            Defect::OverlappingApplyFails => {
                let Ok(_applying) = self.is_applying.try_lock() else {
                    return Some(Err(IngressError::NotAcknowledged));
                };
                tokio::task::yield_now().await;
                Some(self.fake.apply(table).await)
            }
            Defect::ReloadDropsRequests => {
                if self.fake.observed().table().is_some_and(|own| own != table) {
                    self.fake.kill();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Some(self.fake.apply(table).await)
            }
            _ => None,
        }
    }
}

#[async_trait]
impl Ingress for Mutant {
    async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        let applied = match self.misapply(table).await {
            Some(applied) => applied,
            None => self.fake.apply(table).await,
        };
        if applied.is_ok() {
            *self.last.lock().unwrap() = Some(table.clone());
        }
        let changed = |applied: ApplyOutcome| match self.defect {
            Defect::AlwaysChanged => ApplyOutcome { changed: true, ..applied },
            Defect::NeverChanged => ApplyOutcome { changed: false, ..applied },
            _ => applied,
        };
        applied.map(changed)
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        let observed = self.fake.observe().await?;
        let last = || ObservedIngress::Serving { table: self.last().unwrap_or_default() };
        Ok(match (self.defect, &observed) {
            (Defect::LateEffect | Defect::EndpointsAreNoChange | Defect::RoutesAdded, _)
            | (Defect::TakenPortIsSuccess | Defect::KilledIsServing, _)
            | (Defect::KilledStaysDown, ObservedIngress::Down { .. })
                if self.last().is_some() =>
            {
                last()
            }
            (Defect::AbsentIsServing, ObservedIngress::Absent)
            | (Defect::BadRoutesServed, ObservedIngress::Serving { .. }) => last(),
            (Defect::ProxyAlone, _) if self.is_second => ObservedIngress::Absent,
            (Defect::TableForgottenByRestart, ObservedIngress::Serving { .. })
                if self.is_second =>
            {
                last()
            }
            _ => observed,
        })
    }

    async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError> {
        match self.defect {
            Defect::AlwaysDrained => Ok(Drained::Yes),
            Defect::NeverDrained => Ok(Drained::IN_PROGRESS),
            Defect::EarlyDrain => {
                let observed = self.fake.observed();
                let is_held = observed.table().is_some_and(|table| table.holds(endpoint));
                Ok(if is_held { Drained::IN_PROGRESS } else { Drained::Yes })
            }
            _ => self.fake.drained(endpoint).await,
        }
    }

    async fn repair(&self) -> Result<Option<String>, IngressError> {
        if self.defect == Defect::AlwaysRepaired {
            return Ok(Some("repaired".to_owned()));
        }
        self.fake.repair().await
    }

    async fn request_counts(
        &self,
    ) -> Result<Option<BTreeMap<AppName, RequestCounts>>, IngressError> {
        let mut counts = self.fake.request_counts().await?.unwrap_or_default();
        match self.defect {
            Defect::RequestsNotCounted => counts.clear(),
            Defect::CountsByFirstApp => {
                let mut all = RequestCounts::default();
                for own in counts.values() {
                    all.by_class.iter_mut().zip(own.by_class).for_each(|(sum, n)| *sum += n);
                }
                counts.values_mut().for_each(|own| *own = all.clone());
            }
            Defect::CountsLostByChange if self.fake.applied().len() > 1 => {
                counts.values_mut().for_each(|own| own.by_class = [0; 5]);
            }
            _ => {}
        }
        Ok(Some(counts))
    }

    async fn remove(&self) -> Result<(), IngressError> {
        match self.defect {
            Defect::RemovedStillServes => return Ok(()),
            Defect::SecondRemovalFails
                if matches!(self.fake.observed(), ObservedIngress::Absent) =>
            {
                return Err(IngressError::NotAcknowledged);
            }
            _ => {}
        }
        *self.last.lock().unwrap() = None;
        self.fake.remove().await
    }
}
