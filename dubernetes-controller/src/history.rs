//! What each app used in the last hour, in memory: CPU, memory and requests, sampled once a minute.
//!
//! Samples run beside the loop, which never waits for one. What cannot be read in time is a gap.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{Ingress, IngressError, RequestCounts};
use dubernetes_core::plan::Plan;
use dubernetes_core::runtime::{ContainerId, RuntimeError, Stats, StatsReader};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::adapters::Adapters;
use crate::snapshot::Snapshot;

/// Points kept of each app: an hour.
const POINTS: usize = 60;
/// Time between two samples.
const PERIOD: Duration = Duration::from_secs(60);
/// Time before each of the first two samples, so that there soon is something to see.
const FIRST: Duration = Duration::from_secs(10);
/// Deadline of a sample, before the next one.
const LIMIT: Duration = Duration::from_secs(45);
/// Readings in flight at a time. Docker 20.10 needs up to a second for each, mostly waiting.
const PARALLEL: usize = 8;

/// What all replicas of an app used at a time. What is not known is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPoint {
    /// The time.
    pub at: Timestamp,
    /// CPU since the point before, in thousandths of a CPU.
    pub cpu: Option<u64>,
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Requests a minute since the point before, in the classes of [`RequestCounts::by_class`].
    pub requests: Option<[u64; 5]>,
}

/// What an app used in the last hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppHistory {
    /// Whether the ingress counts requests.
    pub counts_requests: bool,
    /// About one point a minute, oldest first, at most 60.
    pub points: Vec<HistoryPoint>,
}

/// The histories of all apps. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    counts_requests: bool,
    apps: BTreeMap<AppName, VecDeque<HistoryPoint>>,
}

impl History {
    pub(crate) fn of_app(&self, app: &AppName) -> AppHistory {
        let kept = self.lock();
        let points = kept.apps.get(app).map(|points| points.iter().cloned().collect());
        AppHistory { counts_requests: kept.counts_requests, points: points.unwrap_or_default() }
    }

    /// Adds a point to each app, and drops apps without one.
    fn add(&self, counts_requests: bool, points: BTreeMap<AppName, HistoryPoint>) {
        let mut kept = self.lock();
        kept.counts_requests = counts_requests;
        kept.apps.retain(|app, _| points.contains_key(app));
        for (app, point) in points {
            let own = kept.apps.entry(app).or_default();
            if own.len() == POINTS {
                own.pop_front();
            }
            own.push_back(point);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Whatever a panic left is history that can be shown.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Samples all apps, for ever.
pub(crate) async fn sample(
    adapters: Adapters,
    history: History,
    passes: watch::Receiver<Arc<Snapshot>>,
) {
    let mut sampler = Sampler::default();
    let mut next = Instant::now();
    for pause in [FIRST, FIRST].into_iter().chain(std::iter::repeat(PERIOD)) {
        // What was missed, such as by a host that slept, is not made up for.
        next = (next + pause).max(Instant::now());
        sleep_until(next).await;
        let snapshot = Arc::clone(&passes.borrow());
        let points = sampler.sample(&adapters, &snapshot.plan).await;
        history.add(sampler.requests.is_some(), points);
    }
}

/// What is remembered from the last sample, to compute differences.
#[derive(Debug, Default)]
struct Sampler {
    at: Option<Timestamp>,
    /// Of the containers that ran.
    readings: BTreeMap<ContainerId, Stats>,
    /// `None`: requests are not counted.
    requests: Option<Counts>,
}

#[derive(Debug)]
struct Counts {
    read_at: Instant,
    apps: BTreeMap<AppName, RequestCounts>,
}

/// A container that runs.
#[derive(Debug, Clone)]
struct Running {
    app: AppName,
    id: ContainerId,
    started_at: Timestamp,
}

/// A reading of a container.
#[derive(Debug)]
enum Reading {
    Taken(Stats),
    /// The container has ended meanwhile.
    Ended,
    Failed,
}

/// Sum of an app; `None` once a part of it is not known.
#[derive(Debug, Clone, Copy)]
struct Usage {
    cpu: Option<u64>,
    memory: Option<u64>,
}

impl Sampler {
    /// Returns a point for each app.
    async fn sample(
        &mut self,
        adapters: &Adapters,
        plan: &Plan,
    ) -> BTreeMap<AppName, HistoryPoint> {
        let at = adapters.clock.now();
        let running = running(plan);
        // Without running replicas there is nothing to measure, and nothing to ask for.
        if running.is_empty() {
            *self = Self { at: Some(at), requests: self.requests.take(), ..Self::default() };
            return points(plan, at, &BTreeMap::new(), |_| None);
        }
        let deadline = Instant::now() + LIMIT;
        let (readings, counts) = tokio::join!(
            readings(adapters.runtime.stats(), running, deadline),
            counts(&*adapters.ingress, deadline),
        );
        let usage = self.usage(readings, at);
        let before = self.requests.take();
        let (rates, requests) = match counts {
            Ok(Some(counts)) => (before.and_then(|before| rates(&before, &counts)), Some(counts)),
            Ok(None) => (None, None),
            // The next difference is one to the last counts.
            Err(Failed) => (None, before),
        };
        self.requests = requests;
        points(plan, at, &usage, |app| {
            rates.as_ref().map(|rates| rates.get(app).copied().unwrap_or_default())
        })
    }

    /// Sums the readings of each app.
    fn usage(
        &mut self,
        readings: Vec<(Running, Reading)>,
        at: Timestamp,
    ) -> BTreeMap<AppName, Usage> {
        let mut former = std::mem::take(&mut self.readings);
        let last_sample = self.at.replace(at);
        let mut usage = BTreeMap::new();
        for (Running { app, id, started_at }, reading) in readings {
            let before = former.remove(&id);
            let (cpu, memory) = match reading {
                Reading::Ended => continue,
                Reading::Taken(now) => {
                    self.readings.insert(id, now);
                    (cpu(before, started_at, last_sample, &now), Some(now.memory_bytes))
                }
                Reading::Failed => {
                    self.readings.extend(before.map(|before| (id, before)));
                    (None, None)
                }
            };
            let sum = usage.entry(app).or_insert(Usage { cpu: Some(0), memory: Some(0) });
            let add = |sum: Option<u64>, more: Option<u64>| sum?.checked_add(more?);
            *sum = Usage { cpu: add(sum.cpu, cpu), memory: add(sum.memory, memory) };
        }
        usage
    }
}

fn running(plan: &Plan) -> Vec<Running> {
    let pods = plan.statuses.values().flat_map(|status| &status.pods);
    let running = pods.filter_map(|pod| {
        let (id, started_at) = (pod.container_id.clone()?, pod.started_at?);
        Some(Running { app: pod.app.clone(), id, started_at })
    });
    running.collect()
}

fn points(
    plan: &Plan,
    at: Timestamp,
    usage: &BTreeMap<AppName, Usage>,
    requests: impl Fn(&AppName) -> Option<[u64; 5]>,
) -> BTreeMap<AppName, HistoryPoint> {
    let point = |app: &AppName| {
        let used = usage.get(app);
        HistoryPoint {
            at,
            cpu: used.and_then(|used| used.cpu),
            memory: used.and_then(|used| used.memory),
            requests: requests(app),
        }
    };
    plan.statuses.keys().map(|app| (app.clone(), point(app))).collect()
}

/// Reads each container, a few at a time. A runtime that cannot measure has no readings.
async fn readings(
    stats: Option<&dyn StatsReader>,
    running: Vec<Running>,
    deadline: Instant,
) -> Vec<(Running, Reading)> {
    let Some(stats) = stats else { return Vec::new() };
    let read = running.into_iter().map(|container| async move {
        let reading = match timeout_at(deadline, stats.read(&container.id)).await {
            Ok(Ok(reading)) => Reading::Taken(reading),
            Ok(Err(RuntimeError::NotFound { .. } | RuntimeError::NotRunning { .. })) => {
                Reading::Ended
            }
            Ok(Err(_)) | Err(_) => Reading::Failed,
        };
        (container, reading)
    });
    stream::iter(read).buffered(PARALLEL).collect().await
}

/// The counts could not be read.
#[derive(Debug)]
struct Failed;

async fn counts(ingress: &dyn Ingress, deadline: Instant) -> Result<Option<Counts>, Failed> {
    let counts: Result<_, IngressError> =
        timeout_at(deadline, ingress.request_counts()).await.map_err(|_| Failed)?;
    let apps = counts.map_err(|_| Failed)?;
    Ok(apps.map(|apps| Counts { read_at: Instant::now(), apps }))
}

/// Returns the CPU usage of a container since the last sample. One that has started since then had
/// used nothing.
fn cpu(
    before: Option<Stats>,
    started_at: Timestamp,
    last_sample: Option<Timestamp>,
    now: &Stats,
) -> Option<u64> {
    let start = last_sample.filter(|last| started_at >= *last);
    let start = start.map(|read_at| Stats { cpu_nanos: 0, memory_bytes: 0, read_at });
    now.millicores_since(&before.or(start)?)
}

/// Returns the requests a minute to each app; `None` if no time has passed.
fn rates(before: &Counts, now: &Counts) -> Option<BTreeMap<AppName, [u64; 5]>> {
    let millis = now.read_at.duration_since(before.read_at).as_millis();
    let millis = u64::try_from(millis).ok().filter(|millis| *millis > 0)?;
    let rate = |(app, counts): (&AppName, &RequestCounts)| {
        let none = RequestCounts::default();
        let former = before.apps.get(app).unwrap_or(&none).by_class;
        let counts = counts.by_class;
        // A proxy that has started again began with 0.
        let is_new = counts.iter().zip(&former).any(|(now, former)| now < former);
        let former = if is_new { [0; 5] } else { former };
        let mut rates = counts;
        for (rate, former) in rates.iter_mut().zip(former) {
            let more = rate.saturating_sub(former);
            *rate = more.saturating_mul(60_000).saturating_add(millis / 2) / millis;
        }
        (app.clone(), rates)
    };
    Some(now.apps.iter().map(rate).collect())
}

#[cfg(test)]
mod tests;
